"""Cursor pages: newest first, by id, since ids sort by the time they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from likeness.tables import AuditEvent, Batch, Consent, Deletion, Person, Upload, WebhookDelivery

Row = TypeVar("Row", Upload, Person, Consent, Batch, AuditEvent, WebhookDelivery, Deletion)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some rows and where the next ones start."""

    rows: Sequence[Item]
    next_cursor: str | None
    """Pass it back to go on; None at the end."""


def read_page(
    session: Session,
    query: Select[Row],
    identifier: InstrumentedAttribute[str],
    *,
    limit: int,
    cursor: str | None,
) -> Page[Row]:
    """The newest ``limit`` rows of ``query`` that are older than ``cursor``."""
    if cursor is not None:
        query = query.where(identifier < cursor)
    rows = session.scalars(query.order_by(identifier.desc()).limit(limit + 1)).unique().all()
    return Page(rows[:limit], rows[limit - 1].id if len(rows) > limit else None)
