"""What may be asked of the service: an inspection, a person, a training, a motion, a video; cancel and retry.

Each function checks the rules, writes rows in one transaction and returns. Workers find the queued stage by
themselves; nothing else has to be told.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from likeness.accounts import require_room_for_job
from likeness.clock import now
from likeness.database import Database
from likeness.ids import mark_of, new_id
from likeness.refusals import ConsentMissing, StoreUnavailable
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.events import EventRepository
from likeness.repositories.job_records import JobRecord, JobRecords
from likeness.repositories.jobs import JobRepository
from likeness.repositories.outbox import OutboxRepository
from likeness.repositories.people import PersonRepository
from likeness.repositories.uploads import UploadRepository
from likeness.repositories.webhooks import WebhookRepository
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.tables import EMBEDDED, Consent, Job, JobInput, Person, Stage, Upload
from problems import Conflict, InvalidParameter, NotFound

log = logging.getLogger("likeness.requests")

Kind = Literal["training", "video", "motion", "inspection", "consent", "verification"]
Preset = Literal["instant", "preview", "standard", "best"]
Pose = Literal["learned", "clip", "still", "reference"]


@dataclass(frozen=True)
class Plan:
    """The stages of a kind of job."""

    stages: tuple[str, ...]
    priority: int
    """Lower runs first: what takes seconds does not wait behind what takes minutes."""


PLANS: Mapping[Kind, Plan] = {
    "consent": Plan(("consent",), priority=5),
    "inspection": Plan(("inspect",), priority=10),
    "verification": Plan(("verify",), priority=10),
    "motion": Plan(("speak",), priority=10),
    "video": Plan(("dub",), priority=20),
    "training": Plan(("validate", "fit", "motion", "render", "publish"), priority=30),
}


def container_of(picture: str, wanted: str | None) -> str:
    """The container of a video that shows ``frame``, ``face`` or ``alpha``: the wanted one, or the usual.

    Raises:
        InvalidParameter: an mp4 is wanted, which holds no transparency.
    """
    if picture == "alpha" and wanted == "mp4":
        raise InvalidParameter(
            "an mp4 holds no transparency",
            remedy="use format webm (for the web) or mov (for editors), or another picture than alpha",
            details={"field": "output.format"},
        )
    return wanted or ("webm" if picture == "alpha" else "mp4")


def queue_of(stage: str) -> str:
    """Which workers take a stage: gpu for what a GPU makes much faster, else cpu."""
    return "gpu" if stage == "render" else "cpu"


def create_person(
    database: Database,
    *,
    name: str,
    consent_subject: str | None = None,
    attested: bool = False,
    consent_id: str | None = None,
    labels: Mapping[str, Any] | None = None,
    tenant_id: str = EMBEDDED,
) -> Person:
    """Enter a person, with the user's word that the one shown agreed, or with a consent that was made before.

    Raises:
        ConsentMissing: nobody attested the consent, or no name was given with it; or the consent can't be used.
        NotFound: no such consent.
        InvalidParameter: the name is empty.
    """
    if not name.strip():
        raise InvalidParameter(
            "the person has no name", remedy="give a name of 1 to 200 letters", details={"field": "name"}
        )
    if consent_id is None:
        _require_consent(attested and bool(consent_subject and consent_subject.strip()))
    moment = now()
    person = Person(
        id=new_id("per"),
        tenant_id=tenant_id,
        name=name.strip(),
        labels=dict(labels or {}),
        created_at=moment,
    )
    with database.write() as session:
        if consent_id is not None:
            person.consent = usable_consent(session, consent_id, tenant_id)
        else:
            person.consent = Consent(
                id=new_id("con"),
                tenant_id=tenant_id,
                subject_name=(consent_subject or "").strip(),
                status="attested",
                purposes=["train", "dub"],
                created_at=moment,
            )
        PersonRepository(session).add(person)
    return person


def usable_consent(session: Session, consent_id: str, tenant_id: str | None) -> Consent:
    """A consent that something may be done on.

    Raises:
        NotFound: no such consent.
        ConsentMissing: it was not given (yet), or was taken back.
    """
    consent = consent_or_refuse(session, consent_id, tenant_id=tenant_id)
    if not consent.given:
        raise ConsentMissing(
            f"the consent {consent_id} is {consent.status.replace('_', ' ')}",
            remedy="use one that is verified or attested; GET /v1/consents/ID says what is missing",
            details={"consent_id": consent_id, "status": consent.status},
        )
    return consent


def request_inspection(database: Database, *, upload_id: str, tenant_id: str | None = None) -> str:
    """Queue a look at a clip; returns the job's id. Needs no consent: nothing is learned."""
    with database.write() as session:
        clip = _upload(session, upload_id, "clip", "upload_id", tenant_id)
        return add_job(
            session,
            "inspection",
            tenant_id=clip.tenant_id,
            scope=f"uploads/{clip.id}",
            params={},
            inputs={"clip": clip},
        )


def request_verification(database: Database, *, upload_id: str, tenant_id: str | None = None) -> str:
    """Queue a look for this product's marks in a video; returns the job's id."""
    with database.write() as session:
        video = _upload(session, upload_id, None, "upload_id", tenant_id)
        return add_job(
            session,
            "verification",
            tenant_id=video.tenant_id,
            scope=f"uploads/{video.id}",
            params={},
            inputs={"video": video},
        )


def request_training(
    database: Database,
    *,
    person_id: str,
    upload_id: str,
    preset: Preset,
    seed: int,
    accept: Sequence[str] = (),
    labels: Mapping[str, Any] | None = None,
    tenant_id: str | None = None,
    recorded: bool = False,
) -> str:
    """Queue the learning of a person from a clip; returns the job's id. With ``recorded`` the person's word is not
    enough: their consent must have been recorded and checked. ``accept`` names errors of the clip's inspection that do
    not stand in the way.

    Raises:
        NotFound: no such person or upload.
        ConsentMissing: the person's row records no consent.
        Conflict: a training of this person is under way already.
    """
    with database.write() as session:
        person = person_or_refuse(session, person_id, tenant_id=tenant_id)
        consent = person.consent
        _require_consent(consent is not None and consent.given)
        assert consent is not None
        if recorded and consent.status != "verified":
            raise ConsentMissing(
                "here a person is learned only with a recorded consent, and theirs is the user's word",
                remedy="make one with POST /v1/consents, record it, and name it: PATCH /v1/persons/ID {consent_id}",
                details={"field": "consent", "status": consent.status},
            )
        if consent.purposes and "train" not in consent.purposes:
            raise _purpose_missing("train", consent)
        clip = _upload(session, upload_id, "clip", "upload_id", tenant_id)
        inputs = {"clip": clip}
        if consent.status == "verified":
            # The clip must show who spoke the consent.
            inputs["consent"] = _upload(
                session, consent.recording_upload_id or "", None, "consent", tenant_id
            )
        latest = JobRepository(session).latest_of_people([person_id], "training").get(person_id)
        if latest is not None and latest.status in ("queued", "running", "canceling"):
            raise Conflict(
                f"a training of {person_id} is {latest.status} already",
                remedy=f"wait for it or cancel it: POST /v1/trainings/{latest.id}/cancel",
                details={"training_id": latest.id},
            )
        params: dict[str, Any] = {"preset": preset, "seed": seed}
        if accept:
            params["accept"] = sorted(set(accept))
        return add_job(
            session,
            "training",
            tenant_id=person.tenant_id,
            scope=f"people/{person.id}",
            params=params,
            inputs=inputs,
            labels=labels,
            person_id=person.id,
        )


def request_video(
    database: Database,
    *,
    person_id: str,
    recording_id: str,
    pose: Pose,
    seed: int,
    pose_video_id: str | None = None,
    expression_video_id: str | None = None,
    options: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
    batch_id: str | None = None,
    tenant_id: str | None = None,
    dry_run: bool = False,
) -> str:
    """Queue a video of a person saying a recording; returns the job's id. ``options`` are further parameters
    of the stage; with ``dry_run`` everything is checked and nothing queued.

    Raises:
        NotFound: no such person or upload.
        ConsentMissing: nobody agreed to videos of this person.
        Conflict: the person is not trained yet.
        InvalidParameter: pose, strengths and the reference videos do not fit together.
    """
    options = options or {}
    _require_fitting_pose(pose, pose_video_id, expression_video_id, options)
    container_of(options.get("output", "frame"), options.get("format"))
    with database.write() as session:
        person = _who_speaks(session, person_id, tenant_id)
        inputs = _what_drives(session, recording_id, pose_video_id, expression_video_id, tenant_id)
        if dry_run:
            return ""
        return add_job(
            session,
            "video",
            tenant_id=person.tenant_id,
            scope=f"people/{person.id}",
            params={
                "pose": pose,
                "seed": seed,
                **options,
                "consent": {
                    "id": person.consent_id,
                    "kind": person.consent.status if person.consent else None,
                },
            },
            labels=labels,
            batch_id=batch_id,
            inputs=inputs,
            person_id=person.id,
            package_artifact_id=person.package_artifact_id,
        )


def request_motion(
    database: Database,
    *,
    person_id: str,
    recording_id: str,
    pose: Pose,
    seed: int,
    pose_video_id: str | None = None,
    expression_video_id: str | None = None,
    options: Mapping[str, Any] | None = None,
    labels: Mapping[str, Any] | None = None,
    tenant_id: str | None = None,
) -> str:
    """Queue a preview of how a person moves while saying a recording; returns the job's id. A video that is asked
    for with the same arguments moves exactly so. It is derived from the person, so it needs what a video needs.

    Raises:
        NotFound, ConsentMissing, Conflict, InvalidParameter: as :func:`request_video`.
    """
    options = options or {}
    _require_fitting_pose(pose, pose_video_id, expression_video_id, options)
    with database.write() as session:
        person = _who_speaks(session, person_id, tenant_id)
        return add_job(
            session,
            "motion",
            tenant_id=person.tenant_id,
            scope=f"people/{person.id}",
            params={"pose": pose, "seed": seed, **options},
            labels=labels,
            inputs=_what_drives(session, recording_id, pose_video_id, expression_video_id, tenant_id),
            person_id=person.id,
            package_artifact_id=person.package_artifact_id,
        )


def _require_fitting_pose(
    pose: Pose, pose_video_id: str | None, expression_video_id: str | None, options: Mapping[str, Any]
) -> None:
    """Refuse at once what the stage would refuse later (``workers.driving``)."""
    if (pose == "reference") != (pose_video_id is not None):
        raise InvalidParameter(
            f"pose mode {pose!r} and {'a' if pose_video_id else 'no'} pose video do not fit together",
            remedy="use mode reference together with video_upload_id, or leave both out",
            details={"field": "pose"},
        )
    if expression_video_id is not None and pose != "reference":
        raise InvalidParameter(
            "an expression video needs the head motion of a reference as well",
            remedy="use pose mode reference with video_upload_id",
            details={"field": "pose.expression_upload_id"},
        )
    turned = [name for name, usual in _USUAL.items() if options.get(name, usual) != usual]
    words = " and ".join(turned).replace("_", " ")
    if expression_video_id is not None and turned:
        raise InvalidParameter(
            f"{words} can't be turned here: a video gives the expressions as well as the head",
            remedy=f"leave {words} as usual, or do not take the expressions of a video",
            details={"field": f"pose.{turned[0]}"},
        )
    if options.get("length_mismatch", "bounce") != "bounce" and pose not in ("clip", "reference"):
        raise InvalidParameter(
            f"with pose mode {pose} the motion is as long as the sound: there is no mismatch to settle",
            remedy="leave length_mismatch out, or use mode clip or reference",
            details={"field": "pose.length_mismatch"},
        )
    if options.get("face") is not None and pose != "reference":
        raise InvalidParameter(
            "a face is chosen among those of a reference video, and there is none",
            remedy="leave pose.face out, or use mode reference with video_upload_id",
            details={"field": "pose.face"},
        )


_USUAL = {"head_strength": 1.0, "lip_strength": 1.0, "smoothing": 0.0}


def _who_speaks(session: Session, person_id: str, tenant_id: str | None) -> Person:
    """A person who has been learned and agreed to be shown."""
    person = person_or_refuse(session, person_id, tenant_id=tenant_id)
    _require_consent(person.consent is not None and person.consent.given)
    if person.consent is not None and person.consent.purposes and "dub" not in person.consent.purposes:
        raise _purpose_missing("dub", person.consent)
    if person.package_artifact_id is None:
        raise Conflict(
            f"{person_id} has not been learned yet",
            remedy=f"train first: POST /v1/persons/{person_id}/trainings, and wait for its success",
            details={"person_id": person_id},
        )
    return person


def _what_drives(
    session: Session,
    recording_id: str,
    pose_video_id: str | None,
    expression_video_id: str | None,
    tenant_id: str | None,
) -> dict[str, Upload]:
    """The uploads that a spoken motion is made of, by role."""
    inputs = {"recording": _upload(session, recording_id, None, "audio.upload_id", tenant_id)}
    if pose_video_id is not None:
        inputs["pose_video"] = _upload(session, pose_video_id, None, "pose.video_upload_id", tenant_id)
    if expression_video_id is not None:
        inputs["expression_video"] = _upload(
            session, expression_video_id, None, "pose.expression_upload_id", tenant_id
        )
    return inputs


def cancel(
    database: Database, job_id: str, *, kind: Kind | None = None, tenant_id: str | None = None
) -> None:
    """Stop a job: at once when it waits, at the worker's next tick of progress when it runs.

    Raises:
        NotFound: no such job.
        Conflict: it has ended already.
    """
    with database.write() as session:
        job = job_or_refuse(session, job_id, kind=kind, lock=True, tenant_id=tenant_id)
        if job.status not in ("queued", "running", "canceling"):
            raise Conflict(
                f"{job_id} has {job.status} already and can't be canceled",
                remedy="delete it instead, or leave it",
                details={"status": job.status},
            )
        stop_job(session, job)


def stop_job(session: Session, job: Job) -> None:
    """Cancel a locked job that has not ended; a running stage is left for its worker to put down."""
    moment = now()
    running = any(stage.status == "running" for stage in job.stages)
    for stage in job.stages:
        if stage.status in ("pending", "queued") and not running:
            stage.status = "canceled"
            stage.finished_at = moment
    job.status = "canceling" if running else "canceled"
    job.progress = {**job.progress, "eta_seconds": None, "message": "stopping" if running else ""}
    if not running:
        job.finished_at = moment
        OutboxRepository(session).hush([stage.id for stage in job.stages])
        WebhookRepository(session).announce(job, moment)
    EventRepository(session).status(job, moment)


def retry(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    job_id: str,
    *,
    kind: Kind | None = None,
    from_stage: str | None = None,
    tenant_id: str | None = None,
) -> None:
    """Queue a job that failed or was canceled again, from the stage it ended in and that stage's last
    checkpoint.

    With ``from_stage`` that stage and those after it are done anew: no checkpoint and no committed output is
    reused.

    Raises:
        NotFound: no such job.
        Conflict: it has not failed and was not canceled, or an upload it reads was deleted.
        InvalidParameter: it has no such stage.
    """
    dropped: list[str] = []
    with database.write() as session:
        job = job_or_refuse(session, job_id, kind=kind, lock=True, tenant_id=tenant_id)
        if job.status not in ("failed", "canceled"):
            raise Conflict(
                f"{job_id} is {job.status}; only a failed or canceled job can be tried again",
                remedy="wait until it has ended, or make a new request",
                details={"status": job.status},
            )
        gone = [item.role for item in job.inputs if item.upload is None or item.upload.deleting_at]
        if gone:
            raise Conflict(
                f"{job_id} can't be tried again: its {' and '.join(gone)} was deleted",
                remedy="upload the file again and make a new request",
                details={"missing": gone},
            )
        first = _first_to_run(job, from_stage)
        artifacts = ArtifactRepository(session)
        unlinked: list[str] = []
        for stage in job.stages[first:]:
            if stage.artifact_id:
                unlinked.append(stage.artifact_id)
            stage.status = "pending"
            stage.artifact_id = stage.error = stage.started_at = stage.finished_at = stage.not_before = None
            stage.reused = False
            stage.attempt = 0
            if from_stage and stage.checkpoint:
                dropped.append(stage.checkpoint["prefix"])
                stage.checkpoint = None
        session.flush()
        for artifact in artifacts.unreferenced(unlinked):
            dropped.append(artifact.prefix)
            artifacts.delete([artifact.id])
        _queue(session, job.stages[first])
        job.status, job.stage = "queued", job.stages[first].name
        job.error = job.result = job.finished_at = None
        job.attempt += 1
        job.progress = {**job.progress, "eta_seconds": None, "message": ""}
        EventRepository(session).status(job, now())
        if from_stage:
            job.params = {**job.params, "fresh": job.attempt}  # enters the keys of the stages still to run
            shutil.rmtree(settings.work_dir / job_id, ignore_errors=True)
    try:
        for prefix in dropped:
            store.delete_prefix(prefix)
    except StoreUnavailable as problem:
        # The job is queued and does not need this; no row names these files, so they are swept up later.
        log.warning("%s: old outputs stay for now: %s", job_id, problem)


def _first_to_run(job: Job, from_stage: str | None) -> int:
    names = [stage.name for stage in job.stages]
    reached = next(
        (index for index, stage in enumerate(job.stages) if stage.artifact_id is None), len(names) - 1
    )
    if from_stage is None:
        return reached
    if from_stage not in names[: reached + 1]:
        raise InvalidParameter(
            f"the job can't start from {from_stage!r}",
            remedy=f"use one of {', '.join(names[: reached + 1])}",
            details={"field": "from_stage"},
        )
    return names.index(from_stage)


def person_or_refuse(
    session: Session, person_id: str, *, usable: bool = True, tenant_id: str | None = None
) -> Person:
    """The person, or NotFound; ``usable`` refuses one that is being deleted.

    Here and below another tenant's resource is one that does not exist; without a tenant everybody's are found.
    """
    person = PersonRepository(session).get(person_id)
    if _foreign(person, tenant_id) or person is None or (usable and person.deleting_at is not None):
        raise NotFound(
            f"there is no person {person_id!r}",
            remedy="list people with GET /v1/persons",
            details={"id": person_id},
        )
    return person


def job_or_refuse(
    session: Session,
    job_id: str,
    *,
    kind: Kind | None = None,
    lock: bool = False,
    tenant_id: str | None = None,
) -> Job:
    """The job, or NotFound."""
    repository = JobRepository(session)
    job = repository.get_locked(job_id, kind=kind) if lock else repository.get(job_id, kind=kind)
    if _foreign(job, tenant_id) or job is None or (lock and job.deleting_at is not None):
        raise _no_job(job_id, kind)
    return job


def record_or_refuse(
    session: Session, job_id: str, *, kind: Kind | None = None, tenant_id: str | None = None
) -> JobRecord:
    """The job to be shown, or NotFound."""
    job = JobRecords(session).get(job_id, kind=kind)
    if _foreign(job, tenant_id) or job is None:
        raise _no_job(job_id, kind)
    return job


def consent_or_refuse(
    session: Session, consent_id: str, *, tenant_id: str | None = None, lock: bool = False
) -> Consent:
    """The consent, or NotFound."""
    consent = ConsentRepository(session).get(consent_id, lock=lock)
    if _foreign(consent, tenant_id) or consent is None:
        raise NotFound(
            f"there is no consent {consent_id!r}",
            remedy="list consents with GET /v1/consents",
            details={"id": consent_id},
        )
    return consent


def upload_or_refuse(
    session: Session,
    upload_id: str,
    *,
    field: str = "id",
    tenant_id: str | None = None,
    whole: bool = True,
) -> Upload:
    """The upload, or NotFound; ``whole`` refuses one whose parts have not all come with Conflict."""
    upload = UploadRepository(session).get(upload_id)
    if _foreign(upload, tenant_id) or upload is None:
        raise NotFound(
            f"there is no upload {upload_id!r}",
            remedy="upload the file with POST /v1/uploads and use the id in its answer",
            details={"field": field, "id": upload_id},
        )
    if whole and upload.status != "ready":
        raise Conflict(
            f"the upload {upload_id} is not whole yet",
            remedy=f"send its parts, then POST /v1/uploads/{upload_id}/complete",
            details={"field": field, "id": upload_id, "status": upload.status},
        )
    return upload


def _foreign(row: Person | Job | JobRecord | Upload | Consent | None, tenant_id: str | None) -> bool:
    """It belongs to another tenant than the one who asks."""
    return row is not None and tenant_id is not None and row.tenant_id != tenant_id


def _purpose_missing(purpose: str, consent: Consent) -> ConsentMissing:
    return ConsentMissing(
        f"the consent {consent.id} was given for {', '.join(consent.purposes)}, not for {purpose}",
        remedy=f"get a consent with the purpose {purpose}",
        details={"consent_id": consent.id, "purposes": consent.purposes},
    )


def _no_job(job_id: str, kind: Kind | None) -> NotFound:
    return NotFound(
        f"there is no {kind or 'job'} {job_id!r}",
        remedy="list jobs with GET /v1/jobs",
        details={"id": job_id},
    )


def _upload(
    session: Session, upload_id: str, purpose: str | None, field: str, tenant_id: str | None
) -> Upload:
    upload = upload_or_refuse(session, upload_id, field=field, tenant_id=tenant_id)
    if purpose is not None and upload.purpose != purpose:
        raise InvalidParameter(
            f"the upload {upload_id} is a {upload.purpose}, and a {purpose} is needed",
            remedy=f"upload the file with purpose={purpose}",
            details={"field": field},
        )
    return upload


def _require_consent(given: bool) -> None:
    if not given:
        raise ConsentMissing(
            "nobody attested that the person shown agreed to be learned",
            remedy='ask them, then send "consent": {"attested": true, "subject_name": "their full name"}',
            details={"field": "consent"},
        )


def add_job(
    session: Session,
    kind: Kind,
    *,
    tenant_id: str,
    scope: str,
    params: dict[str, Any],
    inputs: Mapping[str, Upload],
    person_id: str | None = None,
    package_artifact_id: str | None = None,
    labels: Mapping[str, Any] | None = None,
    batch_id: str | None = None,
) -> str:
    """Enter a job with its stages and queue the first; returns its id.

    Raises:
        QuotaExceeded: the tenant may have no further job.
    """
    plan, moment = PLANS[kind], now()
    require_room_for_job(session, tenant_id, video=kind == "video")
    job_id = new_id("job")
    job = Job(
        id=job_id,
        tenant_id=tenant_id,
        kind=kind,
        person_id=person_id,
        batch_id=batch_id,
        labels=dict(labels or {}),
        mark=mark_of(job_id) if kind == "video" else None,
        package_artifact_id=package_artifact_id,
        scope=scope,
        status="queued",
        stage=plan.stages[0],
        params={**params, "mark": mark_of(job_id)} if kind == "video" else params,
        progress={"percent": 0.0, "done": 0, "total": 0, "eta_seconds": None, "message": "", "metrics": {}},
        created_at=moment,
        inputs=[JobInput(role=role, upload=upload, sha256=upload.sha256) for role, upload in inputs.items()],
        stages=[
            Stage(
                id=new_id("stg"),
                tenant_id=tenant_id,
                ordinal=ordinal,
                name=name,
                queue=queue_of(name),
                status="pending",
                priority=plan.priority,
            )
            for ordinal, name in enumerate(plan.stages)
        ],
    )
    JobRepository(session).add(job)
    _queue(session, job.stages[0])
    session.flush()
    EventRepository(session).status(job, moment)
    return job.id


def _queue(session: Session, stage: Stage) -> None:
    stage.status = "queued"
    stage.queued_at = now()
    OutboxRepository(session).wake(stage, stage.queued_at)
