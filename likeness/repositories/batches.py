"""SQL on batches."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from likeness.job_states import ACTIVE
from likeness.repositories.pages import Page, read_page
from likeness.tables import Batch, Job


class BatchRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, batch: Batch) -> None:
        self.session.add(batch)

    def get(self, batch_id: str) -> Batch | None:
        return self.session.get(Batch, batch_id)

    def page(self, tenant_id: str, *, limit: int, cursor: str | None) -> Page[Batch]:
        query = select(Batch).where(Batch.tenant_id == tenant_id)
        return read_page(self.session, query, Batch.id, limit=limit, cursor=cursor)

    def active_jobs(self, batch_id: str) -> list[str]:
        """Ids of its videos that have not ended."""
        query = select(Job.id).where(Job.batch_id == batch_id, Job.status.in_(ACTIVE))
        return list(self.session.scalars(query))
