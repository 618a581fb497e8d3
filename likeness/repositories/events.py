"""SQL on what happened to a job, in order."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from likeness.tables import Job, JobEvent


class EventRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, job_id: str, kind: str, data: Mapping[str, Any], when: datetime) -> None:
        self.session.add(JobEvent(job_id=job_id, kind=kind, data=dict(data), created_at=when))

    def status(self, job: Job, when: datetime) -> None:
        """That a job has another status now."""
        data: dict[str, Any] = {"status": job.status, "stage": job.stage}
        if job.error is not None:
            data["error"] = {name: job.error.get(name) for name in ("slug", "message", "remedy")}
        self.add(job.id, "status", data, when)

    def after(self, job_id: str, event_id: int, *, limit: int = 500) -> list[JobEvent]:
        """Oldest first, those after an event; 0 is before the first."""
        query = (
            select(JobEvent)
            .where(JobEvent.job_id == job_id, JobEvent.id > event_id)
            .order_by(JobEvent.id)
            .limit(limit)
        )
        return list(self.session.scalars(query))
