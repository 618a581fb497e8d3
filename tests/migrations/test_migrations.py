"""The migrations, up and down, on both databases, against the tables that the code declares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text

from likeness.database import Database
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.schema import current_revision, downgrade, head_revision, migrate
from likeness.settings import Settings
from likeness.tables import EMBEDDED, Base, PersonVersion, Wake


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    postgres = request.param == "postgres"
    database = Database(request.getfixturevalue("postgres_url")) if postgres else Database.of(settings)
    yield database
    database.close()


def test_up_and_down_and_up_again(empty: Database) -> None:
    assert current_revision(empty) is None
    migrate(empty)
    assert current_revision(empty) == head_revision() is not None
    tables = set(inspect(empty.engine).get_table_names())
    assert tables == {*Base.metadata.tables, "alembic_version"}
    downgrade(empty, "base")
    assert set(inspect(empty.engine).get_table_names()) == {"alembic_version"}
    migrate(empty)
    assert current_revision(empty) == head_revision()


def test_the_migrations_make_what_the_code_declares(empty: Database) -> None:
    migrate(empty)
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_twice_keeps_the_data(empty: Database) -> None:
    migrate(empty)
    row = "insert into tenants (id, name, limits, created_at) values ('ten_a', 'Ada', '{}', '2026-01-01 00:00:00')"
    with empty.write() as session:
        session.execute(text(row))
    migrate(empty)
    with empty.read() as session:
        assert session.execute(text("select count(*) from tenants")).scalar() == 2


def _written_by_the_first_version(database: Database) -> None:
    """A trained person with a consent, a person without, a running and a waiting job."""
    with database.write() as session:
        for statement in (
            (
                "insert into artifacts values ('art_1', 'key', 'publish', 'people/per_1', 'people/per_1/s', "
                "'{\"files\": []}', '2026-01-01 00:00:00')"
            ),
            (
                "insert into uploads values ('upl_1', 'clip', 'a.mp4', 'video/mp4', 5, 'aa', 'uploads/upl_1/original', "
                "'2026-01-01 00:00:00', null)"
            ),
            (
                "insert into people values ('per_1', 'Ada', 'Ada Example', '2026-01-01 00:00:00', '{}', 'art_1', "
                "'2026-01-01 00:00:00', null)"
            ),
            "insert into people values ('per_2', 'Bob', null, null, '{}', null, '2026-01-01 00:00:00', null)",
            (
                "insert into jobs values ('job_1', 'training', 'per_1', null, 'people/per_1', 'running', 'fit', '{}', "
                "'{\"percent\": 5.0}', null, null, 1, '2026-01-01 00:00:00', '2026-01-01 00:00:00', null, null)"
            ),
            "insert into job_inputs values ('job_1', 'clip', 'upl_1', 'aa')",
        ):
            session.execute(text(statement))
        stage = text(
            "insert into stages values (:id, 'job_1', :ordinal, :name, :status, 30, :key, false, 1, 1, null, null, "
            "null, '2026-01-01 00:00:00', '2026-01-01 00:00:00', null, null, :artifact)"
        )
        for ordinal, (name, status) in enumerate(
            (("validate", "succeeded"), ("fit", "queued"), ("motion", "pending"))
        ):
            values = {"id": f"stg_{ordinal}", "ordinal": ordinal, "name": name, "status": status}
            session.execute(stage, {**values, "key": None, "artifact": None if ordinal else "art_1"})


def _counts(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {
            table: session.execute(text(f"select count(*) from {table}")).scalar_one()
            for table in ("artifacts", "uploads", "people", "jobs", "job_inputs", "stages")
        }


def test_what_the_first_version_wrote_survives_up_and_down(empty: Database) -> None:
    migrate(empty, "0001")
    _written_by_the_first_version(empty)
    before = _counts(empty)
    migrate(empty)
    assert _counts(empty) == before
    with empty.read() as session:
        ada, bob = (PersonRepository(session).get(name) for name in ("per_1", "per_2"))
        assert ada is not None
        assert bob is not None
        assert ada.consent is not None
        assert (ada.consent.subject_name, ada.consent.given) == ("Ada Example", True)
        assert bob.consent is None
        assert ada.tenant_id == bob.tenant_id == EMBEDDED
        job = JobRepository(session).get("job_1")
        assert job is not None
        assert [(stage.name, stage.queue, stage.tenant_id) for stage in job.stages] == [
            ("validate", "cpu", EMBEDDED),
            ("fit", "cpu", EMBEDDED),
            ("motion", "cpu", EMBEDDED),
        ]
        [version] = session.scalars(select(PersonVersion))
        assert (version.person_id, version.number, version.artifact_id) == ("per_1", 1, "art_1")
        assert version.consent_id == job.consent_id == ada.consent_id
        [wake] = session.scalars(select(Wake))
        assert (wake.stage_id, wake.queue) == ("stg_1", "cpu")
    downgrade(empty, "0001")
    assert _counts(empty) == before
    with empty.read() as session:
        people = session.execute(
            text("select id, consent_subject, consent_attested_at is not null from people order by id")
        ).all()
        assert [tuple(row) for row in people] == [("per_1", "Ada Example", True), ("per_2", None, False)]
    migrate(empty)
    assert _counts(empty) == before


def test_a_failed_migration_leaves_nothing(empty: Database) -> None:
    """DDL is transactional on both databases: half a schema would have to be repaired by hand."""
    with empty.write() as session:
        session.execute(text("create table stages (id integer)"))
    with pytest.raises(Exception, match="stages"):
        migrate(empty)
    assert set(inspect(empty.engine).get_table_names()) <= {"stages", "alembic_version"}


def test_a_video_stays_on_the_consent_that_its_manifest_names(empty: Database) -> None:
    """Also when its person has named another since; a check belongs to the consent whose recording it checked."""
    migrate(empty, "0003")
    with empty.write() as session:
        for consent in ("con_1", "con_2"):
            session.execute(
                text(
                    "insert into consents (id, tenant_id, subject_name, status, statement, language, purposes, "
                    "passcode, job_id, created_at) values (:id, 'ten_embedded', 'Ada', 'verified', "
                    "'', 'en', '[]', '', :job, '2026-01-01 00:00:00')"
                ),
                {"id": consent, "job": "job_check" if consent == "con_1" else None},
            )
        session.execute(
            text(
                "insert into people (id, tenant_id, name, consent_id, labels, created_at) values ('per_1', "
                "'ten_embedded', 'Ada', 'con_2', '{}', '2026-01-01 00:00:00')"
            )
        )
        for name, kind, person, params in (
            ("job_video", "video", "per_1", '{"consent": {"id": "con_1"}}'),
            ("job_train", "training", "per_1", "{}"),
            ("job_check", "consent", None, "{}"),
            ("job_look", "inspection", None, "{}"),
        ):
            session.execute(
                text(
                    "insert into jobs (id, tenant_id, kind, person_id, labels, scope, status, params, progress, "
                    "attempt, created_at) values (:id, 'ten_embedded', :kind, :person, '{}', 's', 'succeeded', "
                    ":params, '{}', 1, '2026-01-01 00:00:00')"
                ),
                {"id": name, "kind": kind, "person": person, "params": params},
            )
    migrate(empty)
    with empty.read() as session:
        found = dict(session.execute(text("select id, consent_id from jobs")).all())
    assert found == {"job_video": "con_1", "job_train": "con_2", "job_check": "con_1", "job_look": None}
    downgrade(empty, "0003")
    migrate(empty)
