"""The one clock that rows are stamped with."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, timezone-aware UTC."""
    return datetime.now(UTC)
