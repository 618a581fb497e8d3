"""What /readyz, the dashboard and `likeness doctor` want to know about the parts of a deployment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from likeness.clock import now
from likeness.database import Database
from likeness.repositories.workers import WorkerRepository
from likeness.schema import current_revision, head_revision
from likeness.settings import MEBIBYTE, Settings


@dataclass(frozen=True)
class WorkerState:
    """What the supervisor knows about its child."""

    alive: bool
    pid: int | None
    restarts: int
    detail: str


WorkerWatch = Callable[[], WorkerState]
"""Asks the supervisor; an API process that has none reads the register of workers instead."""


@dataclass(frozen=True)
class Check:
    """One part and whether it is fit for use."""

    name: str
    ok: bool
    detail: str


def check_database(database: Database) -> Check:
    """Reachable, and on the schema that this code was written for."""
    try:
        found = current_revision(database)
    except SQLAlchemyError as error:
        return Check(
            "database", False, f"can't be reached ({type(error).__name__}); check LIKENESS_DATABASE_URL"
        )
    wanted = head_revision()
    if found != wanted:
        return Check(
            "database", False, f"schema is {found or 'empty'}, code wants {wanted}; run `likeness migrate`"
        )
    return Check("database", True, f"{database.engine.dialect.name}, schema {found}")


def check_disk(settings: Settings) -> Check:
    """Enough free space in the data folder, and it can be written."""
    try:
        settings.prepare_folders()
        free = shutil.disk_usage(settings.data_dir).free
        probe = settings.incoming_dir / ".probe"
        probe.write_bytes(b"1")
        probe.unlink()
    except OSError as error:
        return Check(
            "disk", False, f"{settings.data_dir} can't be written ({error.strerror}); check LIKENESS_DATA_DIR"
        )
    detail = f"{free // MEBIBYTE} MiB free in {settings.data_dir}"
    if free < settings.min_free_bytes:
        return Check("disk", False, f"{detail}, fewer than the {settings.min_free_mb} kept; free some space")
    return Check("disk", True, detail)


def check_worker(database: Database, settings: Settings, watch: WorkerWatch | None) -> Check:
    """Somebody is there to run stages."""
    if watch is not None:
        state = watch()
        return Check("worker", state.alive, state.detail)
    with database.read() as session:
        # Two beats may be late before a worker counts as gone.
        register = WorkerRepository(session).seen_since(now() - timedelta(seconds=3 * settings.heartbeat_s))
    seen = [worker for worker in register if worker.queues]  # a relay has none
    if seen:
        return Check("worker", True, f"{len(seen)} alive")
    return Check("worker", False, "no worker is alive: jobs will wait; start one with `likeness worker`")


def checks(database: Database, settings: Settings, watch: WorkerWatch | None) -> list[Check]:
    """All of them; the worker's only when the database can be asked."""
    found = [check_database(database), check_disk(settings)]
    if found[0].ok or watch is not None:
        found.append(check_worker(database, settings, watch))
    return found
