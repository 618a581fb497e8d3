"""SQL on uploads."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from likeness.repositories.pages import Page, read_page
from likeness.tables import Job, JobInput, TakePrint, Upload

ACTIVE = ("queued", "running", "canceling")
"""Statuses of a job that still needs its inputs."""


class UploadRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, upload: Upload) -> None:
        self.session.add(upload)

    def get(self, upload_id: str) -> Upload | None:
        """An upload that may be used."""
        return self.session.scalar(select(Upload).where(Upload.id == upload_id, Upload.deleting_at.is_(None)))

    def abandoned(self, now: datetime) -> list[Upload]:
        """Uploads whose parts did not come in time."""
        query = select(Upload).where(
            Upload.status == "awaiting", Upload.expires_at < now, Upload.deleting_at.is_(None)
        )
        return list(self.session.scalars(query))

    def page(
        self, *, limit: int, cursor: str | None, purpose: str | None = None, tenant_id: str | None = None
    ) -> Page[Upload]:
        query = select(Upload).where(Upload.deleting_at.is_(None))
        if tenant_id is not None:
            query = query.where(Upload.tenant_id == tenant_id)
        if purpose:
            query = query.where(Upload.purpose == purpose)
        return read_page(self.session, query, Upload.id, limit=limit, cursor=cursor)

    def active_jobs(self, upload_id: str) -> list[str]:
        """Ids of unfinished jobs that read this upload."""
        query = (
            select(Job.id)
            .join(JobInput, JobInput.job_id == Job.id)
            .where(JobInput.upload_id == upload_id, Job.status.in_(ACTIVE))
        )
        return list(self.session.scalars(query.distinct()))

    def inspection_jobs(self, upload_id: str) -> list[str]:
        """Ids of inspections of this upload: their reports go with it."""
        query = (
            select(Job.id)
            .join(JobInput, JobInput.job_id == Job.id)
            .where(JobInput.upload_id == upload_id, Job.kind == "inspection")
        )
        return list(self.session.scalars(query))

    def only_of_person(self, person_id: str) -> list[str]:
        """Ids of uploads that this person's jobs read and no other person's job does."""
        mine = exists().where(
            JobInput.upload_id == Upload.id, JobInput.job_id == Job.id, Job.person_id == person_id
        )
        others = exists().where(
            JobInput.upload_id == Upload.id,
            JobInput.job_id == Job.id,
            Job.person_id.is_not(None),
            Job.person_id != person_id,
        )
        return list(self.session.scalars(select(Upload.id).where(mine, ~others)))

    def mark_deleting(self, upload_ids: list[str], when: datetime) -> None:
        self.session.execute(update(Upload).where(Upload.id.in_(upload_ids)).values(deleting_at=when))

    def deleting(self) -> list[str]:
        """Ids of uploads whose bytes are to go."""
        return list(self.session.scalars(select(Upload.id).where(Upload.deleting_at.is_not(None))))

    def delete_all(self, upload_id: str) -> dict[str, int]:
        """Delete an upload and what it is recognised by; counts by table."""
        prints = self.session.execute(
            delete(TakePrint).where(TakePrint.upload_id == upload_id).returning(TakePrint.upload_id)
        )
        return {"take_prints": len(prints.all()), "uploads": self.delete([upload_id])}

    def delete(self, upload_ids: list[str]) -> int:
        # The database would null these by its foreign key too; SQLite only does so with the pragma on.
        self.session.execute(
            update(JobInput).where(JobInput.upload_id.in_(upload_ids)).values(upload_id=None)
        )
        gone = self.session.execute(delete(Upload).where(Upload.id.in_(upload_ids)).returning(Upload.id))
        return len(gone.all())
