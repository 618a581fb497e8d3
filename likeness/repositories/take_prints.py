"""SQL on what uploads are recognised by, and on whether the same bytes were handed in before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from likeness.tables import Job, JobInput, TakePrint, Upload


@dataclass(frozen=True)
class KnownUpload:
    """An upload that a recording may be a copy of."""

    id: str
    purpose: str
    object_key: str
    sha256: str
    filename: str
    printed: bool
    """Its print is kept."""


_FIRST = {"clip": 0, "consent": 1, "video": 2}


class TakePrintRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def others(self, tenant_id: str, but: Collection[str], version: int) -> list[KnownUpload]:
        """A tenant's whole uploads, clips and recorded consents first, then the newest first."""
        query = (
            select(
                Upload.id,
                Upload.purpose,
                Upload.object_key,
                Upload.sha256,
                Upload.filename,
                TakePrint.upload_id.is_not(None),
            )
            .outerjoin(TakePrint, (TakePrint.upload_id == Upload.id) & (TakePrint.version == version))
            .where(Upload.tenant_id == tenant_id, Upload.status == "ready", Upload.deleting_at.is_(None))
            .where(Upload.id.not_in(but))
            .order_by(case(_FIRST, value=Upload.purpose, else_=len(_FIRST)), Upload.id.desc())
        )
        return [KnownUpload(*row) for row in self.session.execute(query)]

    def data(self, upload_id: str, version: int) -> bytes | None:
        """A kept print."""
        query = select(TakePrint.data).where(TakePrint.upload_id == upload_id, TakePrint.version == version)
        return self.session.scalar(query)

    def keep(self, upload_id: str, version: int, data: bytes, when: datetime) -> bool:
        """Keep a print with its upload; False when that is being deleted, or another worker was faster."""
        upload = self.session.scalar(select(Upload).where(Upload.id == upload_id).with_for_update(read=True))
        if upload is None or upload.deleting_at is not None:
            return False
        self.session.execute(
            delete(TakePrint).where(TakePrint.upload_id == upload_id, TakePrint.version != version)
        )
        try:
            with self.session.begin_nested():
                self.session.add(TakePrint(upload_id=upload_id, version=version, data=data, created_at=when))
        except IntegrityError:
            return False
        return True

    def handed_in_before(self, upload: Upload, *, consent_id: str) -> str | None:
        """What the bytes of a recording were handed in as before, in words; None when they are new.

        Its own checks for the same consent do not count: a check that failed may be tried again.
        """
        if upload.purpose == "clip":
            return f"the clip {upload.id}"
        again = select(Upload.id, Upload.purpose).where(
            Upload.tenant_id == upload.tenant_id, Upload.sha256 == upload.sha256, Upload.id != upload.id
        )
        if (row := self.session.execute(again.limit(1)).first()) is not None:
            return f"the {row.purpose} {row.id}"
        others = or_(Job.kind != "consent", Job.consent_id.is_(None), Job.consent_id != consent_id)
        used = (
            select(Job.id, JobInput.role)
            .join(JobInput, JobInput.job_id == Job.id)
            # To look for marks in a video is no use of it.
            .where(Job.tenant_id == upload.tenant_id, Job.kind != "verification", others)
            .where(or_(JobInput.upload_id == upload.id, JobInput.sha256 == upload.sha256))
        )
        if (row := self.session.execute(used.limit(1)).first()) is not None:
            return f"the {row.role.replace('_', ' ')} of {row.id}"
        return None
