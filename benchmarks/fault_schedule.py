"""Hundreds of jobs while everything that can die does, at random; afterwards nothing may be lost, doubled or torn."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.fast_stages import expected
from benchmarks.job_stack import JobStack, kill_group
from likeness.clock import now
from likeness.deletion import delete_person
from likeness.ids import new_id
from likeness.intake import Intake
from likeness.requests import PLANS, cancel, create_person, request_training, request_video
from likeness.store import file_digest
from likeness.tables import Artifact, Deletion, Job, Person, Stage, Tenant, WebhookDelivery, WebhookEndpoint
from problems import Problem
from training.progress import Progress, Tick, silent
from workers.celery_app import RUN_STAGE, make_celery

ENDED = ("succeeded", "failed", "canceled")


@dataclass(frozen=True)
class FaultSchedule:
    """What is done to the deployment."""

    jobs: int = 500
    seed: int = 0
    workers: int = 4
    tenants: int = 5
    pause_s: tuple[float, float] = (0.2, 1.2)
    """Between two faults."""
    canceled: float = 0.05
    """Share of the jobs that are canceled at some moment."""
    deleted: float = 0.05
    """Share of the people who are deleted at some moment, their jobs with them."""
    patience_s: float = 300.0
    """What is left to end after the last fault."""


class Ordeal:
    """One run of a schedule against a stack."""

    def __init__(self, stack: JobStack, schedule: FaultSchedule, progress: Progress = silent) -> None:
        self.stack, self.schedule, self.progress = stack, schedule, progress
        self.rng = random.Random(schedule.seed)
        self.faults: Counter[str] = Counter()
        self.inputs: dict[str, tuple[bytes, int]] = {}
        self._workers: list[subprocess.Popen[bytes]] = []
        self._relays: list[subprocess.Popen[bytes]] = []
        self._owners: list[str] = []
        self._trained: list[tuple[str, str]] = []
        self._celery = make_celery(stack.settings)
        self._deletions: dict[str, str] = {}
        """Receipt by person."""
        self._gone: set[str] = set()
        """Jobs that were deleted, of which nothing may be left."""

    def run(self) -> dict[str, Any]:
        """Submit, break, wait, examine."""
        self._tenants()
        self._relays = [self.stack.relay()]
        self._workers = [self._worker(index) for index in range(self.schedule.workers)]
        submitted: list[str] = []
        while len(submitted) < self.schedule.jobs:
            for _ in range(self.rng.randint(1, 8)):
                job = self._patiently(self._submit)
                if job is not None:
                    submitted.append(job)
            self._some_fault(submitted)
            time.sleep(self.rng.uniform(*self.schedule.pause_s))
            self.progress(Tick("jobs.faults", len(submitted), self.schedule.jobs))
        while (
            self._patiently(self._open_jobs) > self.schedule.jobs // 10
        ):  # faults go on under the last of the load
            self._some_fault(submitted)
            time.sleep(self.rng.uniform(*self.schedule.pause_s))
        if self.stack.cable and not self.faults["lose_s3_while_deleting"]:  # no schedule is too short for it
            self.faults["lose_s3_while_deleting"] += 1
            self._lose_s3_while_deleting(submitted)
        self._heal()
        deadline = time.monotonic() + self.schedule.patience_s
        while (
            self._patiently(self._open_jobs) or self._patiently(self._open_deletions)
        ) and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(
            2 * self.stack.settings.sweep_s
        )  # whoever still thinks it holds a lease gets its chance to do harm
        return self._examine(submitted)

    # -- load ------------------------------------------------------------------------------------------------

    def _tenants(self) -> None:
        with self.stack.database.write() as session:
            for index in range(self.schedule.tenants):
                tenant = Tenant(id=new_id("ten"), name=f"tenant {index}", created_at=now())
                session.add(tenant)
                session.flush()
                session.add(
                    WebhookEndpoint(
                        id=new_id("whk"), tenant_id=tenant.id, url="http://127.0.0.1:9/nobody", secret="whsec_AAAA",
                        events=[], created_at=now(),
                    )
                )  # fmt: skip
                self._owners.append(tenant.id)

    def _submit(self) -> str:
        stack, content = self.stack, self.rng.randbytes(64)
        tenant = self.rng.choice(self._owners)
        with Intake(stack.settings, stack.database, stack.store, tenant_id=tenant) as intake:
            intake.write(content)
            upload = intake.finish(filename="a.mp4", media_type="video/mp4", purpose="clip").id
        if self._trained and self.rng.random() < 0.3:
            person_id, _ = self.rng.choice(self._trained)
            with suppress(Problem):  # the person may not be learnt yet: then learn another
                job = request_video(
                    stack.database, person_id=person_id, recording_id=upload, pose="learned", seed=0
                )
                self.inputs[job] = (content, 0)
                return job
        person = create_person(
            stack.database, name="Ada", consent_subject="Ada Example", attested=True, tenant_id=tenant
        )
        seed = self.rng.randint(0, 9)
        job = request_training(
            stack.database, person_id=person.id, upload_id=upload, preset="preview", seed=seed
        )
        self.inputs[job] = (content, seed)
        self._trained.append((person.id, job))
        return job

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """Ask again while Postgres or the object store is away."""
        for _ in range(100):
            try:
                return ask()
            except SQLAlchemyError:
                time.sleep(0.1)
            except Problem as problem:
                if not problem.retryable:
                    raise
                time.sleep(0.1)
        return ask()

    def _open_jobs(self) -> int:
        with self.stack.database.read() as session:
            return session.scalar(select(func.count()).select_from(Job).where(Job.status.not_in(ENDED))) or 0

    def _open_deletions(self) -> int:
        with self.stack.database.read() as session:
            return (
                session.scalar(select(func.count()).select_from(Deletion).where(Deletion.status != "done"))
                or 0
            )

    # -- faults ----------------------------------------------------------------------------------------------

    def _some_fault(self, submitted: list[str]) -> None:
        faults: dict[Callable[[list[str]], None], int] = {
            self._kill_worker: 4,
            self._kill_child: 4,
            self._stop_worker: 2,
            self._kill_relay: 2,
            self._double_relay: 1,
            self._flush_redis: 2,
            self._restart_redis: 1,
            self._restart_postgres: 1,
            self._expire_lease: 3,
            self._duplicate_message: 3,
            self._cancel_job: max(1, round(20 * self.schedule.canceled)),
            self._delete_person: max(1, round(20 * self.schedule.deleted)),
            self._freeze_worker: 2,
            self._step_clock: 1,
        }
        if self.stack.cable:
            faults |= {self._cut_off_s3: 3, self._freeze_s3: 1, self._lose_s3_while_deleting: 2}
        fault = self.rng.choices(list(faults), list(faults.values()))[0]
        self.faults[fault.__name__.removeprefix("_")] += 1
        with suppress(SQLAlchemyError):
            fault(submitted)

    def _worker(self, index: int) -> subprocess.Popen[bytes]:
        return self.stack.worker(*(("cpu", "gpu") if index % 2 else ("cpu",)))

    def _replace(self, index: int) -> None:
        self._workers[index] = self._worker(index)

    def _kill_worker(self, _: list[str]) -> None:
        index = self.rng.randrange(len(self._workers))
        kill_group(self._workers[index])
        self._replace(index)

    def _kill_child(self, _: list[str]) -> None:
        """The process that runs the stage dies; Celery's parent lives."""
        with suppress(psutil.Error):
            for child in psutil.Process(self.rng.choice(self._workers).pid).children(recursive=True):
                child.kill()

    def _stop_worker(self, _: list[str]) -> None:
        index = self.rng.randrange(len(self._workers))
        self._workers[index].send_signal(signal.SIGTERM)
        self._replace(index)

    def _freeze_worker(self, _: list[str]) -> None:
        """It sleeps past its lease, and wakes believing that the stage is its own."""
        with suppress(psutil.Error):
            family = psutil.Process(self.rng.choice(self._workers).pid).children(recursive=True)
            for child in family:
                child.suspend()
            time.sleep(1.3 * self.stack.settings.lease_s)
            for child in family:
                child.resume()

    def _kill_relay(self, _: list[str]) -> None:
        for relay in self._relays:
            kill_group(relay)
        self._relays = [self.stack.relay()]

    def _double_relay(self, _: list[str]) -> None:
        if len(self._relays) < 3:
            self._relays.append(self.stack.relay())

    def _flush_redis(self, _: list[str]) -> None:
        self.stack.redis.flush()

    def _restart_redis(self, _: list[str]) -> None:
        self.stack.redis.stop()
        time.sleep(self.rng.uniform(0.1, 2.0))
        self.stack.redis.start()

    def _restart_postgres(self, _: list[str]) -> None:
        self.stack.postgres.restart()

    def _expire_lease(self, _: list[str]) -> None:
        with self.stack.database.write() as session:
            stage = session.scalar(select(Stage.id).where(Stage.status == "running").limit(1))
            if stage is not None:
                session.execute(
                    update(Stage).where(Stage.id == stage).values(lease_until=now() - timedelta(seconds=1))
                )

    def _duplicate_message(self, _: list[str]) -> None:
        with suppress(Exception):  # Redis may be away: then there is no duplicate
            for queue in ("cpu", "gpu"):
                self._celery.send_task(RUN_STAGE, args=["again"], queue=queue, retry=False)

    def _cancel_job(self, submitted: list[str]) -> None:
        if submitted:
            with suppress(Problem):
                cancel(self.stack.database, self.rng.choice(submitted[-20:]))

    def _delete_person(self, submitted: list[str]) -> None:
        """Somebody who may be being learnt, shown, or neither."""
        if not self._trained:
            return
        person_id, _ = self._trained.pop(self.rng.randrange(len(self._trained)))
        with self.stack.database.read() as session:
            jobs = list(session.scalars(select(Job.id).where(Job.person_id == person_id)))
        with suppress(Problem):
            self._deletions[person_id] = delete_person(self.stack.database, person_id)
            self._gone.update(jobs)

    def _lose_s3_while_deleting(self, submitted: list[str]) -> None:
        """Nobody reaches the store for a while, and deletions wait for it."""
        assert self.stack.cable is not None
        self.stack.cable.cut_now()
        self._delete_person(submitted)
        time.sleep(self.rng.uniform(2.0, 5.0) * self.stack.settings.sweep_s)
        self.stack.cable.mend()

    def _step_clock(self, _: list[str]) -> None:
        """A worker whose clock is wrong by hours joins."""
        index = self.rng.randrange(len(self._workers))
        kill_group(self._workers[index])
        hours = self.rng.choice((-5, -1, 1, 5))
        self._workers[index] = self.stack.worker("cpu", "gpu", clock_s=3600.0 * hours)

    def _cut_off_s3(self, _: list[str]) -> None:
        """What is under way breaks off after some bytes, and nobody gets through for a while."""
        assert self.stack.cable is not None
        self.stack.cable.cut_after(self.rng.choice(("up", "down")), self.rng.randint(1, 4000))
        time.sleep(self.rng.uniform(0.1, 2.0))
        self.stack.cable.mend()

    def _freeze_s3(self, _: list[str]) -> None:
        assert self.stack.s3 is not None
        self.stack.s3.freeze(self.rng.uniform(0.5, 3.0))

    def _heal(self) -> None:
        """Whole again: right clocks, one relay, every worker alive."""
        for process in (*self._workers, *self._relays):
            kill_group(process)
        self._relays = [self.stack.relay()]
        self._workers = [self._worker(index) for index in range(self.schedule.workers)]

    # -- verdict ---------------------------------------------------------------------------------------------

    def _examine(self, submitted: list[str]) -> dict[str, Any]:
        stack = self.stack
        with stack.database.read() as session:
            jobs = {job.id: job for job in session.scalars(select(Job))}
            statuses = Counter(job.status for job in jobs.values())
            # A job whose person was deleted is to be gone; every other one is to have ended.
            lost = [
                job_id
                for job_id in submitted
                if (job_id not in jobs and job_id not in self._gone)
                or (job_id in jobs and jobs[job_id].status not in ENDED)
            ]
            silent_leases = session.scalar(
                select(func.count())
                .select_from(Stage)
                .where(Stage.status == "running", Stage.lease_until < now())
            )
            receipts = {deletion.id: deletion.status for deletion in session.scalars(select(Deletion))}
            still = session.scalars(select(Person.id).where(Person.id.in_(self._deletions)))
            undeleted = {person for person, each in self._deletions.items() if receipts[each] != "done"}
            undeleted |= set(still) | self._people_with_objects()
            left = session.scalar(
                select(func.count()).select_from(Stage).where(Stage.status.in_(("queued", "running", "pending")))
            )  # fmt: skip
            told = Counter(
                delivery.payload["data"]["id"] for delivery in session.scalars(select(WebhookDelivery))
            )
            artifacts = {artifact.id: artifact for artifact in session.scalars(select(Artifact))}
            fences = {stage.id: stage.fence for stage in session.scalars(select(Stage))}
            stale = 0
            for artifact in artifacts.values():
                made = re.search(r"/(stg_\w+)-(\d+)$", artifact.prefix)
                stale += made is None or fences.get(made[1], -1) != int(made[2])
            unverified = sum(not self._whole(artifact) for artifact in artifacts.values())
            wrong = 0
            for job_id, (content, seed) in self.inputs.items():
                job = jobs.get(job_id)
                if job is None:
                    continue
                if job.kind == "training" and job.status == "succeeded":
                    wrong += (job.result or {}).get("weights") != expected(content, seed)
                    person = session.get(Person, job.person_id)
                    wrong += person is None or person.package_artifact_id is None
            failed = [job.error for job in jobs.values() if job.status == "failed"]
        # What a deleted job's clients were told stays told; the delivery may have gone with it.
        doubled = sum(count != 1 for count in told.values()) + sum(job_id not in told for job_id in jobs)
        return {
            "jobs": len(submitted),
            "lost": len(lost),
            "left_running": left,
            "expired_leases": silent_leases,
            "deletions": len(self._deletions),
            "undeleted": len(undeleted),
            "duplicated": doubled,
            "stale_commits": stale,
            "unverified": unverified,
            "wrong_results": wrong,
            "statuses": dict(statuses),
            "failures": [f"{error['slug']}: {error['message']}" for error in failed if error][:5],
            "stages": sum(len(PLANS[job.kind].stages) for job in jobs.values()),  # type: ignore[index, misc]
            "committed": len(artifacts),
            "injected": dict(self.faults),
        }

    def _people_with_objects(self) -> set[str]:
        """People who were deleted, and of whom something lies in the store."""
        return {
            person_id
            for person_id in self._deletions
            if next(iter(self.stack.store.keys(f"people/{person_id}")), None) is not None
        }

    def _whole(self, artifact: Artifact) -> bool:
        """Every file that the manifest names is there, and is what it says."""
        for entry in artifact.manifest["files"]:
            place = self.stack.folder / "examined"
            try:
                self.stack.store.fetch(f"{artifact.prefix}/{entry['name']}", place, sha256=entry["sha256"])
            except Problem:
                return False
            if file_digest(place) != (entry["size"], entry["sha256"]):
                return False
        return True
