"""Rows as the API shows them; called inside the transaction that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from sqlalchemy.orm import Session

from api.problem_details import details_of
from api.schemas import (
    AnyJob,
    ConsentCheckOut,
    ConsentOut,
    DeletionOut,
    InspectionOut,
    MadeFileOut,
    MotionOut,
    PersonOut,
    PoseOut,
    Progress,
    StageOut,
    TrainingOut,
    UploadOut,
    VerificationOut,
    VersionOut,
    VideoOut,
    WeightsOut,
)
from likeness.clock import now
from likeness.health import GONE_AFTER
from likeness.repositories.job_records import JobRecord, StageRecord
from likeness.repositories.jobs import JobRepository
from likeness.repositories.turns import TurnRepository
from likeness.repositories.workers import WorkerRepository
from likeness.requests import FACE, THUMBNAIL, container_of
from likeness.tables import Consent, Deletion, Job, Person, PersonVersion, Upload
from likeness.upload_sessions import PartAddress

ACTIVE = ("queued", "running", "canceling")


def upload_view(upload: Upload, parts: Sequence[PartAddress] = ()) -> UploadOut:
    """``parts`` are those of an upload that is awaited (``likeness.upload_sessions.part_addresses``)."""
    names = (
        "id",
        "purpose",
        "status",
        "filename",
        "size",
        "source_url",
        "part_size",
        "expires_at",
        "created_at",
    )
    return UploadOut.model_validate(
        {
            **{name: getattr(upload, name) for name in names},
            "sha256": upload.sha256 or None,
            "parts": [asdict(part) for part in parts],
        }
    )


def consent_view(consent: Consent) -> ConsentOut:
    names = (
        "id",
        "subject_name",
        "purposes",
        "recording_upload_id",
        "job_id",
        "report",
        "checked",
        "expires_at",
        "created_at",
    )
    return ConsentOut.model_validate(
        {
            **{name: getattr(consent, name) for name in names},
            "status": consent.standing(now()),
            "language": consent.language or None,
            "statement": consent.statement or None,
            "passcode": consent.passcode or None,
            "revoked_at": consent.revoked_at,
        }
    )


def version_view(version: PersonVersion, promoted: str | None) -> VersionOut:
    """``promoted`` is the artifact that the person's videos are made with."""
    entry = next(file for file in version.artifact.manifest["files"] if file["name"].endswith(".likeness"))
    return VersionOut.model_validate(
        {
            "number": version.number,
            "status": version.status,
            "promoted": version.artifact_id == promoted,
            "training_id": version.job_id,
            "consent_id": version.consent_id,
            "sha256": entry["sha256"],
            "size": entry["size"],
            "created_at": version.created_at,
        }
    )


def deletion_view(deletion: Deletion) -> DeletionOut:
    names = ("id", "subject", "status", "created_at", "finished_at")
    return DeletionOut.model_validate(
        {**{name: getattr(deletion, name) for name in names}, **deletion.receipt}
    )


def person_view(person: Person, latest: Job | JobRecord | None) -> PersonOut:
    """``latest`` is the newest training."""
    weights = None
    if person.package is not None:
        entry = next(file for file in person.package.manifest["files"] if file["name"].endswith(".likeness"))
        weights = WeightsOut(sha256=entry["sha256"], size=entry["size"])
    consent = consent_view(person.consent) if person.consent is not None else None
    status = "untrained"
    if person.deleting_at is not None:
        status = "deleting"
    elif weights is not None:
        status = "ready"
    elif latest is not None:
        # Without weights a training that succeeded was for nothing: they were taken back, deleted, or damaged.
        status = "training" if latest.status in ACTIVE else "untrained"
        status = "failed" if latest.status == "failed" else status
    return PersonOut.model_validate(
        {
            "id": person.id,
            "name": person.name,
            "status": status,
            "consent": consent,
            "metadata": person.labels,
            "training_id": latest.id if latest is not None else None,
            "weights": weights,
            "portrait": _made(portrait_file(person), f"/v1/persons/{person.id}/portrait"),
            "created_at": person.created_at,
        }
    )


def job_view(session: Session, job: JobRecord) -> AnyJob:
    """The job as the resource it is."""
    base = {
        "id": job.id,
        "status": job.status,
        "metadata": job.labels,
        "stage": job.stage,
        "progress": Progress.model_validate({**job.progress, **_standstill(session, job)}),
        "stages": [_stage_view(stage) for stage in job.stages],
        "queue_position": TurnRepository(session).ahead(job.id, now()) if job.status == "queued" else None,
        "attempt": job.attempt,
        "error": details_of(job.error) if job.error else None,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }
    if job.kind == "training":
        return TrainingOut.model_validate(
            {
                **base,
                "person_id": job.person_id,
                "consent_id": job.consent_id,
                "upload_id": job.input_id("clip"),
                "preset": job.params["preset"],
                "seed": job.params["seed"],
                "result": job.result,
            }
        )
    if job.kind == "video":
        entry = video_file(job)
        return VideoOut.model_validate(
            {
                **base,
                "title": title_of(job),
                "person_id": job.person_id,
                "consent_id": job.consent_id,
                "audio_upload_id": job.input_id("recording"),
                "pose_mode": job.params["pose"],
                "seed": job.params["seed"],
                "output": _output(job),
                "batch_id": job.batch_id,
                "download_url": f"/v1/videos/{job.id}/download" if entry else None,
                "sha256": entry["sha256"] if entry else None,
                "size": entry["size"] if entry else None,
                "thumbnail": _made(output_file(job, THUMBNAIL), f"/v1/videos/{job.id}/thumbnail"),
            }
        )
    if job.kind == "motion":
        return _motion_view(job, base)
    if job.kind == "consent":
        return ConsentCheckOut.model_validate(
            {**base, "upload_id": job.input_id("consent"), "report": job.result}
        )
    if job.kind == "verification":
        return _verification_view(session, job, base)
    report = job.result
    if report is not None and job.inputs and job.inputs[0].filename is not None:
        # the worker saw the file under another name
        report = {**report, "name": job.inputs[0].filename}
    return InspectionOut.model_validate({**base, "upload_id": job.input_id("clip"), "report": report})


def _motion_view(job: JobRecord, base: Mapping[str, Any]) -> MotionOut:
    files: dict[str, MadeFileOut | None] = {}
    for what in MOTION_FILES:
        files[what] = _made(output_file(job, MOTION_FILES[what]), f"/v1/motions/{job.id}/{what}")
    return MotionOut.model_validate(
        {
            **base,
            "person_id": job.person_id,
            "consent_id": job.consent_id,
            "audio_upload_id": job.input_id("recording"),
            "pose": PoseOut(
                mode=job.params["pose"],
                video_upload_id=job.input_id("pose_video"),
                expression_upload_id=job.input_id("expression_video"),
                **{name: value for name, value in job.params.items() if name in PoseOut.model_fields},
            ),
            **files,
            "result": job.result,
        }
    )


def _verification_view(session: Session, job: JobRecord, base: Mapping[str, Any]) -> VerificationOut:
    """Whether a mark that was found is that of a video of this service; which one is told to its tenant alone."""
    ours, video_id = None, None
    if job.result is not None:
        payload = (job.result.get("watermark") or {}).get("payload")
        video = JobRepository(session).by_mark(payload) if payload else None
        ours = video is not None
        video_id = video.id if video is not None and video.tenant_id == job.tenant_id else None
    return VerificationOut.model_validate(
        {
            **base,
            "upload_id": job.input_id("video"),
            "report": job.result,
            "ours": ours,
            "video_id": video_id,
        }
    )


def video_file(job: JobRecord) -> dict[str, object] | None:
    """The manifest's entry of the finished video, with its ``key`` in the store."""
    if job.output is None or job.status != "succeeded":
        return None
    entry = next(file for file in job.output["files"] if file["name"].startswith("video."))
    return {**entry, "key": f"{job.output['prefix']}/{entry['name']}"}


def _output(job: JobRecord) -> dict[str, object]:
    """What a video's picture and file are to be; jobs from before there was a choice have the defaults."""
    asked = job.params
    given = {name: asked[name] for name in ("format", "height", "fps", "crf") if asked.get(name) is not None}
    picture = asked.get("output") or "frame"
    return {"picture": picture, "format": container_of(picture, None), **given}


MOTION_FILES = {"preview": "preview.mp4", "curves": "motion.png", "track": "track.safetensors"}
"""What of a motion is handed out, by the last word of its address."""


def output_file(job: JobRecord, name: str) -> dict[str, Any] | None:
    """The manifest's entry of one of the files that a finished job has made, with its ``key`` in the store."""
    if job.output is None or job.status != "succeeded":
        return None
    entry = next((file for file in job.output["files"] if file["name"] == name), None)
    return None if entry is None else {**entry, "key": f"{job.output['prefix']}/{entry['name']}"}


def title_of(video: JobRecord) -> str:
    """What a video is called: what it was called, or its recording's file without the ending, or just a video."""
    heard = next((item.filename for item in video.inputs if item.role == "recording"), None)
    return video.params.get("title") or PurePath(heard or "").stem or "Video"


def _made(entry: Mapping[str, Any] | None, url: str) -> MadeFileOut | None:
    return None if entry is None else MadeFileOut(url=url, sha256=entry["sha256"], size=entry["size"])


def package_file(person: Person) -> dict[str, object] | None:
    """The manifest's entry of the person file, with its ``key`` in the store."""
    if person.package is None:
        return None
    entry = next(file for file in person.package.manifest["files"] if file["name"].endswith(".likeness"))
    return {**entry, "key": f"{person.package.prefix}/{entry['name']}"}


def portrait_file(person: Person) -> dict[str, Any] | None:
    """The manifest's entry of the person's face, with its ``key``; None until they are learned."""
    files = person.package.manifest["files"] if person.package is not None else []
    entry = next((file for file in files if file["name"] == FACE), None)
    if entry is None or person.package is None:
        return None
    return {**entry, "key": f"{person.package.prefix}/{entry['name']}"}


def _standstill(session: Session, job: JobRecord) -> dict[str, str]:
    """The progress' message when nothing happens to a job, with what must happen for it to go on; else empty."""
    moment = now()
    workers = WorkerRepository(session)
    for stage in job.stages:
        due = stage.not_before is None or stage.not_before <= moment
        if stage.status == "queued" and due and stage.queue not in workers.taken_queues(moment - GONE_AFTER):
            return {"message": f"no worker takes the queue {stage.queue}; jobs wait until one is started"}
        if stage.status == "running" and stage.lease_until is not None and stage.lease_until < moment:
            worker = workers.get(stage.lease_owner) if stage.lease_owner else None
            since = worker.last_seen if worker is not None else stage.lease_until
            follows = (
                "another worker will take it over"
                if stage.queue in workers.taken_queues(moment - GONE_AFTER)
                else f"it goes on when a worker for the queue {stage.queue} is started"
            )
            return {"message": f"no sign of life since {since:%Y-%m-%d %H:%M:%S} UTC; {follows}"}
    return {}


def _stage_view(stage: StageRecord) -> StageOut:
    seconds = None
    if stage.started_at is not None and stage.status not in ("pending", "queued"):
        seconds = round(((stage.finished_at or now()) - stage.started_at).total_seconds(), 1)
    return StageOut.model_validate(
        {
            "name": stage.name,
            "status": stage.status,
            "attempt": stage.attempt,
            "reused": stage.reused,
            "seconds": seconds,
        }
    )
