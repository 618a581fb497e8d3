"""Whose turn it is to have a file fetched: each fetch holds a thread, so one tenant's must not take all of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from likeness.refusals import NotReady


class FetchTurns:
    """Counts the fetches of this process.

    Args:
        together: of all tenants, at the same time.
        tenant: of one.
    """

    def __init__(self, *, together: int = 16, tenant: int = 2) -> None:
        self._together, self._tenant = together, tenant
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    @contextmanager
    def take(self, tenant_id: str) -> Iterator[None]:
        """Count a fetch of a tenant while the block runs.

        Raises:
            NotReady: too many are under way, theirs or everybody's.
        """
        with self._lock:
            if self._running[tenant_id] >= self._tenant:
                raise _later(f"the service fetches {self._tenant} files for you already")
            if self._running.total() >= self._together:
                raise _later("the service fetches many files already")
            self._running[tenant_id] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[tenant_id] -= 1
                if not self._running[tenant_id]:
                    del self._running[tenant_id]


def _later(message: str) -> NotReady:
    return NotReady(
        message,
        remedy="try again in a few seconds, or upload the file",
        details={"retry_after_s": 5},
    )
