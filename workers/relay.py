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
import threading
from contextlib import ExitStack
from datetime import timedelta

import redis

from likeness.clock import now
from likeness.database import Database
from likeness.housekeeping import tidy
from likeness.logs import write_logs
from likeness.loops import Board, Flag, Loop
from likeness.orphans import Sweeper
from likeness.repositories.leases import QUEUES
from likeness.repositories.outbox import OutboxRepository
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.stores import store_of
from problems import InvalidParameter
from workers.celery_app import RUN_STAGE, make_celery
from workers.hooks import LOOK_EVERY_S, Courier
from workers.presence import identity, present
from workers.stopping import stopped_by_signals
from workers.tidying import reap

log = logging.getLogger("likeness.relay")

_BATCH = 200
_AT_HAND = 1000
"""Wake-ups that lie in a queue at most because of a sweep."""
_ORPHANS_EVERY_S = 3600.0
_LONGEST_DISPATCH_PAUSE_S = 5.0
"""Workers wait for it."""


class Relay:
    """One relay.

    Args:
        poll_s: pause between two looks at an empty outbox, s.
    """

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        settings: Settings,
        *,
        poll_s: float = 0.1,
        stop: Flag | None = None,
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
        self.stop: Flag = stop or threading.Event()
        self.board = Board()
        self.courier = Courier(database, settings)
        self._prepared = False
        self._sweeper = Sweeper(database, store, grace=timedelta(seconds=settings.orphan_grace_s))

    def run(self) -> None:
        """Relay until :attr:`stop` is set. A store that is not there yet holds up only what needs it."""
        with ExitStack() as parts:
            parts.enter_context(present(self.database, identity("relay"), self.settings, board=self.board))
            parts.enter_context(self.courier)
            for name, work, pause_s in (
                ("hooks", self.courier.turn, LOOK_EVERY_S),
                ("sweep", self.sweep, self.settings.sweep_s),
                ("tidy", self.tidy, self.settings.sweep_s),
                ("orphans", self.orphans, _ORPHANS_EVERY_S),
            ):
                parts.enter_context(Loop(name, work, pause_s=pause_s, board=self.board).beside())
            Loop(
                "dispatch",
                self.dispatch,
                pause_s=self.poll_s,
                longest_pause_s=_LONGEST_DISPATCH_PAUSE_S,
                stop=self.stop,
                board=self.board,
                eager=True,
            ).run()

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
        """Requeue stages of dead workers, and wake for stages that nobody was woken for."""
        reaped = reap(self.database, self.settings)
        woken = 0
        for queue in QUEUES:
            with self.database.read() as session:
                waiting = OutboxRepository(session).waiting(now(), queue, limit=_AT_HAND)
            missing = waiting - int(self._redis.llen(queue))
            for _ in range(missing):
                self._send(queue, "")
            woken += max(missing, 0)
        if woken:
            log.info("%d wake-up(s) sent again", woken)
        return reaped + woken

    def tidy(self) -> None:
        """Finish deletions, and give up what nobody went on with."""
        self._prepare()
        tidy(self.database, self.store, self.settings)

    def _prepare(self) -> None:
        if not self._prepared:
            self.store.prepare()
            self._prepared = True

    def orphans(self) -> int:
        """Delete outputs that no row has named for a day; returns how many objects."""
        self._prepare()
        gone = self._sweeper.sweep(now())
        if gone:
            log.info("%d object(s) that no row names were deleted", gone)
        return gone


def serve(settings: Settings) -> int:
    """Be a relay process until SIGTERM or SIGINT; returns the exit status."""
    stop = stopped_by_signals()
    settings.require_safe()
    write_logs(settings)
    Relay(Database.of(settings), store_of(settings), settings, stop=stop).run()
    return 0
