"""Jobs as plain rows, on both databases."""

from __future__ import annotations

from sqlalchemy import update

from likeness.database import Database
from likeness.repositories.job_records import JobRecord, JobRecords
from likeness.repositories.jobs import JobRepository
from likeness.requests import request_inspection
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Job
from tests.likeness.service import training, upload


def read(database: Database, job_id: str) -> JobRecord:
    with database.read() as session:
        record = JobRecords(session).get(job_id)
    assert record is not None
    return record


def test_a_record_says_what_the_entity_says(
    settings: Settings, either_database: Database, store: LocalStore
) -> None:
    _, job_id = training(settings, either_database, store)
    record = read(either_database, job_id)
    with either_database.read() as session:
        entity = JobRepository(session).get(job_id)
        assert entity is not None
        for name in (
            "id",
            "tenant_id",
            "kind",
            "person_id",
            "status",
            "stage",
            "params",
            "progress",
            "error",
        ):
            assert getattr(record, name) == getattr(entity, name)
        assert record.created_at == entity.created_at
        assert record.created_at.tzinfo is not None
        assert [(stage.name, stage.status, stage.queue) for stage in record.stages] == [
            (stage.name, stage.status, stage.queue) for stage in entity.stages
        ]
        assert record.stages[0].queued_at == entity.stages[0].queued_at
    assert record.input_id("clip") == entity.inputs[0].upload_id
    assert record.inputs[0].filename == "clip.mp4"
    assert record.output is None
    with either_database.read() as session:
        assert JobRecords(session).get("job_none") is None
        assert JobRecords(session).get(job_id, kind="video") is None


def test_pages_and_filters(settings: Settings, either_database: Database, store: LocalStore) -> None:
    trained = [training(settings, either_database, store, b"clip %d" % index) for index in range(3)]
    clip = upload(settings, either_database, store)
    looked_at = request_inspection(either_database, upload_id=clip)
    newest = [looked_at, *(job for _, job in reversed(trained))]
    with either_database.write() as session:
        session.execute(update(Job).where(Job.id == trained[1][1]).values(status="running"))
    with either_database.read() as session:
        records = JobRecords(session)
        first = records.page(limit=3, cursor=None)
        assert [job.id for job in first.rows] == newest[:3]
        rest = records.page(limit=3, cursor=first.next_cursor)
        assert [job.id for job in rest.rows] == newest[3:]
        assert rest.next_cursor is None
        assert [len(job.stages) for job in first.rows] == [1, 5, 5]
        assert [job.id for job in records.page(limit=9, cursor=None, kind="inspection").rows] == [looked_at]
        assert [job.id for job in records.page(limit=9, cursor=None, status="running").rows] == [
            trained[1][1]
        ]
        person, job = trained[0]
        assert [each.id for each in records.page(limit=9, cursor=None, person_id=person).rows] == [job]
        assert [each.id for each in records.of_person(person)] == [job]
        assert records.of_person("per_none") == []
