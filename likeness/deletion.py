"""Deleting for good: mark the rows, stop the work, remove the files, then the rows, and keep a receipt.

The row of a person or an upload goes last, so a deletion that is interrupted anywhere is found and finished
by the next :func:`purge`, which the API calls at once and every idle worker calls again. Work folders whose
job has no row are swept up at a worker's start. The receipt names ids, keys and counts, nothing about the person.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.orm import Session

from likeness.clock import now
from likeness.database import Database
from likeness.refusals import StoreUnavailable
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.deletions import DeletionRepository
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.repositories.uploads import UploadRepository
from likeness.requests import Kind, job_or_refuse, person_or_refuse, stop_job, upload_or_refuse
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.tables import Person
from problems import Conflict, Problem

_AWAY_AFTER = 3
"""Deletions that find no store before the others wait as well: each asks for a minute."""


@dataclass
class Removed:
    """What one purge took away."""

    rows: dict[str, int] = field(default_factory=dict)
    """Counts by table."""
    objects: list[str] = field(default_factory=list)
    """Keys in the object store."""

    def add(self, other: Removed) -> None:
        for table, count in other.rows.items():
            self.rows[table] = self.rows.get(table, 0) + count
        self.objects += other.objects


def delete_person(
    database: Database, person_id: str, *, tenant_id: str | None = None, keep_videos: bool = False
) -> str:
    """Mark a person, their jobs, and the uploads that only these jobs read; returns the id of the receipt.

    With ``keep_videos`` the finished videos stay, and nothing else of the person.

    Raises:
        NotFound: no such person.
    """
    with database.write() as session:
        person = person_or_refuse(session, person_id, usable=False, tenant_id=tenant_id)
        deletions = DeletionRepository(session)
        if person.deleting_at is not None and (before := deletions.of_subject(person_id)) is not None:
            return before.id
        moment = now()
        people, uploads = PersonRepository(session), UploadRepository(session)
        people.mark_deleting(person_id, moment)
        jobs = [
            job.id
            for job in JobRepository(session).of_person(person_id)
            if not (keep_videos and job.kind == "video" and job.status == "succeeded")
        ]
        files = uploads.only_of_person(person_id)
        consent = person.consent
        if consent is not None and len(ConsentRepository(session).people(consent.id)) == 1:
            # Only what is still there: a receipt that waits for what went before would wait for ever.
            recording = uploads.get(consent.recording_upload_id) if consent.recording_upload_id else None
            files += [recording.id] if recording is not None and recording.id not in files else []
            check = JobRepository(session).get(consent.job_id) if consent.job_id else None
            jobs += [check.id] if check is not None else []
        uploads.mark_deleting(files, moment)
        for upload_id in files:
            jobs += uploads.inspection_jobs(upload_id)
        _mark_jobs(session, jobs)
        return deletions.open(person.tenant_id, person_id, [*jobs, *files], moment).id


def delete_job(
    database: Database, job_id: str, *, kind: Kind | None = None, tenant_id: str | None = None
) -> str:
    """Mark a job; its outputs go unless something else uses them. A training's promoted weights stay. Returns the id
    of the receipt.

    Raises:
        NotFound: no such job.
    """
    with database.write() as session:
        job = job_or_refuse(session, job_id, kind=kind, tenant_id=tenant_id)
        deletions = DeletionRepository(session)
        if job.deleting_at is not None and (before := deletions.of_subject(job_id)) is not None:
            return before.id
        _mark_jobs(session, [job_id])
        return deletions.open(job.tenant_id, job_id, (), now()).id


def delete_upload(database: Database, upload_id: str, *, tenant_id: str | None = None) -> str:
    """Mark an upload and its inspections; returns the id of the receipt.

    Raises:
        NotFound: no such upload.
        Conflict: an unfinished job reads it.
    """
    with database.write() as session:
        upload = upload_or_refuse(session, upload_id, tenant_id=tenant_id, whole=False)
        uploads = UploadRepository(session)
        inspections = uploads.inspection_jobs(upload_id)
        readers = [job_id for job_id in uploads.active_jobs(upload_id) if job_id not in inspections]
        if readers:
            raise Conflict(
                f"the upload {upload_id} is being read by {', '.join(readers)}",
                remedy="wait for the job or cancel it, then delete the upload",
                details={"jobs": readers},
            )
        if (consent := ConsentRepository(session).proved_by(upload_id)) is not None:
            raise Conflict(
                f"the upload {upload_id} is the recording of the consent {consent.id}",
                remedy="take the consent back first, or delete the person; both delete what was learned on it",
                details={"consent_id": consent.id},
            )
        uploads.mark_deleting([upload_id], now())
        _mark_jobs(session, inspections)
        return DeletionRepository(session).open(upload.tenant_id, upload_id, inspections, now()).id


def delete_version(database: Database, person_id: str, number: int, *, tenant_id: str | None = None) -> str:
    """Take one version of a person's weights out of use and mark the training that made it.

    Raises:
        NotFound: no such person or version.
        Conflict: it is the version in use, or an unfinished video uses it.
    """
    with database.write() as session:
        person = person_or_refuse(session, person_id, tenant_id=tenant_id)
        version = PersonRepository(session).version_or_refuse(person_id, number)
        if person.package_artifact_id == version.artifact_id:
            raise Conflict(
                f"version {number} is the one that videos are made with",
                remedy="promote another first, or delete the person",
                details={"version": number},
            )
        readers = JobRepository(session).active_with(version.artifact_id)
        if readers:
            raise Conflict(
                f"version {number} is being used by {', '.join(readers)}",
                remedy="wait for the video or cancel it",
                details={"jobs": readers},
            )
        job_id = version.job_id
        session.delete(version)
        marked = [job_id] if job_id else []
        _mark_jobs(session, marked)
        deletion = DeletionRepository(session).open(person.tenant_id, version.id, marked, now())
        DeletionRepository(session).gone(version.id, {"person_versions": 1}, [], now())
        return deletion.id


def _mark_jobs(session: Session, job_ids: list[str]) -> None:
    jobs = JobRepository(session)
    for job_id in job_ids:
        job = jobs.get_locked(job_id)
        if job is not None and job.status in ("queued", "running", "canceling"):
            stop_job(session, job)
    jobs.mark_deleting(job_ids, now())


def purge(database: Database, store: ObjectStore, settings: Settings) -> Removed:
    """Finish every marked deletion whose jobs no worker holds any more; safe at any time, for anyone.

    Raises:
        Problem: of the store, the first that was met; what could be finished is.
    """
    with database.read() as session:
        jobs = JobRepository(session)
        marked_jobs = jobs.deleting()
        people = PersonRepository(session).deleting()
        uploads = UploadRepository(session).deleting()
        ready_jobs = [job_id for job_id in marked_jobs if not jobs.leased([job_id])]
        ready_people = [
            person_id
            for person_id in people
            if not (set(marked_jobs) - set(ready_jobs)) & {job.id for job in jobs.of_person(person_id)}
        ]
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
    purging = _Purging()
    for job_id in ready_jobs:
        purging.do(job_id, partial(_purge_job, database, store, settings, job_id))
    for upload_id in ready_uploads:
        purging.do(upload_id, partial(_purge_upload, database, store, upload_id))
    for person_id in ready_people:
        with database.read() as session:
            theirs = {job.id for job in JobRepository(session).of_person(person_id)}
        if not theirs & purging.failed:
            purging.do(person_id, partial(_purge_person, database, store, person_id))
    if purging.fault is not None:
        raise purging.fault
    return purging.removed


class _Purging:
    """Goes through deletions; one that fails keeps no other waiting, unless the store is away from everybody."""

    def __init__(self) -> None:
        self.removed, self.failed = Removed(), set[str]()
        self.fault: Problem | None = None
        """The first that was met."""
        self._away = 0

    def do(self, identifier: str, purge_it: Callable[[], Removed]) -> None:
        if self._away >= _AWAY_AFTER:
            self.failed.add(identifier)
            return
        try:
            self.removed.add(purge_it())
        except Problem as problem:
            self.failed.add(identifier)
            self.fault = self.fault or problem
            self._away += isinstance(problem, StoreUnavailable)


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
    """The job's artifacts go first, so that no worker begins to reuse one whose files are going; its row goes last."""
    shutil.rmtree(settings.work_dir / job_id, ignore_errors=True)
    with database.write() as session:
        job = JobRepository(session).get_locked(job_id)
        if job is None:
            return Removed()
        stages = {stage.id for stage in job.stages}
        outputs = [stage.artifact_id for stage in job.stages if stage.artifact_id]
        prefixes = [stage.checkpoint["prefix"] for stage in job.stages if stage.checkpoint]
        prefixes.append(f"{job.scope}/previews/{job_id}")  # workers/previews.py
        scope = job.scope
        for stage in job.stages:
            stage.artifact_id = None
        session.flush()
        artifacts = ArtifactRepository(session)
        rows = {"artifacts": artifacts.delete([each.id for each in artifacts.unreferenced(outputs)])}
        named = artifacts.prefixes_in_use()
        DeletionRepository(session).gone(job_id, rows, (), now(), last=False)
    # By the stage in their name, not by rows: an earlier try may have deleted those, or a worker died uncommitted.
    folders = {folder for key in store.keys(f"{scope}/stages") if (folder := _folder_of_stage(key, stages))}
    prefixes += sorted(folders - named)
    keys = [key for prefix in prefixes for key in store.keys(prefix)]
    with database.write() as session:
        DeletionRepository(session).gone(job_id, {}, keys, now(), last=False)
    for prefix in prefixes:
        store.delete_prefix(prefix)
    with database.write() as session:
        jobs = {"jobs": JobRepository(session).delete([job_id])}
        DeletionRepository(session).gone(job_id, jobs, (), now())
    return Removed({**rows, **jobs}, keys)


def _folder_of_stage(key: str, stages: Set[str]) -> str | None:
    """``<kind>/<id>/stages/<key>/<stage>-<fence>`` of an object that a run of one of these stages wrote."""
    parts = key.split("/")
    ours = len(parts) > 5 and parts[4].rpartition("-")[0] in stages
    return "/".join(parts[:5]) if ours else None


def _purge_upload(database: Database, store: ObjectStore, upload_id: str) -> Removed:
    keys = list(store.keys(f"uploads/{upload_id}"))
    store.delete_prefix(f"uploads/{upload_id}")
    with database.write() as session:
        rows = {"artifacts": ArtifactRepository(session).delete_scope(f"uploads/{upload_id}")}
        rows["uploads"] = UploadRepository(session).delete([upload_id])
        DeletionRepository(session).gone(upload_id, rows, keys, now())
    return Removed(rows, keys)


def _purge_person(database: Database, store: ObjectStore, person_id: str) -> Removed:
    """Everything in the person's folder but the videos that are to stay; the row once nothing is left."""
    scope = f"people/{person_id}"
    with database.read() as session:
        person = PersonRepository(session).get(person_id)
        kept = JobRepository(session).of_person(person_id)
        if person is None or (kept and not person.name):
            return Removed()  # gone, or stripped before: the row waits for its videos
        stay = [stage.artifact for job in kept for stage in job.stages if stage.artifact is not None]
        prefixes = tuple(f"{artifact.prefix}/" for artifact in stay)
        keys = [key for key in store.keys(scope) if not key.startswith(prefixes or ("\0",))]
    if prefixes:
        for key in keys:
            store.delete_prefix(key)
    else:
        store.delete_prefix(scope)
    with database.write() as session:
        person = PersonRepository(session).get_locked(person_id)
        if person is None:
            return Removed()
        artifacts = ArtifactRepository(session)
        going = [each.id for each in artifacts.of_scope(scope) if each.id not in {one.id for one in stay}]
        JobRepository(session).forget_packages(going)
        rows = {"artifacts": artifacts.delete(going), **_drop_consent(session, person)}
        if kept:
            person.name, person.labels = "", {}
        else:
            session.flush()
            rows["people"] = PersonRepository(session).delete(person_id)
        DeletionRepository(session).gone(person_id, rows, keys, now())
    return Removed(rows, keys)


def _drop_consent(session: Session, person: Person) -> dict[str, int]:
    """The consent goes with the last person who is learned on it."""
    consent = person.consent
    if consent is None:
        return {}
    person.consent = None
    if [other for other in ConsentRepository(session).people(consent.id) if other.id != person.id]:
        return {}
    session.flush()
    session.delete(consent)
    return {"consents": 1}
