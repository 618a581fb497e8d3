"""What a worker does beside its stages, and an idle one does as well: free what dead workers held, finish deletions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from likeness.clock import now
from likeness.database import Database
from likeness.housekeeping import tidy
from likeness.loops import Board, Loop
from likeness.repositories.leases import LeaseRepository
from likeness.settings import Settings
from likeness.store import ObjectStore

log = logging.getLogger("likeness.tidying")


def reap(database: Database, settings: Settings) -> int:
    """Queue the stages again whose workers let their leases run out, or end them; returns how many there were."""
    moment = now()
    with database.read() as session:
        if not LeaseRepository(session).any_expired(moment):
            return 0
    with database.write() as session:
        reaped = LeaseRepository(session).reap(now=moment, max_attempts=settings.max_attempts)
    if reaped:
        log.info("%d stage(s) of dead workers queued again", reaped)
    return reaped


@contextmanager
def tidying(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    *,
    board: Board,
    every_s: float,
    takeover: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Tidy in threads while the block runs. Each thing has its own loop: a store that is away holds up no lease.

    Args:
        takeover: done before leases are looked at; see :class:`workers.slots.Takeover`.
    """

    def free_leases() -> None:
        if takeover is not None:
            takeover()
        reap(database, settings)

    def finish_deletions() -> None:
        tidy(database, store, settings)

    with ExitStack() as loops:
        for name, work in (("leases", free_leases), ("tidy", finish_deletions)):
            loops.enter_context(Loop(name, work, pause_s=every_s, board=board).beside())
        yield
