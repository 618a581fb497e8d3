"""SQL on jobs and their stages, as those who ask for work see them (workers see them through leases)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session, selectinload

from likeness.job_states import ACTIVE
from likeness.repositories.consents import ConsentRepository
from likeness.tables import Job, JobInput, Stage


class JobRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, job: Job) -> None:
        self.session.add(job)

    def get(self, job_id: str, *, kind: str | None = None) -> Job | None:
        """The job with its stages and inputs, one that is being deleted included."""
        query = select(Job).where(Job.id == job_id).options(*_WHOLE)
        if kind:
            query = query.where(Job.kind == kind)
        return self.session.scalar(query)

    def get_locked(self, job_id: str, *, kind: str | None = None) -> Job | None:
        """The same as it is once it, and before it its stages and the consent that it checks, are locked: the order in
        which workers lock them too.
        """
        if self.kind_of(job_id) == "consent":
            ConsentRepository(self.session).lock_checked_by([job_id])
        self.session.execute(
            select(Stage.id).where(Stage.job_id == job_id).order_by(Stage.ordinal).with_for_update()
        )
        self.session.execute(select(Job.id).where(Job.id == job_id).with_for_update())
        query = select(Job).where(Job.id == job_id).options(*_WHOLE)
        if kind:
            query = query.where(Job.kind == kind)
        # What this transaction read of it before may be over.
        return self.session.scalar(query, execution_options={"populate_existing": True})

    def kind_of(self, job_id: str) -> str | None:
        return self.session.scalar(select(Job.kind).where(Job.id == job_id))

    def person_of(self, job_id: str) -> str | None:
        return self.session.scalar(select(Job.person_id).where(Job.id == job_id))

    def uploads_of(self, job_id: str) -> list[str]:
        """Ids of the uploads that a job reads and that are still there."""
        query = select(JobInput.upload_id).where(JobInput.job_id == job_id)
        return [each for each in self.session.scalars(query) if each is not None]

    def of_person(self, person_id: str) -> list[Job]:
        query = select(Job).where(Job.person_id == person_id).options(*_WHOLE).order_by(Job.id.desc())
        return list(self.session.scalars(query))

    def latest_of_people(self, person_ids: Sequence[str], kind: str) -> dict[str, Job]:
        """The newest job of a kind for each person that has one, without its stages."""
        newest = (
            select(func.max(Job.id))
            .where(Job.person_id.in_(person_ids), Job.kind == kind)
            .group_by(Job.person_id)
        )
        jobs = self.session.scalars(select(Job).where(Job.id.in_(newest)))
        return {job.person_id: job for job in jobs if job.person_id}

    def active_trainings(self, person_id: str) -> list[Job]:
        """Trainings of a person that have not ended, without their stages."""
        query = select(Job).where(Job.person_id == person_id, Job.kind == "training", Job.status.in_(ACTIVE))
        return list(self.session.scalars(query.order_by(Job.id)))

    def count_active(self) -> int:
        return self.session.scalar(select(func.count()).where(Job.status.in_(ACTIVE))) or 0

    def mark_deleting(self, job_ids: Sequence[str], when: datetime) -> None:
        self.session.execute(
            update(Job).where(Job.id.in_(job_ids), Job.deleting_at.is_(None)).values(deleting_at=when)
        )

    def by_mark(self, mark: str) -> Job | None:
        """The video with this watermark."""
        return self.session.scalar(select(Job).where(Job.mark == mark).limit(1))

    def of_batch(self, batch_id: str) -> dict[str, int]:
        """How many jobs of a batch have each status."""
        query = select(Job.status, func.count()).where(Job.batch_id == batch_id).group_by(Job.status)
        return {row[0]: row[1] for row in self.session.execute(query)}

    def active_with(self, artifact_id: str) -> list[str]:
        """Ids of unfinished jobs that use these weights."""
        query = select(Job.id).where(Job.package_artifact_id == artifact_id, Job.status.in_(ACTIVE))
        return list(self.session.scalars(query))

    def active_of_people(self, person_ids: Sequence[str]) -> list[str]:
        """Ids of unfinished jobs of these people."""
        query = select(Job.id).where(Job.person_id.in_(person_ids), Job.status.in_(ACTIVE))
        return list(self.session.scalars(query))

    def forget_packages(self, artifact_ids: Sequence[str]) -> None:
        """Of ended jobs: which weights they used is of no use once those are gone."""
        self.session.execute(
            update(Job).where(Job.package_artifact_id.in_(artifact_ids)).values(package_artifact_id=None)
        )

    def deleting(self) -> list[str]:
        return list(self.session.scalars(select(Job.id).where(Job.deleting_at.is_not(None))))

    def leased(self, job_ids: Sequence[str]) -> bool:
        """True while a worker holds a stage of one of these jobs."""
        query = select(func.count()).where(Stage.job_id.in_(job_ids), Stage.status == "running")
        return bool(self.session.scalar(query))

    def ids(self) -> set[str]:
        return set(self.session.scalars(select(Job.id)))

    def delete(self, job_ids: Sequence[str]) -> int:
        self.session.execute(delete(JobInput).where(JobInput.job_id.in_(job_ids)))
        self.session.execute(delete(Stage).where(Stage.job_id.in_(job_ids)))
        gone = self.session.execute(delete(Job).where(Job.id.in_(job_ids)).returning(Job.id))
        return len(gone.all())


_WHOLE = (selectinload(Job.stages), selectinload(Job.inputs).joinedload(JobInput.upload))
