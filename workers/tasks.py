"""The one task: some stage of the worker's queues waits; run the one whose turn it is.

A prefork child makes its runner at its first message and keeps it: its slot's kernel lock tells it that its predecessor
is dead, whose stage it then takes over without waiting for the lease.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from celery import shared_task
from celery.signals import worker_process_init, worker_shutting_down

from likeness.database import Database
from likeness.loops import Board
from likeness.settings import Settings
from likeness.stores import store_of
from workers.celery_app import RUN_STAGE
from workers.presence import identity, present
from workers.runner import EXIT_TAINTED, STAGES, Runner, StageSpec
from workers.slots import hold_slot
from workers.stopping import StopFlag
from workers.tidying import tidying

log = logging.getLogger("likeness.tasks")

STOP = StopFlag()
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
        database, store, board = Database.of(settings), store_of(settings), Board()
        owner = identity("-".join(queues))
        takeover = _held.enter_context(hold_slot(database, settings, slot, owner))
        made = Runner(
            database,
            store,
            settings,
            registry=stages,
            owner=owner,
            queues=queues,
            stop=STOP,
            board=board,
            takeover=takeover,
        )
        _held.enter_context(present(database, owner, settings, board=board, queues=queues))
        # An idle child has no other way to see that somebody died: nobody wakes it for that.
        _held.enter_context(
            tidying(database, store, settings, board=board, every_s=settings.sweep_s, takeover=takeover)
        )
        atexit.register(_held.close)
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
