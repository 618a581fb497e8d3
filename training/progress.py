"""How long work reports itself, without knowing who listens (terminal, database, test)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Tick:
    """One step of long work."""

    stage: str
    """Stage or part of a stage, e.g. ``fit`` or ``render.train``."""
    done: int
    """Units finished, 0..total."""
    total: int
    """Units in all; 0 when unknown."""
    message: str = ""
    """A short human sentence, may be empty."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Named numbers worth showing, e.g. ``{"loss": 0.12}``."""


Progress = Callable[[Tick], None]
"""A listener. It may raise :class:`problems.Cancelled` or :class:`problems.LeaseLost`; workers let it fly."""


def silent(tick: Tick) -> None:
    """The listener that ignores everything."""


def ticking(
    items: Iterable[Item], progress: Progress, stage: str, total: int, every_s: float = 0.2
) -> Iterator[Item]:
    """Yield ``items`` and report at most every ``every_s`` seconds, plus the first and the last."""
    progress(Tick(stage, 0, total))
    last, done = time.monotonic(), 0
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= every_s:
            progress(Tick(stage, done, total))
            last = time.monotonic()
    progress(Tick(stage, done, total or done))
