"""The one task: some stage of the worker's queues waits; run the one whose turn it is.

A prefork child makes its runner at its first message and keeps it: its slot's kernel lock tells it that its predecessor
is dead, whose stage it then takes over without waiting for the lease.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from celery import shared_task
from celery.signals import worker_process_init, worker_shutting_down

from likeness.clock import now
from likeness.database import Database
from likeness.deletion import sweep_work_folders
from likeness.locks import hold
from likeness.repositories.leases import LeaseRepository
from likeness.settings import Settings
from likeness.stores import store_of
from workers.celery_app import RUN_STAGE
from workers.runner import EXIT_TAINTED, STAGES, Runner, StageSpec, present

log = logging.getLogger("likeness.tasks")

STOP = multiprocessing.get_context("fork").Event()
"""Set in the parent when it is asked to stop; its child puts down its stage at the next tick."""

stages: Mapping[str, StageSpec] = STAGES
"""What it runs; set before the worker starts (its children inherit it)."""

_held = ExitStack()
_runner: list[Runner] = []


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    STOP.set()


@worker_process_init.connect
def _begin(**_: Any) -> None:
    runner()


def runner() -> Runner:
    """This process's runner."""
    if not _runner:
        settings = Settings.load()
        queues = tuple(os.environ["LIKENESS_WORKER_QUEUES"].split(","))
        slot = os.environ["LIKENESS_WORKER_SLOT"]
        database = Database.of(settings)
        lock = settings.locks_dir / f"worker-{slot}.lock"
        _held.enter_context(hold(lock, wait_s=settings.lease_s, what=f"a worker of slot {slot}"))
        store = store_of(settings)
        store.prepare()
        owner = f"{slot}/{os.getpid()}-{secrets.token_hex(4)}"
        with database.write() as session:
            LeaseRepository(session).reclaim(slot, now=now())
        sweep_work_folders(database, settings)
        _held.enter_context(present(database, owner, settings, queues=queues))
        atexit.register(_held.close)
        made = Runner(
            database,
            store,
            settings,
            registry=stages,
            owner=owner,
            queues=queues,
            stop=STOP,
        )
        _runner.append(made)
    return _runner[0]


@shared_task(name=RUN_STAGE)
def run_stage(stage_id: str) -> bool:
    """Run a waiting stage; True when there was one. ``stage_id`` is the one whose wait sent this, for the log."""
    made = runner()
    log.debug("woken for %s", stage_id)
    worked = made.run_once()
    if made.tainted:
        os._exit(EXIT_TAINTED)  # a fresh child takes the message and goes on
    return worked
