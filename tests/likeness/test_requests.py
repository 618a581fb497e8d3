"""The rules of what may be asked, and deletion."""

from __future__ import annotations

import pytest

from likeness.database import Database
from likeness.deletion import delete_job, delete_person, delete_upload, purge, sweep_work_folders
from likeness.ids import new_id
from likeness.refusals import ConsentMissing
from likeness.repositories.job_records import JobRecords
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import (
    cancel,
    create_person,
    request_inspection,
    request_training,
    request_video,
    retry,
)
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Job, Person
from problems import Conflict, InvalidParameter, NotFound
from tests.likeness.service import training, upload
from tests.workers.tiny_stages import REGISTRY
from workers.runner import Runner


@pytest.fixture
def runner(database: Database, store: LocalStore, settings: Settings) -> Runner:
    return Runner(database, store, settings, registry=REGISTRY)


def job_of(database: Database, job_id: str) -> Job:
    with database.read() as session:
        job = JobRepository(session).get(job_id)
    assert job is not None
    return job


@pytest.mark.parametrize(("attested", "subject"), [(False, "Ada"), (True, ""), (True, " "), (True, None)])
def test_no_person_without_consent(database: Database, attested: bool, subject: str | None) -> None:
    with pytest.raises(ConsentMissing):
        create_person(database, name="Ada", consent_subject=subject, attested=attested)
    with database.read() as session:
        assert PersonRepository(session).page(limit=9, cursor=None).rows == []


def test_no_training_of_a_row_without_consent(
    settings: Settings, database: Database, store: LocalStore
) -> None:
    person, job = training(settings, database, store)
    with database.write() as session:
        row = session.get(Person, person)
        assert row is not None
        assert row.consent is not None
        row.consent.status = "revoked"
    clip = upload(settings, database, store)
    with pytest.raises(ConsentMissing):
        request_training(database, person_id=person, upload_id=clip, preset="preview", seed=0)
    Runner(database, store, settings, registry=REGISTRY).run_all()
    error = job_of(database, job).error
    assert error is not None
    assert error["slug"] == "consent_missing", "a queued job is asked again when a worker takes it"


def test_what_a_training_needs(settings: Settings, database: Database, store: LocalStore) -> None:
    person, job = training(settings, database, store)
    clip = upload(settings, database, store)
    sound = upload(settings, database, store, purpose="recording")
    with pytest.raises(Conflict, match=r"already"):
        request_training(database, person_id=person, upload_id=clip, preset="preview", seed=0)
    cancel(database, job)
    with pytest.raises(InvalidParameter, match="a clip is needed"):
        request_training(database, person_id=person, upload_id=sound, preset="preview", seed=0)
    with pytest.raises(NotFound, match="upload"):
        request_training(database, person_id=person, upload_id="upl_x", preset="preview", seed=0)
    with pytest.raises(NotFound, match="person"):
        request_training(database, person_id="per_x", upload_id=clip, preset="preview", seed=0)


def test_what_a_video_needs(settings: Settings, database: Database, store: LocalStore) -> None:
    person, _ = training(settings, database, store)
    sound = upload(settings, database, store, purpose="recording")
    with pytest.raises(Conflict, match="not been learned"):
        request_video(database, person_id=person, recording_id=sound, pose="learned", seed=0)
    with pytest.raises(InvalidParameter, match="fit together"):
        request_video(database, person_id=person, recording_id=sound, pose="reference", seed=0)
    with pytest.raises(InvalidParameter, match="fit together"):
        request_video(
            database, person_id=person, recording_id=sound, pose="still", seed=0, pose_video_id=sound
        )


def test_cancel_and_retry_of_a_waiting_job(
    settings: Settings, database: Database, store: LocalStore, runner: Runner
) -> None:
    _, job = training(settings, database, store)
    with pytest.raises(Conflict):
        retry(database, store, settings, job)
    cancel(database, job)
    assert job_of(database, job).status == "canceled"
    with pytest.raises(Conflict):
        cancel(database, job)
    assert runner.run_all() == 0
    retry(database, store, settings, job)
    assert runner.run_all() == 5
    assert (job_of(database, job).status, job_of(database, job).attempt) == ("succeeded", 2)


def test_retry_from_a_stage_does_it_anew(
    settings: Settings, database: Database, store: LocalStore, runner: Runner
) -> None:
    _, job = training(settings, database, store)
    for _ in range(3):
        runner.run_once()
    cancel(database, job)
    before = {stage.name: stage.artifact_id for stage in job_of(database, job).stages}
    with pytest.raises(InvalidParameter, match="publish") as caught:
        retry(database, store, settings, job, from_stage="publish")
    assert caught.value.remedy == "use one of validate, fit, motion, render"
    retry(database, store, settings, job, from_stage="fit")
    assert runner.run_all() == 4
    after = {stage.name: stage.artifact_id for stage in job_of(database, job).stages}
    assert after["validate"] == before["validate"]
    assert after["fit"] != before["fit"] is not None
    assert not any(stage.reused for stage in job_of(database, job).stages)


def test_retry_without_its_upload(settings: Settings, database: Database, store: LocalStore) -> None:
    _, job = training(settings, database, store)
    upload_id = job_of(database, job).inputs[0].upload_id
    assert upload_id is not None
    with pytest.raises(Conflict, match="being read"):
        delete_upload(database, upload_id)
    cancel(database, job)
    delete_upload(database, upload_id)
    purge(database, store, settings)
    assert list(store.keys()) == []
    with pytest.raises(Conflict, match="was deleted"):
        retry(database, store, settings, job)


def test_deleting_a_person_leaves_no_file_and_no_row(
    settings: Settings, database: Database, store: LocalStore, runner: Runner
) -> None:
    person, job = training(settings, database, store)
    clip = job_of(database, job).inputs[0].upload_id
    assert clip is not None
    request_inspection(database, upload_id=clip)
    runner.run_all()
    sound = upload(settings, database, store, b"sound", "recording")
    request_video(database, person_id=person, recording_id=sound, pose="still", seed=0)
    runner.run_all()
    other, _ = training(settings, database, store, b"another clip")
    shared = upload(settings, database, store, b"shared", "recording")
    runner.run_all()
    for each in (person, other):
        request_video(database, person_id=each, recording_id=shared, pose="still", seed=0)
    runner.run_all()
    delete_person(database, person)
    purge(database, store, settings)
    left = list(store.keys())
    assert left
    assert not [key for key in left if person in key or clip in key or sound in key]
    assert [key for key in left if shared in key], "another person's video still reads it"
    assert list(settings.work_dir.iterdir()) == []
    with database.read() as session:
        assert PersonRepository(session).get(person) is None
        assert [row.id for row in PersonRepository(session).page(limit=9, cursor=None).rows] == [other]
        jobs = JobRecords(session).page(limit=50, cursor=None).rows
        assert {row.person_id for row in jobs} == {other}


def test_deleting_waits_for_the_worker(settings: Settings, database: Database, store: LocalStore) -> None:
    """The worker that runs the person's stage hears of it at its next tick, and the rest goes then."""
    person, job = training(settings, database, store)
    seen = []

    def fit_while_deleted(context: object) -> None:
        delete_person(database, person)
        purge(database, store, settings)
        seen.append(job_of(database, job).status)
        REGISTRY["fit"].run(context)  # type: ignore[arg-type]
        seen.append("went on")

    spec = REGISTRY["fit"]
    registry = {**REGISTRY, "fit": type(spec)(fit_while_deleted, "1", produces=spec.produces)}
    runner = Runner(database, store, settings, registry=registry)
    assert runner.run_all() == 2
    assert seen == ["canceling"]
    purge(database, store, settings)
    with database.read() as session:
        assert PersonRepository(session).get(person) is None
    assert list(store.keys()) == []
    assert list(settings.work_dir.iterdir()) == []


def test_deleting_a_training_keeps_the_promoted_weights(
    settings: Settings, database: Database, store: LocalStore, runner: Runner
) -> None:
    person, job = training(settings, database, store)
    runner.run_all()
    delete_job(database, job)
    purge(database, store, settings)
    assert [key.rsplit("/", 1)[1] for key in store.keys(f"people/{person}")] == [
        "face.jpg",
        "manifest.json",
        "person.likeness",
    ]
    sound = upload(settings, database, store, b"sound", "recording")
    video = request_video(database, person_id=person, recording_id=sound, pose="still", seed=0)
    runner.run_all()
    assert job_of(database, video).status == "succeeded"


def test_work_folders_without_a_job_are_swept(
    settings: Settings, database: Database, store: LocalStore
) -> None:
    _, job = training(settings, database, store)
    for name in (job, "job_gone"):
        (settings.work_dir / name).mkdir(parents=True)
    assert sweep_work_folders(database, settings) == 1
    assert [path.name for path in settings.work_dir.iterdir()] == [job]


def test_ids_sort_by_their_time() -> None:
    ids = [new_id("job") for _ in range(200)]
    stamps = [identifier[4:14] for identifier in ids]
    assert stamps == sorted(stamps)
    assert len(set(ids)) == 200
