"""What may be asked of the service: an inspection, a person, a training, a video; cancel and retry.

Each function checks the rules, writes rows in one transaction and returns. Workers find the queued stage by
themselves; nothing else has to be told.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.refusals import ConsentMissing, StoreUnavailable
from likeness.repositories.artifacts import ArtifactRepository
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

Kind = Literal["training", "video", "inspection"]
Preset = Literal["instant", "preview", "standard", "best"]
Pose = Literal["learned", "clip", "still", "reference"]


@dataclass(frozen=True)
class Plan:
    """The stages of a kind of job."""

    stages: tuple[str, ...]
    priority: int
    """Lower runs first: what takes seconds does not wait behind what takes minutes."""


PLANS: Mapping[Kind, Plan] = {
    "inspection": Plan(("inspect",), priority=10),
    "video": Plan(("dub",), priority=20),
    "training": Plan(("validate", "fit", "motion", "render", "publish"), priority=30),
}


def queue_of(stage: str) -> str:
    """Which workers take a stage: gpu for what a GPU makes much faster, else cpu."""
    return "gpu" if stage == "render" else "cpu"


def create_person(
    database: Database,
    *,
    name: str,
    consent_subject: str | None,
    attested: bool,
    labels: Mapping[str, Any] | None = None,
    tenant_id: str = EMBEDDED,
) -> Person:
    """Enter a person, with the user's word that the one shown agreed.

    Raises:
        ConsentMissing: nobody attested the consent, or no name was given with it.
        InvalidParameter: the name is empty.
    """
    if not name.strip():
        raise InvalidParameter(
            "the person has no name", remedy="give a name of 1 to 200 letters", details={"field": "name"}
        )
    _require_consent(attested and bool(consent_subject and consent_subject.strip()))
    moment = now()
    person = Person(
        id=new_id("per"),
        tenant_id=tenant_id,
        name=name.strip(),
        consent=Consent(
            id=new_id("con"),
            tenant_id=tenant_id,
            subject_name=(consent_subject or "").strip(),
            status="attested",
            created_at=moment,
        ),
        labels=dict(labels or {}),
        created_at=moment,
    )
    with database.write() as session:
        PersonRepository(session).add(person)
    return person


def request_inspection(database: Database, *, upload_id: str) -> str:
    """Queue a look at a clip; returns the job's id. Needs no consent: nothing is learned."""
    with database.write() as session:
        clip = _upload(session, upload_id, "clip", "upload_id")
        return _add_job(
            session,
            "inspection",
            tenant_id=clip.tenant_id,
            scope=f"uploads/{clip.id}",
            params={},
            inputs={"clip": clip},
        )


def request_training(database: Database, *, person_id: str, upload_id: str, preset: Preset, seed: int) -> str:
    """Queue the learning of a person from a clip; returns the job's id.

    Raises:
        NotFound: no such person or upload.
        ConsentMissing: the person's row records no consent.
        Conflict: a training of this person is under way already.
    """
    with database.write() as session:
        person = person_or_refuse(session, person_id)
        _require_consent(person.consent is not None and person.consent.given)
        clip = _upload(session, upload_id, "clip", "upload_id")
        latest = JobRepository(session).latest_of_people([person_id], "training").get(person_id)
        if latest is not None and latest.status in ("queued", "running", "canceling"):
            raise Conflict(
                f"a training of {person_id} is {latest.status} already",
                remedy=f"wait for it or cancel it: POST /v1/trainings/{latest.id}/cancel",
                details={"training_id": latest.id},
            )
        params = {"preset": preset, "seed": seed}
        return _add_job(
            session,
            "training",
            tenant_id=person.tenant_id,
            scope=f"people/{person.id}",
            params=params,
            inputs={"clip": clip},
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
) -> str:
    """Queue a video of a person saying a recording; returns the job's id.

    Raises:
        NotFound: no such person or upload.
        Conflict: the person is not trained yet.
        InvalidParameter: pose and the reference videos do not fit together.
    """
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
    with database.write() as session:
        person = person_or_refuse(session, person_id)
        _require_consent(person.consent is not None and person.consent.given)
        if person.package_artifact_id is None:
            raise Conflict(
                f"{person_id} has not been learned yet",
                remedy=f"train first: POST /v1/persons/{person_id}/trainings, and wait for its success",
                details={"person_id": person_id},
            )
        inputs = {"recording": _upload(session, recording_id, None, "audio.upload_id")}
        if pose_video_id is not None:
            inputs["pose_video"] = _upload(session, pose_video_id, None, "pose.video_upload_id")
        if expression_video_id is not None:
            inputs["expression_video"] = _upload(
                session, expression_video_id, None, "pose.expression_upload_id"
            )
        return _add_job(
            session,
            "video",
            tenant_id=person.tenant_id,
            scope=f"people/{person.id}",
            params={"pose": pose, "seed": seed},
            inputs=inputs,
            person_id=person.id,
            package_artifact_id=person.package_artifact_id,
        )


def cancel(database: Database, job_id: str, *, kind: Kind | None = None) -> None:
    """Stop a job: at once when it waits, at the worker's next tick of progress when it runs.

    Raises:
        NotFound: no such job.
        Conflict: it has ended already.
    """
    with database.write() as session:
        job = job_or_refuse(session, job_id, kind=kind, lock=True)
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


def retry(
    database: Database,
    store: ObjectStore,
    settings: Settings,
    job_id: str,
    *,
    kind: Kind | None = None,
    from_stage: str | None = None,
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
        job = job_or_refuse(session, job_id, kind=kind, lock=True)
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


def person_or_refuse(session: Session, person_id: str, *, usable: bool = True) -> Person:
    """The person, or NotFound; ``usable`` refuses one that is being deleted."""
    person = PersonRepository(session).get(person_id)
    if person is None or (usable and person.deleting_at is not None):
        raise NotFound(
            f"there is no person {person_id!r}",
            remedy="list people with GET /v1/persons",
            details={"id": person_id},
        )
    return person


def job_or_refuse(session: Session, job_id: str, *, kind: Kind | None = None, lock: bool = False) -> Job:
    """The job, or NotFound."""
    repository = JobRepository(session)
    job = repository.get_locked(job_id, kind=kind) if lock else repository.get(job_id, kind=kind)
    if job is None or (lock and job.deleting_at is not None):
        raise _no_job(job_id, kind)
    return job


def record_or_refuse(session: Session, job_id: str, *, kind: Kind | None = None) -> JobRecord:
    """The job to be shown, or NotFound."""
    job = JobRecords(session).get(job_id, kind=kind)
    if job is None:
        raise _no_job(job_id, kind)
    return job


def upload_or_refuse(session: Session, upload_id: str, *, field: str = "id") -> Upload:
    """The upload, or NotFound."""
    upload = UploadRepository(session).get(upload_id)
    if upload is None:
        raise NotFound(
            f"there is no upload {upload_id!r}",
            remedy="upload the file with POST /v1/uploads and use the id in its answer",
            details={"field": field, "id": upload_id},
        )
    return upload


def _no_job(job_id: str, kind: Kind | None) -> NotFound:
    return NotFound(
        f"there is no {kind or 'job'} {job_id!r}",
        remedy="list jobs with GET /v1/jobs",
        details={"id": job_id},
    )


def _upload(session: Session, upload_id: str, purpose: str | None, field: str) -> Upload:
    upload = upload_or_refuse(session, upload_id, field=field)
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


def _add_job(
    session: Session,
    kind: Kind,
    *,
    tenant_id: str,
    scope: str,
    params: dict[str, Any],
    inputs: Mapping[str, Upload],
    person_id: str | None = None,
    package_artifact_id: str | None = None,
) -> str:
    plan, moment = PLANS[kind], now()
    job = Job(
        id=new_id("job"),
        tenant_id=tenant_id,
        kind=kind,
        person_id=person_id,
        package_artifact_id=package_artifact_id,
        scope=scope,
        status="queued",
        stage=plan.stages[0],
        params=params,
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
    return job.id


def _queue(session: Session, stage: Stage) -> None:
    stage.status = "queued"
    stage.queued_at = now()
    OutboxRepository(session).wake(stage, stage.queued_at)
