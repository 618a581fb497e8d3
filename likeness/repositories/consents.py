"""SQL on consents."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from likeness.repositories.pages import Page, read_page
from likeness.tables import Consent, Job, Person


class ConsentRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, consent: Consent) -> None:
        self.session.add(consent)

    def get(self, consent_id: str, *, lock: bool = False) -> Consent | None:
        return self.session.get(Consent, consent_id, with_for_update=lock or None)

    def delete(self, consent_id: str) -> int:
        """Delete a consent; people who named it name none."""
        self.session.execute(update(Person).where(Person.consent_id == consent_id).values(consent_id=None))
        gone = self.session.execute(delete(Consent).where(Consent.id == consent_id).returning(Consent.id))
        return len(gone.all())

    def page(self, tenant_id: str, *, limit: int, cursor: str | None) -> Page[Consent]:
        query = select(Consent).where(Consent.tenant_id == tenant_id)
        return read_page(self.session, query, Consent.id, limit=limit, cursor=cursor)

    def verified(self, tenant_id: str, *, limit: int) -> list[Consent]:
        """The latest whose recording was accepted and that were not taken back."""
        query = select(Consent).where(Consent.tenant_id == tenant_id, Consent.status == "verified")
        return list(self.session.scalars(query.order_by(Consent.id.desc()).limit(limit)))

    def checked_by(self, job_id: str, tenant_id: str) -> Consent | None:
        """The consent whose recording a job checks."""
        query = select(Consent).where(Consent.tenant_id == tenant_id, Consent.job_id == job_id)
        return self.session.scalar(query.limit(1))

    def proved_by(self, upload_id: str) -> Consent | None:
        """The consent whose recording an upload is, while something may be done on it."""
        query = select(Consent).where(
            Consent.recording_upload_id == upload_id, Consent.status.in_(("verifying", "verified"))
        )
        return self.session.scalar(query.limit(1))

    def people(self, consent_id: str) -> list[Person]:
        """Who is learned on this consent."""
        return list(self.session.scalars(select(Person).where(Person.consent_id == consent_id)))

    def conclude(self, job: Job, now: datetime) -> None:
        """Take over what the check of a recording found; a revoked consent stays revoked. One whose check was canceled
        waits for a recording again, as long as it would have."""
        consent = self.session.scalar(
            select(Consent).where(Consent.job_id == job.id, Consent.status == "verifying").with_for_update()
        )
        if consent is None:
            return
        if job.status == "canceled":
            consent.status, consent.report, consent.recording_upload_id = "awaiting_recording", None, None
            return
        consent.report = job.result if job.status == "succeeded" else {"error": job.error}
        accepted = job.status == "succeeded" and bool((job.result or {}).get("accepted"))
        consent.status = "verified" if accepted else "rejected"
        words = (job.result or {}).get("words") or {}
        if accepted and words.get("heard"):
            review = {"words_heard": True, "by": words["by"], "at": now.isoformat(timespec="seconds")}
            consent.report = {**(job.result or {}), "review": review}

    def check_again(self, job: Job) -> None:
        """The check of a recording is tried again: what it finds counts, if nothing else came of the consent since."""
        consent = self.session.scalar(
            select(Consent)
            .where(Consent.job_id == job.id, Consent.status.in_(("awaiting_recording", "rejected")))
            .with_for_update()
        )
        upload = next((item.upload_id for item in job.inputs if item.role == "consent"), None)
        reviewed = consent is not None and "review" in (consent.report or {})
        if consent is not None and upload is not None and not reviewed:
            consent.status, consent.report, consent.recording_upload_id = "verifying", None, upload

    def any_late(self, now: datetime) -> bool:
        """Whether :meth:`expire` has something to do."""
        query = select(Consent.id).where(Consent.status == "awaiting_recording", Consent.expires_at < now)
        return self.session.scalar(query.limit(1)) is not None

    def expire(self, now: datetime) -> None:
        """Give up those whose recording did not come in time."""
        self.session.execute(
            update(Consent)
            .where(Consent.status == "awaiting_recording", Consent.expires_at < now)
            .values(status="expired")
        )
