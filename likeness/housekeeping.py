"""What somebody has to do now and then: idle workers, and the relay."""

from __future__ import annotations

from likeness.clock import now
from likeness.database import Database
from likeness.deletion import purge
from likeness.learned import sweep_revoked
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.idempotency import IdempotencyRepository
from likeness.repositories.sessions import SessionRepository
from likeness.repositories.uploads import UploadRepository
from likeness.settings import Settings
from likeness.store import ObjectStore


def tidy(database: Database, store: ObjectStore, settings: Settings) -> None:
    """Give up uploads and consents that nobody went on with, forget old answers and sessions, finish deletions, remove
    what was learned on consents that do not stand.

    Raises:
        StoreUnavailable: deletions wait; the rest is done.
    """
    moment = now()
    with database.read() as session:
        busy = UploadRepository(session).any_abandoned(moment)
        busy = busy or ConsentRepository(session).any_late(moment)
        busy = busy or IdempotencyRepository(session).any_old(moment)
        busy = busy or SessionRepository(session).any_old(moment)
    if busy:  # a write transaction of SQLite takes the lock of all
        with database.write() as session:
            UploadRepository(session).give_up_abandoned(moment)
            ConsentRepository(session).expire(moment)
            IdempotencyRepository(session).forget_old(moment)
            SessionRepository(session).forget_old(moment)
    purge(database, store, settings)
    sweep_revoked(database, store, settings)
