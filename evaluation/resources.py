"""How much memory a piece of work takes, its child processes included."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil


class MemoryWatch:
    """Context manager that samples the resident memory of this process and all its descendants.

    Pages shared between processes count once per process, so the figure errs upwards.

    Args:
        interval_s: seconds between samples.
    """

    def __init__(self, interval_s: float = 0.2) -> None:
        self._interval = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)
        self.peak_mb = 0.0
        """Highest sum seen so far, in MiB."""

    def _sample(self) -> None:
        own = psutil.Process()
        total = own.memory_info().rss
        for child in own.children(recursive=True):
            try:
                total += child.memory_info().rss
            except psutil.Error:  # it ended between being listed and being asked
                continue
        self.peak_mb = max(self.peak_mb, total / 2**20)

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self._sample()

    def __enter__(self) -> MemoryWatch:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()
