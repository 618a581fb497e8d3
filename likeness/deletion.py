"""Deleting for good: mark the rows, stop the work, remove the files, then the rows.

The row of a person or an upload goes last, so a deletion that is interrupted anywhere is found and finished
by the next :func:`purge`, which the API calls at once and every idle worker calls again. Work folders whose
job has no row are swept up at a worker's start.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from sqlalchemy.orm import Session

from likeness.clock import now
from likeness.database import Database
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.repositories.uploads import UploadRepository
from likeness.requests import Kind, job_or_refuse, person_or_refuse, stop_job, upload_or_refuse
from likeness.settings import Settings
from likeness.store import ObjectStore
from problems import Conflict


@dataclass(frozen=True)
class Removed:
    """What one purge took away."""

    rows: int = 0
    objects: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(self.rows + other.rows, self.objects + other.objects)


def delete_person(database: Database, person_id: str) -> None:
    """Mark a person, their jobs, and the uploads that only these jobs read.

    Raises:
        NotFound: no such person.
    """
    with database.write() as session:
        person_or_refuse(session, person_id, usable=False)
        moment = now()
        people, jobs, uploads = PersonRepository(session), JobRepository(session), UploadRepository(session)
        people.mark_deleting(person_id, moment)
        _mark_jobs(session, [job.id for job in jobs.of_person(person_id)])
        files = uploads.only_of_person(person_id)
        uploads.mark_deleting(files, moment)
        for upload_id in files:
            _mark_jobs(session, uploads.inspection_jobs(upload_id))


def delete_job(database: Database, job_id: str, *, kind: Kind | None = None) -> None:
    """Mark a job; its outputs go unless something else uses them. A training's promoted weights stay.

    Raises:
        NotFound: no such job.
    """
    with database.write() as session:
        job_or_refuse(session, job_id, kind=kind)
        _mark_jobs(session, [job_id])


def delete_upload(database: Database, upload_id: str) -> None:
    """Mark an upload and its inspections.

    Raises:
        NotFound: no such upload.
        Conflict: an unfinished job reads it.
    """
    with database.write() as session:
        upload_or_refuse(session, upload_id)
        uploads = UploadRepository(session)
        inspections = uploads.inspection_jobs(upload_id)
        readers = [job_id for job_id in uploads.active_jobs(upload_id) if job_id not in inspections]
        if readers:
            raise Conflict(
                f"the upload {upload_id} is being read by {', '.join(readers)}",
                remedy="wait for the job or cancel it, then delete the upload",
                details={"jobs": readers},
            )
        uploads.mark_deleting([upload_id], now())
        _mark_jobs(session, inspections)


def _mark_jobs(session: Session, job_ids: list[str]) -> None:
    jobs = JobRepository(session)
    for job_id in job_ids:
        job = jobs.get_locked(job_id)
        if job is not None and job.status in ("queued", "running", "canceling"):
            stop_job(session, job)
    jobs.mark_deleting(job_ids, now())


def purge(database: Database, store: ObjectStore, settings: Settings) -> Removed:
    """Finish every marked deletion whose jobs no worker holds any more; safe at any time, for anyone."""
    with database.read() as session:
        jobs = JobRepository(session)
        marked_jobs = jobs.deleting()
        people = PersonRepository(session).deleting()
        uploads = UploadRepository(session).deleting()
        ready_jobs = [job_id for job_id in marked_jobs if not jobs.leased([job_id])]
        of_person = {person_id: [job.id for job in jobs.of_person(person_id)] for person_id in people}
        ready_people = [person_id for person_id in people if set(of_person[person_id]) <= set(ready_jobs)]
        inspections = {
            upload_id: UploadRepository(session).inspection_jobs(upload_id) for upload_id in uploads
        }
        busy = set(marked_jobs) - set(ready_jobs)
        ready_uploads = [
            upload_id
            for upload_id in uploads
            if not busy.intersection(inspections[upload_id])
            and not jobs.leased(UploadRepository(session).active_jobs(upload_id))
        ]
    removed = Removed()
    for job_id in ready_jobs:
        removed += _purge_job(database, store, settings, job_id)
    for upload_id in ready_uploads:
        removed += _purge_upload(database, store, upload_id)
    for person_id in ready_people:
        removed += _purge_person(database, store, person_id)
    return removed


def sweep_work_folders(database: Database, settings: Settings) -> int:
    """Remove work folders whose job has no row, left by a crash between two lines of a purge."""
    # Folders are listed before rows are read: a job made in between is in the rows.
    folders = (
        [path for path in settings.work_dir.iterdir() if path.is_dir()] if settings.work_dir.is_dir() else []
    )
    with database.read() as session:
        known = JobRepository(session).ids()
    orphans = [path for path in folders if path.name not in known]
    for path in orphans:
        shutil.rmtree(path, ignore_errors=True)
    return len(orphans)


def _purge_job(database: Database, store: ObjectStore, settings: Settings, job_id: str) -> Removed:
    shutil.rmtree(settings.work_dir / job_id, ignore_errors=True)
    with database.write() as session:
        job = JobRepository(session).get(job_id)
        if job is None:
            return Removed()
        outputs = [stage.artifact_id for stage in job.stages if stage.artifact_id]
        checkpoints = [stage.checkpoint["prefix"] for stage in job.stages if stage.checkpoint]
        rows = JobRepository(session).delete([job_id])
        artifacts = ArtifactRepository(session)
        unused = artifacts.unreferenced(outputs)
        # Rows first here: a worker may be about to reuse the artifact, and must find it whole or not at all.
        # What a crash before the next line leaves lies in the scope's folder and goes with its person or
        # upload.
        rows += artifacts.delete([artifact.id for artifact in unused])
        previews = f"{job.scope}/previews/{job_id}"  # workers/previews.py
        prefixes = [*checkpoints, previews, *(artifact.prefix for artifact in unused)]
    return Removed(rows, sum(store.delete_prefix(prefix) for prefix in prefixes))


def _purge_upload(database: Database, store: ObjectStore, upload_id: str) -> Removed:
    objects = store.delete_prefix(f"uploads/{upload_id}")
    with database.write() as session:
        rows = ArtifactRepository(session).delete_scope(f"uploads/{upload_id}")
        rows += UploadRepository(session).delete([upload_id])
    return Removed(rows, objects)


def _purge_person(database: Database, store: ObjectStore, person_id: str) -> Removed:
    objects = store.delete_prefix(f"people/{person_id}")
    with database.write() as session:
        rows = ArtifactRepository(session).delete_scope(f"people/{person_id}")
        rows += PersonRepository(session).delete(person_id)
    return Removed(rows, objects)
