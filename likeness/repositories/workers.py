"""SQL on the register of workers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from likeness.tables import Stage, Worker


class WorkerRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def register(self, worker: Worker) -> None:
        """Enter a worker, and forget those unseen for a day."""
        self.session.execute(delete(Worker).where(Worker.last_seen < worker.started_at - timedelta(days=1)))
        self.session.add(worker)

    def seen(self, worker_id: str, when: datetime, loops: Mapping[str, Any] | None = None) -> bool:
        """Note that a worker lives, and how its loops go; False when it is not in the register."""
        values = {"last_seen": when} if loops is None else {"last_seen": when, "loops": dict(loops)}
        found = self.session.execute(
            update(Worker).where(Worker.id == worker_id).values(**values).returning(Worker.id)
        )
        return found.first() is not None

    def leave(self, worker_id: str) -> None:
        self.session.execute(delete(Worker).where(Worker.id == worker_id))

    def get(self, worker_id: str) -> Worker | None:
        return self.session.get(Worker, worker_id)

    def taken_queues(self, since: datetime) -> set[str]:
        """Queues that somebody who was seen since then takes stages from."""
        rows = self.session.connection().execute(_QUEUES, {"since": since})
        return {queue for (names,) in rows for queue in names.split(",") if queue}

    def all(self) -> list[Worker]:
        return list(self.session.scalars(select(Worker).order_by(Worker.started_at)))

    def stage_counts(self) -> dict[tuple[str, str], int]:
        """How many stages of each queue wait or run: ``{(queue, status): count}``."""
        query = (
            select(Stage.queue, Stage.status, func.count())
            .where(Stage.status.in_(("queued", "running")))
            .group_by(Stage.queue, Stage.status)
        )
        return {(queue, status): count for queue, status, count in self.session.execute(query)}

    def seen_since(self, when: datetime) -> list[Worker]:
        return list(self.session.scalars(select(Worker).where(Worker.last_seen >= when)))


_workers = Worker.__table__.c
_QUEUES = (
    select(_workers.queues)
    .where(_workers.last_seen >= bindparam("since", type_=_workers.last_seen.type))
    .distinct()
)
