"""The gate before the queue: what must be true of a job, whether it is asked for the first time or tried again.

Whoever asks holds the rows that the answer depends on, so that two requests at one moment can't both pass where one
may (``hold_people``, ``hold_uploads``; SQLite has one writer at a time anyway).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from likeness.accounts import require_room_for_job
from likeness.job_states import ACTIVE
from likeness.refusals import ConsentMissing
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.repositories.uploads import UploadRepository
from likeness.tables import Consent, Job, Person, Upload
from problems import Conflict


@dataclass(frozen=True)
class Order:
    """A job that is to be queued, with the rows it is about."""

    kind: str
    """A key of ``likeness.requests.PLANS``."""
    tenant_id: str
    inputs: Mapping[str, Upload]
    """By role; each is whole and stays until this transaction ends."""
    person: Person | None = None
    """Who is learned or shown; nobody else changes them until this transaction ends."""
    package_artifact_id: str | None = None
    """The weights that it uses."""
    recorded: bool = False
    """Whether this deployment learns people only with a recorded consent."""
    again: str | None = None
    """Id of the job that is tried again; None of a new one."""


def hold_people(session: Session, person_ids: Iterable[str | None], *, share: bool = False) -> None:
    """Let nobody delete, promote, or take back the consent of these people until the transaction ends; without
    ``share`` nobody else asks for anything of them, either. Comes before anything of them is read.
    """
    PersonRepository(session).lock([each for each in person_ids if each], share=share)


def hold_uploads(session: Session, upload_ids: Iterable[str | None]) -> None:
    """Let nobody delete these uploads until the transaction ends. Comes before they are read."""
    UploadRepository(session).hold([each for each in upload_ids if each])


def hold_for_retry(session: Session, job_id: str) -> None:
    """Hold what a job is about, in the order of all locks; the job itself is locked after that."""
    jobs = JobRepository(session)
    ConsentRepository(session).lock_checked_by([job_id])
    hold_people(session, [jobs.person_of(job_id)], share=jobs.kind_of(job_id) != "training")
    hold_uploads(session, jobs.uploads_of(job_id))


def admit(session: Session, order: Order) -> None:
    """Let a job into the queue, or say why not.

    Raises:
        ConsentMissing, Conflict: as :func:`permit`.
        QuotaExceeded: the tenant may have no further job.
    """
    permit(session, order)
    require_room_for_job(session, order.tenant_id, video=order.kind == "video")


def permit(session: Session, order: Order) -> None:
    """The gate without the tenant's quota.

    Raises:
        ConsentMissing: nobody agreed to it, or not any more.
        Conflict: the person is being learned already, or has not been learned; the weights or the consent that the job
            was asked for with are not there any more.
    """
    if order.kind == "training":
        _admit_training(session, order)
    elif order.kind in ("video", "motion"):
        _admit_speech(session, order)
    elif order.kind == "consent" and order.again and not ConsentRepository(session).reopen(order.again):
        raise Conflict(
            f"{order.again} can't be tried again: nobody waits for what it finds",
            remedy="the consent was taken back or has another recording; look at it with GET /v1/consents/ID",
        )


def _admit_training(session: Session, order: Order) -> None:
    person = order.person
    assert person is not None
    consent = _agreed(person, "train")
    if order.recorded and consent.status != "verified":
        raise ConsentMissing(
            "here a person is learned only with a recorded consent, and theirs is the user's word",
            remedy="make one with POST /v1/consents, record it, and name it: PATCH /v1/persons/ID {consent_id}",
            details={"field": "consent", "status": consent.status},
        )
    recording = order.inputs.get("consent")
    if (recording.id if recording else None) != consent_recording(consent):
        raise Conflict(
            f"{order.again} was asked for on another consent than the person has now",
            remedy=f"make a new request: POST /v1/persons/{person.id}/trainings",
            details={"person_id": person.id, "consent_id": consent.id},
        )
    for other in JobRepository(session).active_trainings(person.id):
        if other.id != order.again:
            raise Conflict(
                f"a training of {person.id} is {other.status} already",
                remedy=f"wait for it or cancel it: POST /v1/trainings/{other.id}/cancel",
                details={"training_id": other.id},
            )


def consent_recording(consent: Consent) -> str | None:
    """Id of the recording that a training's clip is held against: the clip must show who spoke the consent."""
    return consent.recording_upload_id if consent.status == "verified" else None


def _admit_speech(session: Session, order: Order) -> None:
    person = order.person
    assert person is not None
    _agreed(person, "dub")
    if order.again is None and order.package_artifact_id is None:
        raise Conflict(
            f"{person.id} has not been learned yet",
            remedy=f"train first: POST /v1/persons/{person.id}/trainings, and wait for its success",
            details={"person_id": person.id},
        )
    if order.again is not None and not PersonRepository(session).has_whole(
        person.id, order.package_artifact_id
    ):
        raise Conflict(
            f"{order.again} can't be tried again: the weights that it was asked for with are deleted or damaged",
            remedy="make a new request, which uses the weights that the person has now",
            details={"person_id": person.id},
        )


def _agreed(person: Person, purpose: str) -> Consent:
    consent = person.consent
    if consent is None or not consent.given:
        raise ConsentMissing(
            "nobody attested that the person shown agreed to be learned",
            remedy='ask them, then send "consent": {"attested": true, "subject_name": "their full name"}',
            details={"field": "consent"},
        )
    if consent.purposes and purpose not in consent.purposes:
        raise ConsentMissing(
            f"the consent {consent.id} was given for {', '.join(consent.purposes)}, not for {purpose}",
            remedy=f"get a consent with the purpose {purpose}",
            details={"consent_id": consent.id, "purposes": consent.purposes},
        )
    return consent


def order_again(job: Job, person: Person | None, *, recorded: bool) -> Order:
    """What a locked job that has ended asks for once more.

    Raises:
        Conflict: it has not failed and was not canceled, or an upload that it reads was deleted.
    """
    if job.status not in ("failed", "canceled"):
        done = (
            "wait until it has ended, or make a new request" if job.status in ACTIVE else "make a new request"
        )
        raise Conflict(
            f"{job.id} is {job.status}; only a failed or canceled job can be tried again",
            remedy=done,
            details={"status": job.status},
        )
    inputs = {
        item.role: item.upload
        for item in job.inputs
        if item.upload is not None and item.upload.deleting_at is None
    }
    gone = [item.role for item in job.inputs if item.role not in inputs]
    if gone:
        raise Conflict(
            f"{job.id} can't be tried again: its {' and '.join(gone)} was deleted",
            remedy="upload the file again and make a new request",
            details={"missing": gone},
        )
    return Order(
        job.kind,
        job.tenant_id,
        inputs,
        person=person,
        package_artifact_id=job.package_artifact_id,
        recorded=recorded,
        again=job.id,
    )
