"""A worker's slot: the kernel lock that says whose stages a new worker may take over without waiting for their leases.

Each start of a worker has an identity of its own (:func:`workers.presence.identity`). Whoever gets the lock of a slot
knows that the process which held it before is dead, and reads from the file beside the lock which identity that was:
only that one's leases are ended, whatever other workers call their machines or slots.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from likeness.clock import now
from likeness.database import Database
from likeness.deletion import sweep_work_folders
from likeness.locks import hold
from likeness.repositories.leases import LeaseRepository
from likeness.repositories.workers import WorkerRepository
from likeness.settings import Settings

log = logging.getLogger("likeness.slots")


class Takeover:
    """What the holder of a slot does once before its first stage: end the leases of its dead predecessor.

    Calling it again does nothing once it went well; what the database raises is passed on, and nothing is forgotten.
    """

    def __init__(self, database: Database, settings: Settings, owner: str, record: Path) -> None:
        self._database, self._settings, self._owner, self._record = database, settings, owner, record
        self._lock = threading.Lock()
        self._done = False

    def __call__(self) -> None:
        with self._lock:
            if self._done:
                return
            before = self._record.read_text().strip() if self._record.is_file() else ""
            if before and before != self._owner:
                with self._database.write() as session:
                    taken = LeaseRepository(session).reclaim(before, now=now())
                    WorkerRepository(session).leave(before)
                if taken:
                    log.warning("took over %d stage(s) of %s, which died", taken, before)
            sweep_work_folders(self._database, self._settings)
            temporary = self._record.with_name(f".{self._record.name}.{os.getpid()}.tmp")
            temporary.write_text(self._owner)
            os.replace(temporary, self._record)
            self._done = True


@contextmanager
def hold_slot(database: Database, settings: Settings, slot: str, owner: str) -> Iterator[Takeover]:
    """Hold a slot of the data folder while the block runs.

    Raises:
        Conflict: another living process holds it for longer than a lease lasts.
    """
    lock = settings.locks_dir / f"worker-{slot}.lock"
    with hold(lock, wait_s=settings.lease_s, what=f"a worker of slot {slot}"):
        yield Takeover(database, settings, owner, lock.with_suffix(".owner"))
