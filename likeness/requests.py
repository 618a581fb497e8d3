"""What may be asked of the service: an inspection, a person, a training, a motion, a video; cancel and retry.

Each function checks the rules, writes rows in one transaction and returns. Workers find the queued stage by
themselves; nothing else has to be told.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from likeness.admission import (
    Order,
    admit,
    consent_recording,
    hold_for_retry,
    hold_people,
    hold_uploads,
    not_agreed,
    order_again,
    permit,
    require_given,
)
from likeness.clock import now
from likeness.database import Database
from likeness.ids import mark_of, new_id
from likeness.job_states import ACTIVE
from likeness.refusals import ConsentMissing, StoreUnavailable
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.audit import AuditRepository
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.events import EventRepository
from likeness.repositories.job_records import JobRecord, JobRecords
from likeness.repositories.jobs import JobRepository
from likeness.repositories.outbox import OutboxRepository
from likeness.repositories.people import PersonRepository
from likeness.repositories.transitions import TransitionRepository
from likeness.repositories.uploads import UploadRepository
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.tables import EMBEDDED, Consent, Job, JobInput, Person, Stage, Upload
from problems import Conflict, InvalidParameter, NotFound

log = logging.getLogger("likeness.requests")

Kind = Literal["training", "video", "motion", "inspection", "consent", "verification"]
Preset = Literal["instant", "preview", "standard", "best"]
Pose = Literal["learned", "clip", "still", "reference"]


FACE, THUMBNAIL = "face.jpg", "thumbnail.jpg"
"""Pictures among what the stages publish and dub commit: of the person, and of the video."""


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
    actor: str = "local",
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
    if consent_id is None and not (attested and consent_subject and consent_subject.strip()):
        raise not_agreed()
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
            person.consent = usable_consent(session, consent_id, tenant_id, lock=True)
        else:
            person.consent = Consent(
                id=new_id("con"),
                tenant_id=tenant_id,
                subject_name=(consent_subject or "").strip(),
                status="attested",
                purposes=["train", "dub"],
                created_at=moment,
            )
            AuditRepository(session).enter(
                tenant_id, actor, "consent.created", person.consent.id, {"after": {"status": "attested"}}
            )
        PersonRepository(session).add(person)
        AuditRepository(session).enter(
            tenant_id, actor, "person.created", person.id, {"after": {"consent_id": person.consent.id}}
        )
    return person


def usable_consent(
    session: Session, consent_id: str, tenant_id: str | None, *, lock: bool = False
) -> Consent:
    """A consent that something may be done on.

    Raises:
        NotFound: no such consent.
        ConsentMissing: it was not given (yet), or was taken back.
    """
    consent = consent_or_refuse(session, consent_id, tenant_id=tenant_id, lock=lock)
    if not consent.given:
        raise ConsentMissing(
            f"the consent {consent_id} is {consent.status.replace('_', ' ')}",
            remedy="use one that is verified or attested; GET /v1/consents/ID says what is missing",
            details={"consent_id": consent_id, "status": consent.status},
        )
    return consent


def request_inspection(
    database: Database,
    *,
    upload_id: str,
    audio_track: int | None = None,
    rotate: int = 0,
    tenant_id: str | None = None,
) -> str:
    """Queue a look at a clip; returns the job's id. Needs no consent: nothing is learned."""
    with database.write() as session:
        hold_uploads(session, [upload_id])
        clip = _upload(session, upload_id, "clip", "upload_id", tenant_id)
        return add_job(
            session,
            "inspection",
            tenant_id=clip.tenant_id,
            scope=f"uploads/{clip.id}",
            params=_read_as(audio_track, rotate),
            inputs={"clip": clip},
        )


def _read_as(audio_track: int | None, rotate: int) -> dict[str, Any]:
    """How a clip is to be read, where that was said."""
    said = {} if audio_track is None else {"audio_track": audio_track}
    return {**said, "rotate": rotate} if rotate else said


def request_verification(database: Database, *, upload_id: str, tenant_id: str | None = None) -> str:
    """Queue a look for this product's marks in a video; returns the job's id."""
    with database.write() as session:
        hold_uploads(session, [upload_id])
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
    audio_track: int | None = None,
    rotate: int = 0,
    accept: Sequence[str] = (),
    labels: Mapping[str, Any] | None = None,
    tenant_id: str | None = None,
    recorded: bool = False,
    words: bool = False,
) -> str:
    """Queue the learning of a person from a clip; returns the job's id. With ``recorded`` the person's word is not
    enough: their consent must have been recorded and checked. With ``words`` a recorded one counts only once somebody
    heard its words. ``accept`` names errors of the clip's inspection that do not stand in the way.

    Raises:
        NotFound: no such person or upload.
        ConsentMissing: the person's row records no consent.
        Conflict: a training of this person is under way already.
    """
    with database.write() as session:
        hold_people(session, [person_id])
        person = person_or_refuse(session, person_id, tenant_id=tenant_id)
        recording_id = consent_recording(require_given(person.consent))
        hold_uploads(session, [upload_id, recording_id])
        inputs = {"clip": _upload(session, upload_id, "clip", "upload_id", tenant_id)}
        if recording_id is not None:
            inputs["consent"] = _upload(session, recording_id, None, "consent", tenant_id)
        return add_job(
            session,
            "training",
            tenant_id=person.tenant_id,
            scope=f"people/{person.id}",
            params={
                "preset": preset,
                "seed": seed,
                **_read_as(audio_track, rotate),
                **({"accept": sorted(set(accept))} if accept else {}),
            },
            inputs=inputs,
            labels=labels,
            person=person,
            recorded=recorded,
            words=words,
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
    with database.write() as session:
        return enter_video(
            session,
            person_id=person_id,
            recording_id=recording_id,
            pose=pose,
            seed=seed,
            pose_video_id=pose_video_id,
            expression_video_id=expression_video_id,
            options=options,
            labels=labels,
            batch_id=batch_id,
            tenant_id=tenant_id,
            dry_run=dry_run,
        )


def enter_video(
    session: Session,
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
    """What :func:`request_video` does, in the caller's transaction: many videos are queued all or none."""
    options = options or {}
    _require_fitting_pose(pose, pose_video_id, expression_video_id, options)
    container_of(options.get("output", "frame"), options.get("format"))
    hold_people(session, [person_id], share=True)
    hold_uploads(session, [recording_id, pose_video_id, expression_video_id])
    person = person_or_refuse(session, person_id, tenant_id=tenant_id)
    inputs = _what_drives(session, recording_id, pose_video_id, expression_video_id, tenant_id)
    if dry_run:
        permit(session, Order("video", person.tenant_id, inputs, person, person.package_artifact_id))
        return ""
    return add_job(
        session,
        "video",
        tenant_id=person.tenant_id,
        scope=f"people/{person.id}",
        params={"pose": pose, "seed": seed, **options},
        labels=labels,
        batch_id=batch_id,
        inputs=inputs,
        person=person,
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
        hold_people(session, [person_id], share=True)
        hold_uploads(session, [recording_id, pose_video_id, expression_video_id])
        person = person_or_refuse(session, person_id, tenant_id=tenant_id)
        return add_job(
            session,
            "motion",
            tenant_id=person.tenant_id,
            scope=f"people/{person.id}",
            params={"pose": pose, "seed": seed, **options},
            labels=labels,
            inputs=_what_drives(session, recording_id, pose_video_id, expression_video_id, tenant_id),
            person=person,
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
        if job.status not in ACTIVE:
            raise Conflict(
                f"{job_id} has {job.status} already and can't be canceled",
                remedy="delete it instead, or leave it",
                details={"status": job.status},
            )
        stop_job(session, job)


def cancel_all(database: Database, job_ids: Iterable[str], *, kind: Kind | None = None) -> None:
    """Stop each of these jobs that has not ended. What goes wrong with one keeps none of the others from it; it is
    raised afterwards.
    """
    first: Exception | None = None
    for job_id in job_ids:
        try:
            cancel(database, job_id, kind=kind)
        except (Conflict, NotFound):
            pass  # it has ended meanwhile, or is being deleted
        except Exception as error:
            log.warning("%s was not canceled: %s", job_id, error)
            first = first or error
    if first is not None:
        raise first


def stop_job(session: Session, job: Job) -> None:
    """Cancel a locked job that has not ended; a running stage is left for its worker to put down."""
    TransitionRepository(session).stop(job, now())


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
    checkpoint, if it may be asked for today: it passes the gate of a first request (``likeness.admission``).

    With ``from_stage`` that stage and those after it are done anew: no checkpoint and no committed output is
    reused.

    Raises:
        NotFound: no such job, or its person is being deleted.
        Conflict: it has not failed and was not canceled, an upload or the weights that it needs were deleted, or
            another training of the person is under way.
        ConsentMissing: nobody agreed to it, or not any more.
        QuotaExceeded: the tenant may have no further job.
        InvalidParameter: it has no such stage.
    """
    dropped: list[str] = []
    with database.write() as session:
        hold_for_retry(session, job_id)
        job = job_or_refuse(session, job_id, kind=kind, lock=True, tenant_id=tenant_id)
        person = person_or_refuse(session, job.person_id) if job.person_id else None
        again = order_again(job, person, recorded=settings.consent == "recorded", words=settings.words_needed)
        consent = admit(session, again)
        first = _first_to_run(job, from_stage)
        artifacts, states = ArtifactRepository(session), TransitionRepository(session)
        unlinked: list[str] = []
        for stage in job.stages[first:]:
            if stage.artifact_id:
                unlinked.append(stage.artifact_id)
            states.move_stage(stage, "pending")
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
        states.move_stage(job.stages[first], "queued")
        states.move_job(job, "queued")
        _wake(session, job.stages[first])
        job.stage = job.stages[first].name
        job.error = job.result = job.finished_at = None
        job.attempt += 1
        job.progress = {**job.progress, "eta_seconds": None, "message": ""}
        if consent is not None:
            job.consent_id = consent.id
        if job.kind == "video" and consent is not None:
            job.params = {**job.params, "consent": _shown(consent)}
        EventRepository(session).status(job, now())
        if from_stage:
            job.params = {**job.params, "fresh": job.attempt}  # enters the keys of the stages still to run
    if from_stage:
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


def _shown(consent: Consent) -> dict[str, Any]:
    """What a video's manifest says of the consent."""
    return {"id": consent.id, "kind": consent.status}


def add_job(
    session: Session,
    kind: Kind,
    *,
    tenant_id: str,
    scope: str,
    params: dict[str, Any],
    inputs: Mapping[str, Upload],
    person: Person | None = None,
    package_artifact_id: str | None = None,
    labels: Mapping[str, Any] | None = None,
    batch_id: str | None = None,
    recorded: bool = False,
    words: bool = False,
    consent_id: str | None = None,
) -> str:
    """Enter a job with its stages and queue the first, if the gate lets it in; returns its id. The rows that it is
    about are held (``likeness.admission``).

    Raises:
        ConsentMissing, Conflict, QuotaExceeded: as ``likeness.admission.admit``.
    """
    plan, moment = PLANS[kind], now()
    consent = admit(
        session, Order(kind, tenant_id, inputs, person, package_artifact_id, recorded=recorded, words=words)
    )
    if kind == "video" and consent is not None:
        params = {**params, "consent": _shown(consent)}
    job_id = new_id("job")
    job = Job(
        id=job_id,
        tenant_id=tenant_id,
        kind=kind,
        person_id=person.id if person is not None else None,
        consent_id=consent.id if consent is not None else consent_id,
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
    job.stages[0].status = "queued"
    _wake(session, job.stages[0])
    session.flush()
    EventRepository(session).status(job, moment)
    return job.id


def _wake(session: Session, stage: Stage) -> None:
    """Let a queued stage wait from now on."""
    stage.queued_at = now()
    OutboxRepository(session).wake(stage, stage.queued_at)
