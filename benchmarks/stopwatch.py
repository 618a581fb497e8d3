"""Where the time goes, by the stages that work reports itself."""

from __future__ import annotations

import time
from collections import defaultdict

from training.progress import Progress, Tick, silent


class Stopwatch:
    """A progress listener that adds the time since the last tick to the stage of this one.

    Args:
        onwards: also hears every tick.
    """

    def __init__(self, onwards: Progress = silent) -> None:
        self._onwards = onwards
        self._wall: defaultdict[str, float] = defaultdict(float)
        self._cpu: defaultdict[str, float] = defaultdict(float)
        self._last = time.perf_counter(), time.process_time()

    def __call__(self, tick: Tick) -> None:
        self.lap(tick.stage)
        self._onwards(tick)

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to ``stage``."""
        wall, cpu = time.perf_counter(), time.process_time()
        self._wall[stage] += wall - self._last[0]
        self._cpu[stage] += cpu - self._last[1]
        self._last = wall, cpu

    @property
    def split(self) -> dict[str, dict[str, float]]:
        """Stage -> ``{"wall_s", "cpu_s"}``, in order of appearance."""
        return {s: {"wall_s": round(self._wall[s], 2), "cpu_s": round(self._cpu[s], 2)} for s in self._wall}
