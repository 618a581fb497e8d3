"""How far a job is and how long it still takes, told from the ticks of its running stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.progress import Tick

Parts = Mapping[str, float]
"""Names of a stage's ticks in their order, with the seconds that each part takes on two cores: what counts is how they
compare."""
Seconds = Parts | Callable[[Mapping[str, Any], Collection[str]], Parts]
"""The parts of a stage, or what tells them from a job's parameters and the roles of its input files."""

FIT_S: Parts = {
    "fit.landmarks": 5,
    "fit.identity": 13,
    "fit.smoothness": 1,
    "fit.frames": 4,
    "fit.look": 10,
    "fit.surface": 8,
    "fit.texture": 3,
    "fit.appearance": 14,
}
"""300 frames of 512 x 512, as ``likeness bench rendering`` splits them; so are the stages of a training."""
_TRAIN_S = {"preview": 154, "standard": 770, "best": 1670}
"""Measured for preview; the other two are what is left of the aims in ``likeness.estimates``."""
_LEADER_S: Parts = {"fit.landmarks": 10, "fit.identity": 11, "fit.smoothness": 2, "fit.frames": 5}
"""Of a video of 300 frames, bringing it to the clock included."""
_LEAST_GAIN = 0.01
"""Share of a stage below which its speed says nothing yet."""


def render_s(params: Mapping[str, Any], _roles: Collection[str]) -> Parts:
    """Of the stage render: only what is learned of a network takes long."""
    train = _TRAIN_S.get(str(params.get("preset")))
    if train is None:
        return {"render.surroundings": 13}
    return {"render.surroundings": 13, "render.composites": 17, "render.train": train}


def led(own: Parts) -> Seconds:
    """Of a stage that follows somebody's head in a video first, where there is one."""

    def parts(_params: Mapping[str, Any], roles: Collection[str]) -> Parts:
        return {**_LEADER_S, **own} if "pose_video" in roles else own

    return parts


def expected(seconds: Seconds, params: Mapping[str, Any], roles: Collection[str]) -> Parts:
    """The parts of a stage in one job."""
    return seconds(params, roles) if callable(seconds) else seconds


@dataclass
class Meter:
    """Turns ticks of one stage into the job's progress: a percentage that never falls, and an ETA."""

    stages: Sequence[Parts]
    """The job's stages; one without parts counts as a second, and any of its ticks as all of it."""
    index: int
    """Which of them is running."""
    clock: Callable[[], float] = time.monotonic
    _peak: float = 0.0
    _first: tuple[float, float] | None = None

    def read(self, tick: Tick) -> dict[str, Any]:
        """The progress to show after a tick."""
        moment = self.clock()
        self._peak = max(self._peak, self._fraction(tick))
        if self._first is None:  # a resumed stage starts with what was done before, which took no time now
            self._first = (self._peak, moment)
        before, mine = sum(map(_whole, self.stages[: self.index])), _whole(self.stages[self.index])
        return {
            "percent": round(100.0 * (before + mine * self._peak) / sum(map(_whole, self.stages)), 1),
            "done": tick.done,
            "total": tick.total,
            "eta_seconds": self._eta(moment),
            "message": tick.message,
            "metrics": {name: float(value) for name, value in tick.metrics.items()},
        }

    def _fraction(self, tick: Tick) -> float:
        """How much of the stage is done, 0..1."""
        done = min(1.0, tick.done / tick.total) if tick.total > 0 else 0.0
        parts = self.stages[self.index]
        if not parts:
            return done
        if tick.stage not in parts:  # nobody said how long this part takes: stand still
            return self._peak
        names = list(parts)
        earlier = sum(parts[name] for name in names[: names.index(tick.stage)])
        return (earlier + parts[tick.stage] * done) / _whole(parts)

    def _eta(self, moment: float) -> float | None:
        assert self._first is not None
        gained, elapsed = self._peak - self._first[0], moment - self._first[1]
        if gained < _LEAST_GAIN or elapsed <= 0:
            return None
        whole = elapsed / gained
        later = sum(map(_whole, self.stages[self.index + 1 :])) / _whole(self.stages[self.index])
        return round(whole * (1.0 - self._peak + later), 1)


def _whole(parts: Parts) -> float:
    return sum(parts.values()) or 1.0
