"""SQL on the outbox: wake-ups that are written with a queued stage and handed to the broker by the relay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from likeness.tables import Stage, Wake


def due(table: type[Stage] | type[Wake], now: datetime) -> ColumnElement[bool]:
    """Its time has come, or it has none."""
    return or_(table.not_before.is_(None), table.not_before <= now)


def waiting(now: datetime, queue: str) -> tuple[ColumnElement[bool], ...]:
    """A queue's stages that a worker might take this moment."""
    return (Stage.status == "queued", Stage.queue == queue, due(Stage, now))


class OutboxRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def wake(self, stage: Stage, now: datetime) -> None:
        """Have somebody woken for a queued stage, not before it is due."""
        self.session.add(Wake(stage=stage, queue=stage.queue, not_before=stage.not_before, created_at=now))

    def hush(self, stage_ids: Sequence[str]) -> None:
        """Nobody need be woken for these any more."""
        self.session.execute(delete(Wake).where(Wake.stage_id.in_(stage_ids)))

    def due(self, now: datetime, *, limit: int) -> list[Wake]:
        """Wake-ups to be sent, oldest first, locked: two relays never hold the same."""
        query = (
            select(Wake)
            .where(due(Wake, now))
            .order_by(Wake.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return list(self.session.scalars(query))

    def sent(self, wakes: Sequence[Wake]) -> None:
        """Forget what the broker has taken."""
        self.session.execute(delete(Wake).where(Wake.id.in_([wake.id for wake in wakes])))

    def waiting(self, now: datetime, queue: str, *, limit: int) -> int:
        """How many due stages of a queue wait, counted up to ``limit``."""
        some = select(Stage.id).where(*waiting(now, queue)).limit(limit).subquery()
        return self.session.scalar(select(func.count()).select_from(some)) or 0
