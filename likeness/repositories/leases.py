"""SQL of the workers: claim a stage, keep it, report, and end it. Every write names the fence of its claim.

A claim survives the crash of its worker by expiring; a worker that was only asleep finds a higher fence in
the row and can write nothing any more. A job that was asked to stop is never queued again nor committed to: whatever
its worker says then, it is canceled. ``likeness.repositories.transitions`` has the order in which rows are locked.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from likeness.ids import new_id
from likeness.job_states import ACTIVE, JOB_MOVES
from likeness.refusals import Poisoned
from likeness.repositories.accounts import UsageRepository
from likeness.repositories.audit import AuditRepository
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.events import EventRepository
from likeness.repositories.learned import LearnedRepository
from likeness.repositories.outbox import OutboxRepository, due
from likeness.repositories.people import PersonRepository
from likeness.repositories.transitions import TransitionRepository
from likeness.repositories.turns import TurnRepository
from likeness.tables import Artifact, Job, Person, Stage
from problems import Problem

QUEUES = ("cpu", "gpu")


@dataclass(frozen=True)
class InputFile:
    """A file in the object store that a stage reads."""

    role: str
    object_key: str
    sha256: str
    filename: str
    """The client's name for it; only its suffix is of use."""
    upload_id: str | None = None
    """None of what is no upload."""


@dataclass(frozen=True)
class Earlier:
    """What an earlier stage of the same job committed."""

    stage: str
    prefix: str
    files: tuple[dict[str, Any], ...]
    """``{"name", "size", "sha256"}`` each."""
    artifact_id: str


@dataclass(frozen=True)
class Claim:
    """A stage that a worker may run, under a fence."""

    stage_id: str
    job_id: str
    tenant_id: str
    kind: str
    stage: str
    fence: int
    attempt: int
    owner: str
    scope: str
    params: Mapping[str, Any]
    inputs: tuple[InputFile, ...]
    missing_inputs: tuple[str, ...]
    """Roles whose upload was deleted meanwhile."""
    earlier: tuple[Earlier, ...]
    stages: tuple[str, ...]
    """Names of all stages of the job, in order."""
    checkpoint: Mapping[str, Any] | None
    """The last one in the object store: ``{"prefix", "files"}``."""
    package_artifact_id: str | None
    """The weights that it uses."""
    consented: bool
    """False when the job learns or shows a person without recorded consent."""
    consent_id: str | None = None
    """The consent that it learns or shows a person on; None of jobs that do neither."""


class Standing(enum.Enum):
    """What a fenced write found."""

    HELD = "held"
    """The stage is still ours."""
    CANCELING = "canceling"
    """It is ours, and somebody asked for it to stop."""
    LOST = "lost"
    """It is not ours any more; nothing was written."""


class LeaseRepository:
    def __init__(self, session: Session) -> None:
        self.session = session
        self.states = TransitionRepository(session)

    # -- taking ----------------------------------------------------------------------------------------------

    def reap(self, *, now: datetime, max_attempts: int) -> int:
        """Put stages whose lease ran out back into the queue, or end them; return how many there were."""
        late = (Stage.status == "running", Stage.lease_until < now)
        jobs = list(self.session.scalars(select(Stage.job_id).where(*late)))
        if not jobs:
            return 0
        ConsentRepository(self.session).lock_checked_by(jobs)
        expired = self.session.scalars(
            select(Stage).where(*late).order_by(Stage.id).with_for_update(skip_locked=True)
        ).all()
        for stage in expired:
            job = self._job(stage.job_id)
            if job.status != "running":
                self._put_away(stage, job, now)
            elif stage.attempt >= max_attempts:
                problem = Poisoned(
                    f"the stage {stage.name} ended its worker {stage.attempt} times without saying why",
                    remedy="look into the worker's log for memory or driver trouble, then retry the job",
                    details={"stage": stage.name, "attempts": stage.attempt},
                )
                self._fail_job(stage, job, problem, now)
            else:
                self._requeue(stage, job, now, not_before=None)
        return len(expired)

    def any_expired(self, now: datetime) -> bool:
        """Whether a lease has run out; only reads."""
        query = select(Stage.id).where(Stage.status == "running", Stage.lease_until < now).limit(1)
        return self.session.scalar(query) is not None

    def reclaim(self, owner: str, *, now: datetime) -> int:
        """Expire the leases of exactly this process; only for who knows it dead, by the kernel lock."""
        held = self.session.execute(
            update(Stage)
            .where(Stage.status == "running", Stage.lease_owner == owner)
            .values(lease_until=now - timedelta(seconds=1))
            .returning(Stage.id)
        )
        return len(held.all())

    def claim(
        self,
        *,
        owner: str,
        now: datetime,
        lease_s: float,
        queues: Sequence[str] = QUEUES,
        stage_id: str | None = None,
    ) -> Claim | None:
        """Take the stage whose turn it is in these queues (or that one), or None; a second delivery of an id finds
        nothing.
        """
        while True:
            if stage_id is None:
                stage = TurnRepository(self.session).next(now, queues)
            else:
                stage = self._this(stage_id, now)
            if stage is None:
                return None
            job = self._job(stage.job_id)
            if job.status in JOB_MOVES["running"]:
                break
            self._put_away(stage, job, now)
        OutboxRepository(self.session).hush([stage.id])
        self.states.move_stage(stage, "running")
        self.states.move_job(job, "running")
        stage.fence += 1
        stage.attempt += 1
        stage.lease_owner = owner
        stage.lease_until = now + timedelta(seconds=lease_s)
        stage.started_at = now
        stage.finished_at = None
        stage.error = None
        job.stage = stage.name
        job.started_at = job.started_at or now
        data = {"stage": stage.name, "status": "running", "attempt": stage.attempt}
        EventRepository(self.session).add(job.id, "stage", data, now)
        self.session.flush()
        return self._describe(stage, job)

    def _this(self, stage_id: str, now: datetime) -> Stage | None:
        return self.session.scalar(
            select(Stage)
            .where(Stage.id == stage_id, Stage.status == "queued", due(Stage, now))
            .with_for_update(skip_locked=True)
        )

    def _describe(self, stage: Stage, job: Job) -> Claim:
        inputs = [
            InputFile(item.role, item.upload.object_key, item.sha256, item.upload.filename, item.upload.id)
            for item in job.inputs
            if item.upload is not None and item.upload.deleting_at is None
        ]
        present = {item.role for item in inputs}
        if job.package is not None:
            [package] = [
                entry for entry in job.package.manifest["files"] if entry["name"].endswith(".likeness")
            ]
            inputs.append(
                InputFile(
                    "person", f"{job.package.prefix}/{package['name']}", package["sha256"], package["name"]
                )
            )
        earlier = tuple(
            Earlier(done.name, done.artifact.prefix, tuple(done.artifact.manifest["files"]), done.artifact.id)
            for done in job.stages
            if done.ordinal < stage.ordinal and done.artifact is not None
        )
        consent_id = self._consent_of(job)
        return Claim(
            stage_id=stage.id,
            job_id=job.id,
            tenant_id=job.tenant_id,
            kind=job.kind,
            stage=stage.name,
            fence=stage.fence,
            attempt=stage.attempt,
            owner=stage.lease_owner or "",
            scope=job.scope,
            params=dict(job.params),
            inputs=tuple(inputs),
            missing_inputs=tuple(item.role for item in job.inputs if item.role not in present),
            earlier=earlier,
            stages=tuple(each.name for each in job.stages),
            checkpoint=stage.checkpoint,
            package_artifact_id=job.package_artifact_id,
            consented=job.person_id is None or (consent_id is not None and self._agreed(consent_id)),
            consent_id=consent_id,
        )

    def _consent_of(self, job: Job) -> str | None:
        """The consent that a job was asked for on, whichever its person names now."""
        if job.person_id is None or job.consent_id is not None:
            return job.consent_id if job.person_id is not None else None
        person = self.session.get(Person, job.person_id)
        return person.consent_id if person is not None else None

    def _agreed(self, consent_id: str) -> bool:
        consent = ConsentRepository(self.session).get(consent_id)
        return consent is not None and consent.given

    # -- keeping ---------------------------------------------------------------------------------------------

    def heartbeat(self, claim: Claim, *, now: datetime, lease_s: float) -> Standing:
        """Extend the lease."""
        return self._fenced(claim, lease_until=now + timedelta(seconds=lease_s))

    def hold(self, claim: Claim) -> Standing:
        """Keep others from the stage, and from what its end will change, until this transaction ends: what it finds
        is so until then. Comes before any other write about the claim.
        """
        if claim.kind == "consent":
            ConsentRepository(self.session).lock_checked_by([claim.job_id])
        elif claim.kind == "training" and claim.stage == claim.stages[-1]:
            PersonRepository(self.session).lock_learned_by(claim.job_id)
        return self._fenced(claim, fence=claim.fence)  # locks the row, changes nothing

    def set_key(self, claim: Claim, key: str) -> Standing:
        return self._fenced(claim, key=key)

    def set_checkpoint(self, claim: Claim, checkpoint: Mapping[str, Any] | None) -> Standing:
        """Name the checkpoint from which another worker would go on."""
        return self._fenced(claim, checkpoint=dict(checkpoint) if checkpoint else None)

    def report(
        self, claim: Claim, progress: Mapping[str, Any], *, event_at: datetime | None = None
    ) -> Standing:
        """Write the job's progress; with ``event_at`` also as an event that stays."""
        standing = self._fenced(claim, fence=claim.fence)  # locks the row, changes nothing
        if standing is not Standing.LOST:
            self.session.execute(update(Job).where(Job.id == claim.job_id).values(progress=dict(progress)))
            if event_at is not None:
                data = {"stage": claim.stage, **progress}
                EventRepository(self.session).add(claim.job_id, "progress", data, event_at)
        return standing

    def _fenced(self, claim: Claim, **values: Any) -> Standing:
        written = self.session.execute(
            update(Stage)
            .where(Stage.id == claim.stage_id, Stage.fence == claim.fence, Stage.status == "running")
            .values(**values)
            .returning(Stage.id)
        ).first()
        if written is None:
            return Standing.LOST
        status = self.session.scalar(select(Job.status).where(Job.id == claim.job_id))
        return Standing.CANCELING if status == "canceling" else Standing.HELD

    # -- ending ----------------------------------------------------------------------------------------------

    def complete(
        self,
        claim: Claim,
        *,
        key: str,
        prefix: str,
        manifest: Mapping[str, Any],
        now: datetime,
        reuse: str | None = None,
    ) -> bool:
        """Commit a stage: its manifest becomes the artifact of ``key``, the next stage is queued or the job
        is done.

        With ``reuse`` the artifact of that id is taken instead. Returns False, having committed nothing, when
        the fence is stale, or when the job was asked to stop or the consent that it ran on was taken back: then it is
        canceled. When another run has committed the same key meanwhile, that one's manifest is the truth.
        """
        # Before the stage: whoever takes a consent back locks it first, too.
        agreed = claim.consent_id is None or LearnedRepository(self.session).stands(claim.consent_id)
        stage = self._held(claim)
        if stage is None:
            return False
        job = self._job(claim.job_id)
        if not agreed or job.status == "canceling":
            self.states.cancel(job, now)
            return False
        artifact = (
            self.session.get(Artifact, reuse) if reuse else self._commit(claim, key, prefix, manifest, now)
        )
        if artifact is None:  # the artifact to reuse was deleted this moment: run the stage after all
            self._requeue(stage, job, now, not_before=None)
            return False
        self.states.move_stage(stage, "succeeded")
        stage.key = key
        stage.reused = artifact.prefix != prefix
        stage.artifact_id = artifact.id
        stage.checkpoint = None
        stage.finished_at = now
        stage.lease_owner = stage.lease_until = None
        data = {"stage": stage.name, "status": "succeeded", "reused": stage.reused}
        EventRepository(self.session).add(job.id, "stage", data, now)
        self._count_usage(stage, artifact, now)
        following = [each for each in job.stages if each.ordinal > stage.ordinal]
        if following:
            self.states.move_stage(following[0], "queued")
            # The job keeps its place: otherwise all jobs would advance in turn and the first end last but one.
            following[0].queued_at = stage.queued_at
            following[0].attempt = 0
            job.stage = following[0].name
            # Of the stage that is done; the next one has not said anything yet.
            job.progress = {**job.progress, "done": 0, "total": 0, "message": "", "metrics": {}}
            OutboxRepository(self.session).wake(following[0], now)
        else:
            self._succeed_job(job, artifact, now)
        return True

    def _count_usage(self, stage: Stage, artifact: Artifact, now: datetime) -> None:
        """Write down what a stage used; nothing when it was not run."""
        if stage.reused or stage.started_at is None:
            return
        usage = UsageRepository(self.session)
        seconds = (now - stage.started_at).total_seconds()
        usage.add(stage.tenant_id, stage.job_id, f"{stage.queue}_seconds", seconds, now)
        made = (artifact.manifest.get("result") or {}).get("video_seconds")
        if made:
            usage.add(stage.tenant_id, stage.job_id, "video_seconds", float(made), now)

    def _commit(
        self, claim: Claim, key: str, prefix: str, manifest: Mapping[str, Any], now: datetime
    ) -> Artifact | None:
        query = select(Artifact).where(Artifact.stage_key == key)
        if (committed := self.session.scalar(query)) is not None:
            return committed
        artifact = Artifact(
            id=new_id("art"),
            tenant_id=claim.tenant_id,
            stage_key=key,
            stage_name=claim.stage,
            scope=claim.scope,
            prefix=prefix,
            manifest=dict(manifest),
            created_at=now,
        )
        try:
            with self.session.begin_nested():
                self.session.add(artifact)
        except IntegrityError:  # Postgres: the other one committed between our look and our insert
            return self.session.scalar(query)
        return artifact

    def _succeed_job(self, job: Job, artifact: Artifact, now: datetime) -> None:
        job.result = dict(artifact.manifest.get("result") or {})
        self.states.succeed(job, now)
        if job.kind == "training" and job.person_id:
            consent_id = self._consent_of(job)
            version = PersonRepository(self.session).promote(
                job.person_id, artifact.id, job_id=job.id, consent_id=consent_id, when=now
            )
            after = {"version": version.number, "training_id": job.id, "consent_id": version.consent_id}
            AuditRepository(self.session).enter(
                job.tenant_id, "system", "person.learned", job.person_id, {"after": after}
            )
        if job.kind == "video":
            details = {"person_id": job.person_id, "consent_id": self._consent_of(job)}
            AuditRepository(self.session).enter(job.tenant_id, "system", "video.made", job.id, details)

    def fail(self, claim: Claim, problem: Problem, *, now: datetime) -> bool:
        """End the job with a problem, or as canceled when it was asked to stop; False when the fence is stale."""
        stage = self._held(claim)
        if stage is None:
            return False
        job = self._job(claim.job_id)
        if job.status == "canceling":
            self.states.cancel(job, now)
        else:
            self._fail_job(stage, job, problem, now)
        return True

    def postpone(self, claim: Claim, problem: Problem, *, now: datetime, not_before: datetime) -> bool:
        """Queue the stage again after a retryable problem; False when the fence is stale.

        A job that was asked to stop is canceled instead.
        """
        stage = self._held(claim)
        if stage is None:
            return False
        job = self._job(claim.job_id)
        if not self._requeue(stage, job, now, not_before=not_before):
            return True
        stage.error = problem.as_dict()
        job.progress = {
            **job.progress,
            "message": f"waiting to try again: {problem.message}",
            "eta_seconds": None,
        }
        data = {"stage": stage.name, "status": "queued", "message": job.progress["message"]}
        EventRepository(self.session).add(job.id, "stage", data, now)
        return True

    def release(self, claim: Claim, *, now: datetime) -> bool:
        """Put down a stage unfinished because its worker stops: it does not count as an attempt. A job that was asked
        to stop is canceled instead.
        """
        stage = self._held(claim)
        if stage is None:
            return False
        stage.attempt -= 1
        self._requeue(stage, self._job(claim.job_id), now, not_before=None)
        return True

    def cancel(self, claim: Claim, *, now: datetime) -> bool:
        """End the job that was asked to stop; False, and nothing happens, when it was not or the fence is stale."""
        stage = self._held(claim)
        if stage is None:
            return False
        job = self._job(claim.job_id)
        if job.status != "canceling":
            return False
        self.states.cancel(job, now)
        return True

    def _held(self, claim: Claim) -> Stage | None:
        """The claim's stage, held; None when the fence is stale."""
        if self.hold(claim) is Standing.LOST:
            return None
        return self.session.get(Stage, claim.stage_id, populate_existing=True)

    def _job(self, job_id: str) -> Job:
        query = select(Job).where(Job.id == job_id).with_for_update()
        return self.session.scalars(query, execution_options={"populate_existing": True}).one()

    def _requeue(self, stage: Stage, job: Job, now: datetime, *, not_before: datetime | None) -> bool:
        """Put a running stage back; False when its job was asked to stop, which then is canceled."""
        if job.status != "running":
            self._put_away(stage, job, now)
            return False
        self.states.move_stage(stage, "queued")
        stage.queued_at = stage.queued_at or now
        stage.not_before = not_before
        stage.lease_owner = stage.lease_until = None
        OutboxRepository(self.session).wake(stage, now)
        return True

    def _put_away(self, stage: Stage, job: Job, now: datetime) -> None:
        """End a stage that nobody is to run any more, with its job if that has not ended."""
        if job.status in ACTIVE:
            self.states.cancel(job, now)
            return
        self.states.move_stage(stage, "canceled")
        stage.finished_at = now
        stage.lease_owner = stage.lease_until = None
        OutboxRepository(self.session).hush([stage.id])

    def _fail_job(self, stage: Stage, job: Job, problem: Problem, now: datetime) -> None:
        self.states.move_stage(stage, "failed")
        stage.error = problem.as_dict()
        stage.finished_at = now
        stage.lease_owner = stage.lease_until = None
        job.stage = stage.name
        job.error = problem.as_dict()
        self.states.fail(job, now)
