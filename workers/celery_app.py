"""The Celery application: it carries wake-ups, nothing else.

The row is the truth; a message only says that some stage waits. So duplicates and losses of messages are harmless, and
every setting here serves one aim: that a message is not given up before its work was done.

- ``acks_late`` and ``reject_on_worker_lost``: a killed process hands its message back (measured: within 3 s).
- one process, one message at a time: a GPU has one tenant, and nothing waits behind it unseen.
- no ETA, no countdown, no retries, no results: delays, attempts and outcomes live in rows.
- the visibility timeout is longer than a stage may last: Redis hands a message out again after it.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from celery import Celery
from kombu import Exchange, Queue

from likeness.database import Database
from likeness.locks import hold
from likeness.loops import Board, persist
from likeness.repositories.leases import QUEUES
from likeness.settings import Settings
from likeness.stores import store_of
from problems import Conflict, InvalidParameter
from workers.presence import identity, present
from workers.stopping import stopped_by_signals

RUN_STAGE = "likeness.run_stage"


def make_celery(settings: Settings) -> Celery:
    """The application of a deployment; connects to nothing by itself."""
    app = Celery("likeness", broker=settings.broker_url, include=["workers.tasks"])
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": int(2 * settings.stage_limit_s),
            "socket_timeout": 30,
            "socket_connect_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_default_queue="cpu",
        task_ignore_result=True,
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
        task_reject_on_worker_lost=True,
        task_soft_time_limit=settings.stage_limit_s,
        task_time_limit=settings.stage_limit_s + 60,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the lease says whose stage it is
        worker_concurrency=1,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
    )
    return app


def work(settings: Settings, queues: Sequence[str]) -> int:
    """Be a Celery worker for these queues until SIGTERM or SIGINT; returns the exit status.

    Raises:
        InvalidParameter: there is no broker, or no such queue.
        Conflict: 64 workers of these queues run on this data folder already.
    """
    if not settings.broker_url:
        raise InvalidParameter(
            "a worker for queues needs a broker",
            remedy="set LIKENESS_BROKER_URL (redis://host:6379/0), or leave out --queue",
            details={"field": "queue"},
        )
    if unknown := sorted(set(queues) - set(QUEUES)):
        raise InvalidParameter(
            f"there is no queue {unknown[0]!r}",
            remedy=f"use {' or '.join(QUEUES)}",
            details={"field": "queue"},
        )
    with ExitStack() as held:
        slot = _slot(settings, queues, held)
        if not _store_is_there(settings):
            return 0
        os.environ["LIKENESS_WORKER_SLOT"] = slot
        os.environ["LIKENESS_WORKER_QUEUES"] = ",".join(queues)
        arguments = [
            "--quiet",
            "worker",
            "--pool=prefork",
            "--concurrency=1",
            f"--queues={','.join(queues)}",
            f"--hostname={identity('-'.join(queues)).replace('/', '-')}",
            f"--loglevel={settings.log_level}",
            "--without-gossip",
            "--without-mingle",
        ]
        app = make_celery(settings)
        app.set_default()
        try:
            app.worker_main(arguments)
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def _store_is_there(settings: Settings) -> bool:
    """Wait for the store, and say so in the log and in the register of workers; False when asked to stop before."""
    stop = stopped_by_signals()
    board, store, database = Board(), store_of(settings), Database.of(settings)
    try:
        with present(database, identity("waiting"), settings, board=board):
            persist("store", store.prepare, stop=stop, board=board)
            # Until Celery has handlers of its own nothing runs that would have to be put down.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            return not stop.is_set()
    finally:
        database.close()  # nothing that is connected may be forked


def _slot(settings: Settings, queues: Sequence[str], held: ExitStack) -> str:
    """A name that no other living worker on this data folder has."""
    for number in range(1, 65):
        slot = f"{socket.gethostname()}-{'-'.join(queues)}-{number}"
        try:
            held.enter_context(hold(settings.locks_dir / f"celery-{slot}.lock", wait_s=0, what=slot))
        except Conflict:
            continue
        return slot
    raise Conflict("64 workers of these queues run here already", remedy="use another LIKENESS_DATA_DIR")
