"""The relay: hands wake-ups to the broker, frees what dead workers held, and tells clients what ended.

    outbox ──▶ broker            as soon as a stage is queued
    expired lease ──▶ queued     every ``sweep_s``: its worker is dead
    object that no row names ──▶ gone     after ``orphan_grace_s``
    queued, nobody woken ──▶ broker   every ``sweep_s``: Redis was emptied, or messages were lost
    webhook delivery ──▶ client  until it was taken, with growing pauses

It may be killed anywhere and run twice: rows are locked while they are worked on, a message that was sent twice finds
nothing to claim, and a receiver tells two deliveries of one event apart by their ``webhook-id``.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from types import FrameType

import redis
from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from likeness.clock import now
from likeness.database import Database
from likeness.housekeeping import tidy
from likeness.logs import write_logs
from likeness.orphans import Sweeper
from likeness.repositories.leases import QUEUES, LeaseRepository
from likeness.repositories.outbox import OutboxRepository
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.stores import store_of
from problems import InvalidParameter
from workers.celery_app import RUN_STAGE, make_celery
from workers.hooks import send_due
from workers.runner import present

log = logging.getLogger("likeness.relay")

_BATCH = 200
_AT_HAND = 1000
"""Wake-ups that lie in a queue at most because of a sweep."""
_ORPHANS_EVERY_S = 3600.0


class Relay:
    """One relay.

    Args:
        poll_s: pause between two looks at an empty outbox, s.
    """

    def __init__(
        self, database: Database, store: ObjectStore, settings: Settings, *, poll_s: float = 0.1
    ) -> None:
        if not settings.broker_url:
            raise InvalidParameter(
                "a relay needs a broker",
                remedy="set LIKENESS_BROKER_URL (redis://host:6379/0); the embedded service needs no relay",
                details={"field": "LIKENESS_BROKER_URL"},
            )
        self.database, self.store, self.settings, self.poll_s = database, store, settings, poll_s
        self.celery = make_celery(settings)
        self._redis = redis.Redis.from_url(settings.broker_url, socket_timeout=10, socket_connect_timeout=10)
        self.stop = threading.Event()
        self._sweeper = Sweeper(database, store, grace=timedelta(seconds=settings.orphan_grace_s))

    def run(self) -> None:
        """Relay until :attr:`stop` is set."""
        owner = f"relay-{socket.gethostname()}-{os.getpid()}/{secrets.token_hex(4)}"
        with present(self.database, owner, self.settings):
            hooks = threading.Thread(target=self._until_stopped, args=(self.hooks, 1.0), daemon=True)
            sweeps = threading.Thread(
                target=self._until_stopped, args=(self.sweep, self.settings.sweep_s), daemon=True
            )
            orphans = threading.Thread(
                target=self._until_stopped, args=(self.orphans, _ORPHANS_EVERY_S), daemon=True
            )
            for thread in (hooks, sweeps, orphans):
                thread.start()
            self._until_stopped(self.dispatch, self.poll_s)
            for thread in (hooks, sweeps, orphans):
                thread.join()

    def _until_stopped(self, work: Callable[[], int], pause_s: float) -> None:
        failures = 0
        while not self.stop.is_set():
            try:
                busy, failures = work() > 0, 0
            except (SQLAlchemyError, OperationalError, redis.RedisError, OSError) as error:
                failures += 1
                busy = False
                log.warning("%s failed (%s); trying again", work.__name__, error)
            if not busy or work != self.dispatch:
                self.stop.wait(max(pause_s, min(0.1 * 2**failures, 10.0) if failures else 0.0))

    def dispatch(self) -> int:
        """Send wake-ups that are due; returns how many. A crash before the commit sends them again."""
        with self.database.write() as session:
            outbox = OutboxRepository(session)
            wakes = outbox.due(now(), limit=_BATCH)
            for wake in wakes:
                self._send(wake.queue, wake.stage_id)
            outbox.sent(wakes)
        return len(wakes)

    def _send(self, queue: str, stage_id: str) -> None:
        self.celery.send_task(
            RUN_STAGE, args=[stage_id], queue=queue, retry=False, ignore_result=True, expires=None
        )

    def sweep(self) -> int:
        """Requeue stages of dead workers, wake for stages that nobody was woken for, finish deletions."""
        with self.database.write() as session:
            reaped = LeaseRepository(session).reap(now=now(), max_attempts=self.settings.max_attempts)
        woken = 0
        for queue in QUEUES:
            with self.database.read() as session:
                waiting = OutboxRepository(session).waiting(now(), queue, limit=_AT_HAND)
            missing = waiting - int(self._redis.llen(queue))
            for _ in range(missing):
                self._send(queue, "")
            woken += max(missing, 0)
        if reaped or woken:
            log.info("%d stage(s) of dead workers queued again, %d wake-up(s) sent again", reaped, woken)
        tidy(self.database, self.store, self.settings)
        return reaped + woken

    def orphans(self) -> int:
        """Delete outputs that no row has named for a day; returns how many objects."""
        gone = self._sweeper.sweep(now())
        if gone:
            log.info("%d object(s) that no row names were deleted", gone)
        return gone

    def hooks(self) -> int:
        """Send webhook deliveries that are due; returns how many were tried."""
        return send_due(self.database, self.settings)


def serve(settings: Settings) -> int:
    """Be a relay process until SIGTERM or SIGINT; returns the exit status."""
    settings.require_safe()
    write_logs(settings)
    relay = Relay(Database.of(settings), store_of(settings), settings)

    def put_down(_number: int, _frame: FrameType | None) -> None:
        relay.stop.set()

    signal.signal(signal.SIGTERM, put_down)
    signal.signal(signal.SIGINT, put_down)
    while not relay.stop.is_set():
        try:
            relay.run()
        except SQLAlchemyError:
            log.exception("the database can't be used; trying again")
            time.sleep(1.0)
    return 0
