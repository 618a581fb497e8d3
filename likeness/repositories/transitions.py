"""SQL that changes the state of jobs and stages: each write names the states it may start from, so that no writer
undoes what another one has decided meanwhile.

Rows are locked in one order by everyone: consent, person, uploads, stages, job, tenant.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from likeness.job_states import ACTIVE, JOB_MOVES, STAGE_MOVES
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.events import EventRepository
from likeness.repositories.outbox import OutboxRepository
from likeness.repositories.webhooks import WebhookRepository
from likeness.tables import Job, Stage
from problems import Conflict


class TransitionRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def move_job(self, job: Job, to: str) -> None:
        """Raise Conflict, having written nothing, when a job can't get to this state from where it is."""
        self._move(Job, job, to, JOB_MOVES)

    def move_stage(self, stage: Stage, to: str) -> None:
        """Raise Conflict, having written nothing, when a stage can't get to this state from where it is."""
        self._move(Stage, stage, to, STAGE_MOVES)

    def _move(
        self,
        table: type[Job] | type[Stage],
        row: Job | Stage,
        to: str,
        moves: Mapping[str, frozenset[str]],
    ) -> None:
        written = self.session.execute(
            update(table)
            .where(table.id == row.id, table.status.in_(moves[to]))
            .values(status=to)
            .returning(table.id)
            .execution_options(synchronize_session=False)
        ).first()
        if written is None:
            self.session.refresh(row)
            raise Conflict(
                f"{row.id} is {row.status} and can't become {to}",
                remedy="look at the job again: something else happened to it this moment",
                details={"id": row.id, "status": row.status},
            )
        set_committed_value(row, "status", to)

    def stop(self, job: Job, now: datetime) -> None:
        """Ask a locked job that has not ended to stop: at once, or when a worker holds it, by that worker."""
        if not any(stage.status == "running" for stage in job.stages):
            self.cancel(job, now)
        elif job.status != "canceling":
            self.move_job(job, "canceling")
            job.progress = {**job.progress, "eta_seconds": None, "message": "stopping"}
            EventRepository(self.session).status(job, now)

    def cancel(self, job: Job, now: datetime) -> None:
        """End a locked job that has not ended, with all of its stages that have not."""
        for stage in job.stages:
            if stage.status in ("pending", "queued", "running"):
                self.move_stage(stage, "canceled")
                stage.finished_at = now
                stage.lease_owner = stage.lease_until = None
        self.move_job(job, "canceled")
        job.finished_at = now
        job.progress = {**job.progress, "eta_seconds": None, "message": ""}
        OutboxRepository(self.session).hush([stage.id for stage in job.stages])
        self._tell_the_end(job, now)

    def fail(self, job: Job, now: datetime) -> None:
        """End a locked job whose stage has failed; its error is written."""
        self.move_job(job, "failed")
        job.finished_at = now
        job.progress = {**job.progress, "eta_seconds": None}
        self._tell_the_end(job, now)

    def succeed(self, job: Job, now: datetime) -> None:
        """End a locked job whose last stage is done; its result is written."""
        self.move_job(job, "succeeded")
        job.finished_at = now
        total = job.progress.get("total", 0)
        job.progress = {**job.progress, "percent": 100.0, "done": total, "eta_seconds": 0.0, "message": ""}
        self._tell_the_end(job, now)

    def _tell_the_end(self, job: Job, now: datetime) -> None:
        assert job.status not in ACTIVE
        if job.kind == "consent":
            ConsentRepository(self.session).conclude(job, now)
        EventRepository(self.session).status(job, now)
        WebhookRepository(self.session).announce(job, now)
