"""Rows as the API shows them; called inside the transaction that read them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from api.problem_details import details_of
from api.schemas import (
    AnyJob,
    ConsentOut,
    InspectionOut,
    PersonOut,
    Progress,
    StageOut,
    TrainingOut,
    UploadOut,
    VideoOut,
    WeightsOut,
)
from likeness.clock import now
from likeness.health import GONE_AFTER
from likeness.repositories.job_records import JobRecord, JobRecords, StageRecord
from likeness.repositories.workers import WorkerRepository
from likeness.tables import Job, Person, Upload

ACTIVE = ("queued", "running", "canceling")


def upload_view(upload: Upload) -> UploadOut:
    return UploadOut.model_validate(upload, from_attributes=True)


def person_view(person: Person, latest: Job | JobRecord | None) -> PersonOut:
    """``latest`` is the newest training."""
    weights = None
    if person.package is not None:
        entry = next(file for file in person.package.manifest["files"] if file["name"].endswith(".likeness"))
        weights = WeightsOut(sha256=entry["sha256"], size=entry["size"])
    consent = None
    if person.consent is not None and person.consent.given:
        consent = ConsentOut(subject_name=person.consent.subject_name, attested_at=person.consent.created_at)
    status = "untrained"
    if person.deleting_at is not None:
        status = "deleting"
    elif weights is not None:
        status = "ready"
    elif latest is not None:
        status = {"failed": "failed", "canceled": "untrained"}.get(latest.status, "training")
    return PersonOut.model_validate(
        {
            "id": person.id,
            "name": person.name,
            "status": status,
            "consent": consent,
            "metadata": person.labels,
            "training_id": latest.id if latest is not None else None,
            "weights": weights,
            "created_at": person.created_at,
        }
    )


def job_view(session: Session, job: JobRecord) -> AnyJob:
    """The job as the resource it is."""
    base = {
        "id": job.id,
        "status": job.status,
        "stage": job.stage,
        "progress": Progress.model_validate({**job.progress, **_standstill(session, job)}),
        "stages": [_stage_view(stage) for stage in job.stages],
        "queue_position": JobRecords(session).ahead(job) if job.status == "queued" else None,
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
                "person_id": job.person_id,
                "audio_upload_id": job.input_id("recording"),
                "pose_mode": job.params["pose"],
                "seed": job.params["seed"],
                "download_url": f"/v1/videos/{job.id}/download" if entry else None,
                "sha256": entry["sha256"] if entry else None,
                "size": entry["size"] if entry else None,
            }
        )
    report = job.result
    if report is not None and job.inputs and job.inputs[0].filename is not None:
        # the worker saw the file under another name
        report = {**report, "name": job.inputs[0].filename}
    return InspectionOut.model_validate({**base, "upload_id": job.input_id("clip"), "report": report})


def video_file(job: JobRecord) -> dict[str, object] | None:
    """The manifest's entry of the finished video, with its ``key`` in the store."""
    if job.output is None or job.status != "succeeded":
        return None
    entry = next(file for file in job.output["files"] if file["name"].endswith(".mp4"))
    return {**entry, "key": f"{job.output['prefix']}/{entry['name']}"}


def package_file(person: Person) -> dict[str, object] | None:
    """The manifest's entry of the person file, with its ``key`` in the store."""
    if person.package is None:
        return None
    entry = next(file for file in person.package.manifest["files"] if file["name"].endswith(".likeness"))
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
