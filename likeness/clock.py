"""The one clock that rows are stamped with: the database's where several machines share one, else this machine's.

A lease, a pause or a deletion that one machine writes is judged by others. If each went by its own clock, one that is
wrong by an hour would make everybody wait for an hour.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FOLLOWED_FOR_S = 60.0
"""After so long the database is asked for its time again."""


@dataclass(frozen=True)
class _Reading:
    """What the database's clock said when this machine's ticks were at ``ticks``."""

    moment: datetime
    ticks: float


_followed: _Reading | None = None


def now() -> datetime:
    """The present moment, timezone-aware UTC."""
    reading = _followed
    if reading is None:
        return own_time()
    return reading.moment + timedelta(seconds=_ticks() - reading.ticks)


def own_time() -> datetime:
    """What this machine's own clock says, timezone-aware UTC."""
    return datetime.now(UTC)


def follow(moment: datetime) -> None:
    """From here on :func:`now` goes on from ``moment``, which is what the database says now, whatever becomes of this
    machine's own clock."""
    global _followed
    _followed = _Reading(moment.astimezone(UTC), _ticks())


def must_ask() -> bool:
    """Whether the database's time is not known, or has not been asked for a while."""
    return _followed is None or _ticks() - _followed.ticks > FOLLOWED_FOR_S


def _ticks() -> float:
    """Seconds that nobody sets, and that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
