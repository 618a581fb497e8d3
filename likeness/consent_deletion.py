"""Deleting a consent: its row, its recordings with what they are recognised by, and the checks of them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from likeness.accounts import Account
from likeness.clock import now
from likeness.database import Database
from likeness.deletion import mark_jobs
from likeness.repositories.audit import AuditRepository
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.deletions import DeletionRepository
from likeness.repositories.learned import LearnedRepository
from likeness.repositories.uploads import UploadRepository
from likeness.requests import consent_or_refuse
from problems import Conflict


def delete_consent(database: Database, account: Account, consent_id: str) -> str:
    """Delete a consent on which nothing is left; people who name it have none afterwards. Finished videos stay and go
    on naming its id. Returns the id of the receipt.

    Raises:
        NotFound: no such consent.
        Conflict: weights were learned on it, or an unfinished job runs on it or reads its recording.
    """
    with database.write() as session:
        consent = consent_or_refuse(session, consent_id, tenant_id=account.tenant_id, lock=True)
        _require_unused(session, consent_id)
        recordings = LearnedRepository(session).recordings(consent_id)
        uploads, moment = UploadRepository(session), now()
        _require_unread(uploads, recordings)
        jobs = [job.id for job in LearnedRepository(session).checks(consent_id)]
        for upload_id in recordings:
            jobs += uploads.inspection_jobs(upload_id)
        uploads.mark_deleting(recordings, moment)
        mark_jobs(session, jobs)
        AuditRepository(session).enter(
            account.tenant_id,
            account.actor,
            "consent.deleted",
            consent_id,
            {"before": {"status": consent.status}, "after": None},
        )
        deletions = DeletionRepository(session)
        deletion = deletions.open(account.tenant_id, consent_id, [*recordings, *jobs], moment)
        session.flush()
        ConsentRepository(session).delete(consent_id)
        deletions.gone(consent_id, {"consents": 1}, [], moment)
        return deletion.id


def _require_unused(session: Session, consent_id: str) -> None:
    learned = LearnedRepository(session)
    active = learned.active_jobs(consent_id, checks=True)
    if active:
        raise Conflict(
            f"on the consent {consent_id} runs {', '.join(active)}",
            remedy="wait for the jobs or cancel them, then delete the consent",
            details={"jobs": active},
        )
    versions = [
        {"person_id": version.person_id, "version": version.number}
        for version in learned.versions(consent_id)
    ]
    outputs = learned.outputs(consent_id)
    if versions or outputs:
        raise Conflict(
            f"what was learned on the consent {consent_id} is still there",
            remedy=f"take it back first, which deletes that: POST /v1/consents/{consent_id}/revoke; or delete "
            "the versions, the trainings or the person",
            details={"versions": versions, "trainings": outputs},
        )


def _require_unread(uploads: UploadRepository, recordings: list[str]) -> None:
    inspections = {job_id for upload_id in recordings for job_id in uploads.inspection_jobs(upload_id)}
    readers = sorted({job_id for each in recordings for job_id in uploads.active_jobs(each)} - inspections)
    if readers:
        raise Conflict(
            f"the consent's recording is being read by {', '.join(readers)}",
            remedy="wait for the jobs or cancel them, then delete the consent",
            details={"jobs": readers},
        )
