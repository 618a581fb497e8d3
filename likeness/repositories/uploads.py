"""SQL on uploads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from likeness.job_states import ACTIVE
from likeness.repositories.pages import Page, read_page
from likeness.tables import Job, JobInput, TakePrint, Upload


class UploadRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, upload: Upload) -> None:
        self.session.add(upload)

    def get(self, upload_id: str) -> Upload | None:
        """An upload that may be used."""
        return self.session.scalar(select(Upload).where(Upload.id == upload_id, Upload.deleting_at.is_(None)))

    def hold(self, upload_ids: Sequence[str]) -> None:
        """Keep others from deleting these uploads until this transaction ends."""
        if upload_ids:
            query = select(Upload.id).where(Upload.id.in_(upload_ids)).order_by(Upload.id)
            self.session.execute(query.with_for_update(read=True))

    def lock(self, upload_ids: Sequence[str]) -> None:
        """Keep others from using or deleting these uploads until this transaction ends."""
        if upload_ids:
            query = select(Upload.id).where(Upload.id.in_(upload_ids)).order_by(Upload.id)
            self.session.execute(query.with_for_update(key_share=True))

    def any_abandoned(self, now: datetime) -> bool:
        """Whether :meth:`give_up_abandoned` has something to do."""
        return self.session.scalar(select(Upload.id).where(*_abandoned(now)).limit(1)) is not None

    def give_up_abandoned(self, now: datetime) -> None:
        """Delete uploads whose parts did not come in time; not one that becomes whole this moment."""
        self.session.execute(update(Upload).where(*_abandoned(now)).values(deleting_at=now))

    def begin_anew(self, upload_id: str, old: str | None, new: str) -> bool:
        """Let an awaited upload's parts go to another multipart upload; False when they already go elsewhere."""
        changed = self.session.execute(
            update(Upload)
            .where(
                Upload.id == upload_id,
                Upload.multipart_id == old,
                Upload.status == "awaiting",
                Upload.deleting_at.is_(None),
            )
            .values(multipart_id=new)
            .returning(Upload.id)
        )
        return changed.first() is not None

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

    def mark_deleting(self, upload_ids: list[str], when: datetime) -> list[str]:
        """Let nobody use these uploads any more; returns the ids of those that are still there."""
        self.lock(upload_ids)
        marked = self.session.scalars(
            update(Upload).where(Upload.id.in_(upload_ids)).values(deleting_at=when).returning(Upload.id)
        )
        return sorted(marked)

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


def _abandoned(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (Upload.status == "awaiting", Upload.expires_at < now, Upload.deleting_at.is_(None))
