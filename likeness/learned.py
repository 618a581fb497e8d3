"""What was learned on a consent, and how it goes when the consent does."""

from __future__ import annotations

import shutil

from sqlalchemy.orm import Session

from likeness.admission import hold_people
from likeness.database import Database
from likeness.job_states import ACTIVE
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.jobs import JobRepository
from likeness.repositories.learned import LearnedRepository
from likeness.requests import stop_job
from likeness.settings import Settings
from likeness.store import ObjectStore


def drop_learned(session: Session, consent_id: str) -> list[str]:
    """Stop what runs on a locked consent, and take what was learned on it out of the rows, whichever consent the people
    name now; returns the prefixes in the object store to delete.

    The check of its recording is left alone: it may end as it likes, and its worker locks job and consent the other way
    round. A training that still runs is put down by its worker, which commits nothing any more
    (``LeaseRepository.complete``); what it leaves is swept up by :func:`sweep_revoked`.
    """
    learned, jobs, artifacts = LearnedRepository(session), JobRepository(session), ArtifactRepository(session)
    # Whoever asks for something of these people holds them, too: what is asked for meanwhile is found below, or finds
    # that the consent does not stand.
    hold_people(session, learned.people(consent_id))
    for job_id in learned.active_jobs(consent_id):
        job = jobs.get_locked(job_id)
        if job is not None and job.status in ACTIVE:
            stop_job(session, job)
    going = learned.artifacts(consent_id)
    ids = [artifact.id for artifact in going]
    jobs.forget_packages(ids)
    artifacts.delete(ids)
    previews = [f"{job.scope}/previews/{job.id}" for job in learned.trainings(consent_id)]
    return [*(artifact.prefix for artifact in going), *previews]


def sweep_revoked(database: Database, store: ObjectStore, settings: Settings) -> int:
    """Remove what stopped trainings left on consents that do not stand: checkpoints in the object store, and work
    folders and previews of jobs that were here. Returns of how many jobs.

    Raises:
        StoreUnavailable: the rest is left to the next sweep.
    """
    folders = [path.name for path in settings.work_dir.iterdir()] if settings.work_dir.is_dir() else []
    with database.read() as session:
        learned = LearnedRepository(session)
        stages = learned.left_behind()
        here = learned.without_consent(folders) if folders else []
    prefixes = {f"{stage.scope}/checkpoints/{stage.stage_id}" for stage in stages}
    prefixes |= {f"{stage.scope}/previews/{stage.job_id}" for stage in stages}
    prefixes |= {f"{scope}/previews/{job_id}" for job_id, scope in here}
    for prefix in sorted(prefixes):
        store.delete_prefix(prefix)
    if stages:
        with database.write() as session:
            LearnedRepository(session).forget_checkpoints([stage.stage_id for stage in stages])
    jobs = {job_id for job_id, _ in here} | {stage.job_id for stage in stages}
    for job_id in jobs:
        shutil.rmtree(settings.work_dir / job_id, ignore_errors=True)
    return len(jobs)
