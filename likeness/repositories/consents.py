"""SQL on consents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from likeness.repositories.pages import Page, read_page
from likeness.tables import Consent, Job, JobInput, Person


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

    def lock_checked_by(self, job_ids: Sequence[str]) -> None:
        """Lock the consents whose recordings these jobs check, before the jobs are locked."""
        query = select(Consent.id).where(Consent.job_id.in_(job_ids)).order_by(Consent.id)
        self.session.execute(query.with_for_update())

    def lock_of_person(self, person_id: str) -> None:
        """Lock the consent that a person is learned on, before the person is locked."""
        theirs = select(Person.consent_id).where(Person.id == person_id).scalar_subquery()
        self.session.execute(select(Consent.id).where(Consent.id == theirs).with_for_update())

    def reopen(self, job_id: str) -> bool:
        """Wait once more for what a check finds; False when nobody waits for it any more: the consent was taken back or
        reviewed, or another recording was handed in.
        """
        consent = self.session.scalar(
            select(Consent)
            .where(Consent.job_id == job_id, Consent.status.in_(("awaiting_recording", "rejected")))
            .with_for_update()
        )
        upload_id = self.session.scalar(
            select(JobInput.upload_id).where(JobInput.job_id == job_id, JobInput.role == "consent")
        )
        if consent is None or upload_id is None or "review" in (consent.report or {}):
            return False
        consent.status, consent.report, consent.recording_upload_id = "verifying", None, upload_id
        return True

    def conclude(self, job: Job, now: datetime) -> None:
        """Take over what the check of a recording found, or that it failed. A revoked consent stays revoked; one whose
        check was canceled waits for a recording again, as long as it would have.
        """
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
