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
from likeness.refusals import ConsentMissing, RecordingReused
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
    words: bool = False
    """Whether a recorded consent counts only once somebody heard its words."""
    consent_id: str | None = None
    """The consent that a job which is tried again was asked for on."""
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


def admit(session: Session, order: Order) -> Consent | None:
    """Let a job into the queue, or say why not; returns the consent that it runs on, where it needs one.

    Raises:
        ConsentMissing, Conflict: as :func:`permit`.
        QuotaExceeded: the tenant may have no further job.
    """
    consent = permit(session, order)
    require_room_for_job(session, order.tenant_id, video=order.kind == "video")
    return consent


def permit(session: Session, order: Order) -> Consent | None:
    """The gate without the tenant's quota.

    Raises:
        ConsentMissing: nobody agreed to it, or not any more.
        Conflict: the person is being learned already, or has not been learned; the weights or the consent that the job
            was asked for with are not there any more.
    """
    if order.kind == "training":
        return _admit_training(session, order)
    if order.kind in ("video", "motion"):
        return _admit_speech(session, order)
    if order.kind == "consent" and order.again and not ConsentRepository(session).reopen(order.again):
        raise Conflict(
            f"{order.again} can't be tried again: nobody waits for what it finds",
            remedy="the consent was taken back or has another recording; look at it with GET /v1/consents/ID",
        )
    return None


def _admit_training(session: Session, order: Order) -> Consent:
    person = order.person
    assert person is not None
    consent = _agreed(person, "train")
    if order.recorded and consent.status != "verified":
        raise ConsentMissing(
            "here a person is learned only with a recorded consent, and theirs is the user's word",
            remedy="make one with POST /v1/consents, record it, and name it: PATCH /v1/persons/ID {consent_id}",
            details={"field": "consent", "status": consent.status},
        )
    if order.words and consent.status == "verified" and not consent.words_heard:
        raise ConsentMissing(
            f"nobody has heard yet whether the words of the consent {consent.id} are said in its recording",
            remedy=f"listen to it and say so: POST /v1/consents/{consent.id}/review, or its page in the dashboard; "
            "the operator may also name a recogniser (docs/consent.md)",
            details={"field": "consent", "consent_id": consent.id, "checked": consent.checked},
        )
    recording = order.inputs.get("consent")
    if recording is not None and recording.sha256 == order.inputs["clip"].sha256:
        raise clip_reused(order.inputs["clip"].id, consent.id)
    other = order.again is not None and order.consent_id not in (None, consent.id)
    if other or (recording.id if recording else None) != consent_recording(consent):
        raise Conflict(
            f"{order.again} was asked for on another consent than the person has now",
            remedy=f"make a new request: POST /v1/persons/{person.id}/trainings",
            details={"person_id": person.id, "consent_id": consent.id},
        )
    for running in JobRepository(session).active_trainings(person.id):
        if running.id != order.again:
            raise Conflict(
                f"a training of {person.id} is {running.status} already",
                remedy=f"wait for it or cancel it: POST /v1/trainings/{running.id}/cancel",
                details={"training_id": running.id},
            )
    return consent


def clip_reused(clip: str, consent: str) -> RecordingReused:
    """The problem of a clip that is its consent's recording."""
    return RecordingReused(
        f"{clip} is the recording of the consent {consent}, or the same take",
        remedy="train with another clip, or ask for a new consent and let the person say its words now: a consent is "
        "worth something only as a recording of its own",
        details={"field": "upload_id"},
    )


def consent_recording(consent: Consent) -> str | None:
    """Id of the recording that a training's clip is held against: the clip must show who spoke the consent."""
    return consent.recording_upload_id if consent.status == "verified" else None


def _admit_speech(session: Session, order: Order) -> Consent:
    """Of the consent that the weights were learned on, whichever one the person names now."""
    person = order.person
    assert person is not None
    require_given(person.consent)
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
    version = PersonRepository(session).version_of(order.package_artifact_id)
    consent = version.consent if version is not None else None
    if consent is None or not consent.given:
        raise ConsentMissing(
            f"the weights of {person.id} were learned on a consent that does not stand",
            remedy="promote a version that was learned on one that does, or train again",
            details={"person_id": person.id, "consent_id": consent.id if consent is not None else None},
        )
    _require_purpose(consent, "dub")
    return consent


def _agreed(person: Person, purpose: str) -> Consent:
    consent = require_given(person.consent)
    _require_purpose(consent, purpose)
    return consent


def require_given(consent: Consent | None) -> Consent:
    """The consent, if somebody gave it and it was not taken back.

    Raises:
        ConsentMissing: there is none that stands.
    """
    if consent is None or not consent.given:
        raise not_agreed()
    return consent


def not_agreed() -> ConsentMissing:
    """The problem of a person whom nobody says to have agreed."""
    return ConsentMissing(
        "nobody attested that the person shown agreed to be learned",
        remedy='ask them, then send "consent": {"attested": true, "subject_name": "their full name"}',
        details={"field": "consent"},
    )


def _require_purpose(consent: Consent, purpose: str) -> None:
    if consent.purposes and purpose not in consent.purposes:
        raise ConsentMissing(
            f"the consent {consent.id} was given for {', '.join(consent.purposes)}, not for {purpose}",
            remedy=f"get a consent with the purpose {purpose}, and learn the person on it",
            details={"consent_id": consent.id, "purposes": consent.purposes},
        )


def order_again(job: Job, person: Person | None, *, recorded: bool, words: bool) -> Order:
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
        words=words,
        consent_id=job.consent_id,
        again=job.id,
    )
