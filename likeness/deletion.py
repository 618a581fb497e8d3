"""Deleting for good: mark the rows, stop the work, remove the files, then the rows, and keep a receipt.

The row of a person or an upload goes last, so a deletion that is interrupted anywhere is found and finished
by the next :func:`purge`, which the API calls at once and every idle worker calls again. Work folders whose
job has no row are swept up at a worker's start. The receipt names ids, keys and counts, nothing about the person.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy.orm import Session

from likeness.admission import hold_people
from likeness.clock import now
from likeness.database import Database
from likeness.job_states import ACTIVE
from likeness.refusals import StoreUnavailable
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.audit import AuditRepository
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.deletions import DeletionRepository
from likeness.repositories.jobs import JobRepository
from likeness.repositories.learned import LearnedRepository
from likeness.repositories.people import PersonRepository
from likeness.repositories.uploads import UploadRepository
from likeness.requests import Kind, job_or_refuse, person_or_refuse, stop_job, upload_or_refuse
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.tables import Person
from problems import Conflict, Problem

log = logging.getLogger("likeness.deletion")

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
    database: Database,
    person_id: str,
    *,
    tenant_id: str | None = None,
    keep_videos: bool = False,
    keep_consent: bool = False,
) -> str:
    """Mark a person, their jobs, the uploads that only these jobs read, and the consents that only they were learned
    on; returns the id of the receipt.

    With ``keep_videos`` the finished videos stay, and nothing else of the person. With ``keep_consent`` their consents
    stay, for somebody who was entered a moment ago and not learned.

    Raises:
        NotFound: no such person.
    """
    with database.write() as session:
        ConsentRepository(session).lock_of_person(person_id)
        hold_people(session, [person_id])
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
        consents = []
        learned = LearnedRepository(session)
        if keep_consent:
            person.consent = None
        else:
            consents = [
                each
                for each in learned.consents_of(person_id)
                if not learned.needed_by_others(each, person_id)
            ]
        for consent_id in consents:
            files += [each for each in learned.recordings(consent_id) if each not in files]
            jobs += [check.id for check in learned.checks(consent_id) if check.id not in jobs]
        there = [each for each in consents if ConsentRepository(session).get(each) is not None]
        # Only what is still there: a receipt that waits for what went before would wait for ever.
        files = uploads.mark_deleting(files, moment)
        for upload_id in files:
            jobs += uploads.inspection_jobs(upload_id)
        jobs = mark_jobs(session, jobs)
        return deletions.open(person.tenant_id, person_id, [*jobs, *files, *there], moment).id


def delete_job(
    database: Database, job_id: str, *, kind: Kind | None = None, tenant_id: str | None = None
) -> str:
    """Mark a job; its outputs go unless something else uses them. A training's promoted weights stay. Returns the id
    of the receipt.

    Raises:
        NotFound: no such job.
    """
    with database.write() as session:
        JobRepository(session).get_locked(job_id)
        job = job_or_refuse(session, job_id, kind=kind, tenant_id=tenant_id)
        deletions = DeletionRepository(session)
        if job.deleting_at is not None and (before := deletions.of_subject(job_id)) is not None:
            return before.id
        mark_jobs(session, [job_id])
        return deletions.open(job.tenant_id, job_id, (), now()).id


def delete_upload(database: Database, upload_id: str, *, tenant_id: str | None = None) -> str:
    """Mark an upload and its inspections; returns the id of the receipt.

    Raises:
        NotFound: no such upload.
        Conflict: an unfinished job reads it.
    """
    with database.write() as session:
        UploadRepository(session).lock([upload_id])
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
        inspections = mark_jobs(session, inspections)
        return DeletionRepository(session).open(upload.tenant_id, upload_id, inspections, now()).id


def delete_version(
    database: Database,
    person_id: str,
    number: int,
    *,
    tenant_id: str | None = None,
    actor: str = "local",
) -> str:
    """Take one version of a person's weights out of use and mark the training that made it.

    Raises:
        NotFound: no such person or version.
        Conflict: it is the version in use, or an unfinished video uses it.
    """
    with database.write() as session:
        hold_people(session, [person_id])
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
        before = {"version": number, "consent_id": version.consent_id}
        AuditRepository(session).enter(
            person.tenant_id, actor, "person.version_deleted", person_id, {"before": before, "after": None}
        )
        session.delete(version)
        marked = mark_jobs(session, [job_id] if job_id else [])
        deletion = DeletionRepository(session).open(person.tenant_id, version.id, marked, now())
        DeletionRepository(session).gone(version.id, {"person_versions": 1}, [], now())
        return deletion.id


def mark_jobs(session: Session, job_ids: list[str]) -> list[str]:
    """Stop these jobs and mark them; returns the ids of those that are still there."""
    jobs = JobRepository(session)
    found = []
    for job_id in sorted(
        set(job_ids)
    ):  # in one order by everyone, so that two deletions never wait for each other
        job = jobs.get_locked(job_id)
        if job is None:
            continue
        if job.status in ACTIVE:
            stop_job(session, job)
        found.append(job_id)
    jobs.mark_deleting(found, now())
    return found


def purge(database: Database, store: ObjectStore, settings: Settings) -> Removed:
    """Finish every marked deletion whose jobs no worker holds any more; safe at any time, for anyone.

    Raises:
        Problem, OSError: the first that was met; what could be finished is.
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
        self.fault: Problem | OSError | None = None
        """The first that was met."""
        self._away = 0

    def do(self, identifier: str, purge_it: Callable[[], Removed]) -> None:
        if self._away >= _AWAY_AFTER:
            self.failed.add(identifier)
            return
        try:
            self.removed.add(purge_it())
        except (Problem, OSError) as problem:  # what can't be deleted must not keep the others from it
            log.warning("the deletion of %s waits: %s", identifier, problem)
            self.failed.add(identifier)
            self.fault = self.fault or problem
            self._away += isinstance(problem, StoreUnavailable)


def sweep_work_folders(database: Database, settings: Settings) -> int:
    """Remove work folders whose job has no row, left by a crash between two lines of a purge, or whose consent does not
    stand any more."""
    # Folders are listed before rows are read: a job made in between is in the rows.
    folders = (
        [path for path in settings.work_dir.iterdir() if path.is_dir()] if settings.work_dir.is_dir() else []
    )
    with database.read() as session:
        known = JobRepository(session).ids()
        known -= {
            job_id
            for job_id, _ in LearnedRepository(session).without_consent([path.name for path in folders])
        }
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
        rows |= UploadRepository(session).delete_all(upload_id)
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
        ConsentRepository(session).lock_of_person(person_id)
        hold_people(session, [person_id])  # others purge, too
        person = PersonRepository(session).get(person_id)
        if person is None:
            return Removed()
        artifacts = ArtifactRepository(session)
        going = [each.id for each in artifacts.of_scope(scope) if each.id not in {one.id for one in stay}]
        JobRepository(session).forget_packages(going)
        rows = {"artifacts": artifacts.delete(going), **_drop_consents(session, person)}
        if kept:
            person.name, person.labels = "", {}
        else:
            session.flush()
            rows["people"] = PersonRepository(session).delete(person_id)
        DeletionRepository(session).gone(person_id, rows, keys, now())
    return Removed(rows, keys)


def _drop_consents(session: Session, person: Person) -> dict[str, int]:
    """The consents go with the last person who was learned on them."""
    deletions, learned = DeletionRepository(session), LearnedRepository(session)
    deletion = deletions.of_subject(person.id)
    waiting = deletion.receipt["waiting"] if deletion is not None else []
    going = {str(each) for each in waiting if each.startswith("con_")}
    if person.consent_id is not None:
        going.add(person.consent_id)
    person.consent = None
    session.flush()
    count = 0
    for consent_id in sorted(going):
        if not learned.needed_by_others(consent_id, person.id):
            count += ConsentRepository(session).delete(consent_id)
        deletions.gone(consent_id, {}, [], now())
    return {"consents": count}
