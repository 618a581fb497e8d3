"""Any order of submit, work, kill, freeze, expire, postpone, stop, cancel, retry and doubled messages: the invariants
hold on SQLite, and a trigger there refuses every change of state that is not in the tables.

The same rules on real Postgres, Redis and processes: ``likeness bench jobs`` (tests/benchmarks/test_jobs.py).
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select, text, update

from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.job_states import ACTIVE, ENDED, JOB_MOVES, STAGE_MOVES
from likeness.repositories.leases import Claim, LeaseRepository
from likeness.requests import cancel, request_training, retry
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.store import LocalStore, file_digest
from likeness.tables import Artifact, Job, Stage, Wake, WebhookDelivery, WebhookEndpoint
from problems import Conflict, InternalProblem, NoFace, OutOfDisk
from tests.likeness.service import training, upload
from tests.workers.tiny_stages import REGISTRY
from training.progress import Tick
from workers.runner import Runner, StageContext

End = Literal["done", "postponed", "failed", "broken", "put down", "out of memory"]
"""How a stage's function may end."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the runner catches it."""


class Service(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="likeness-machine-"))
        self.settings = Settings(
            data_dir=self.folder, min_free_mb=0, progress_every_s=0, retry_backoff_s=0, max_attempts=3
        )
        self.database, self.store = Database.of(self.settings), LocalStore(self.settings.objects_dir)
        migrate(self.database)
        with self.database.write() as session:
            for table, moves in (("jobs", JOB_MOVES), ("stages", STAGE_MOVES)):
                known = ", ".join(f"'{old}>{new}'" for new, olds in moves.items() for old in sorted(olds))
                session.execute(
                    text(
                        f"create trigger {table}_moves before update of status on {table} "
                        f"when old.status <> new.status and old.status || '>' || new.status not in ({known}) "
                        f"begin select raise(abort, 'a move that is not in the table of {table}'); end"
                    )
                )
        with self.database.write() as session:
            session.add(
                WebhookEndpoint(
                    id=new_id("whk"), url="http://x", secret="whsec_AAAA", events=[], created_at=now()
                )
            )
        self.jobs: list[str] = []
        self.people: list[str] = []
        self.asked_to_stop: set[str] = set()
        self.ends: dict[str, int] = {}
        self.sleepers: list[Claim] = []
        self.clips = 0

    def teardown(self) -> None:
        self._finish()
        with self.database.read() as session:
            open_jobs = session.scalar(select(func.count()).where(Job.status.not_in(ENDED)))
            busy = session.scalar(select(func.count()).where(Stage.status.in_(("queued", "running"))))
        assert (open_jobs, busy) == (0, 0), "every job reaches an end, and nothing is left running"
        self.database.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _finish(self) -> None:
        for _ in range(20 * len(self.jobs) + 20):  # five stages a job, and three attempts of each
            self._expire()
            if not self._runner().run_once():
                break

    def _runner(self, **stages: Callable[[StageContext], Any]) -> Runner:
        specs = {name: replace(REGISTRY[name], run=run) for name, run in stages.items()}
        return Runner(self.database, self.store, self.settings, registry={**REGISTRY, **specs})

    @rule()
    def submit(self) -> None:
        self.clips += 1
        person, job = training(self.settings, self.database, self.store, b"clip %d" % self.clips)
        self.jobs.append(job)
        self.people.append(person)

    @precondition(lambda self: self.people)
    @rule(data=st.data())
    def learn_again(self, data: st.DataObject) -> None:
        """Another training of somebody who may be in the middle of one."""
        clip = upload(self.settings, self.database, self.store, b"another clip")
        person = data.draw(st.sampled_from(self.people))
        try:
            job = request_training(self.database, person_id=person, upload_id=clip, preset="preview", seed=0)
        except Conflict:
            pass
        else:
            self.jobs.append(job)

    @rule(count=st.integers(1, 4))
    def work(self, count: int) -> None:
        for _ in range(count):
            self._runner().run_once()

    @rule(end=st.sampled_from(get_args(End)), canceled=st.booleans(), retried=st.booleans())
    def end_in_some_way(self, end: End, canceled: bool, retried: bool) -> None:
        """Whatever stage comes next ends so; before that its job may be canceled, and retried in vain."""
        runner = self._runner()

        def ends(context: StageContext) -> Any:
            if canceled:
                self._cancel(context.job_id)
            if retried:
                self._retry(context.job_id, None)
            if end == "put down":
                runner.stop.set()
                context.progress(Tick("any", 0, 1))
            problems = {
                "postponed": OutOfDisk("full", remedy="free some"),
                "failed": NoFace("no face", remedy="film again"),
                "broken": ValueError("a fault"),
                "out of memory": MemoryError(),
            }
            if end in problems:
                raise problems[end]
            names = ("clip.mp4", "track.safetensors", "renderer.safetensors", "person.likeness")
            for name in names:  # without a tick, so that only the commit can hear of the cancellation
                (context.work / name).write_bytes(name.encode())
            return {}

        runner.registry = {name: replace(spec, run=ends) for name, spec in REGISTRY.items()}
        runner.run_once()

    @precondition(lambda self: self.sleepers)
    @rule(how=st.sampled_from(["postpone", "fail", "release", "cancel"]), expire=st.booleans())
    def wake_up_and_say(self, how: str, expire: bool) -> None:
        """A worker that slept says how its stage ended; its fence may be stale."""
        claim = self.sleepers.pop(0)
        if expire:
            self._expire()
            self._runner().run_once()
        problem = InternalProblem("x", remedy="y")
        with self.database.write() as session:
            leases = LeaseRepository(session)
            if how == "postpone":
                leases.postpone(claim, problem, now=now(), not_before=now())
            elif how == "fail":
                leases.fail(claim, problem, now=now())
            elif how == "release":
                leases.release(claim, now=now())
            else:
                leases.cancel(claim, now=now())

    @rule(stage=st.sampled_from(["validate", "fit", "render", "publish"]), before=st.booleans())
    def die_in_a_stage(self, stage: str, before: bool) -> None:
        """SIGKILL before or after the stage's function wrote its files; the lease stays."""

        def dies(context: StageContext) -> None:
            if not before:
                REGISTRY[stage].run(context)
            raise Killed

        try:
            self._runner(**{stage: dies}).run_once()
        except Killed:
            pass

    @rule()
    def die_before_the_commit(self) -> None:
        """SIGKILL when the files are stored and the row is not yet written."""
        runner = self._runner()

        def commit(*_: Any, **__: Any) -> None:
            raise Killed

        runner._commit = commit  # type: ignore[method-assign]
        try:
            runner.run_once()
        except Killed:
            pass

    @rule()
    def fall_asleep(self) -> None:
        """A worker claims a stage and sleeps past its lease."""
        with self.database.write() as session:
            claim = LeaseRepository(session).claim(owner="sleeper/1", now=now(), lease_s=60)
        if claim is not None:
            self.sleepers.append(claim)

    @precondition(lambda self: self.sleepers)
    @rule(expire=st.booleans())
    def wake_up_and_commit(self, expire: bool) -> None:
        """It believes that the stage is its own."""
        claim = self.sleepers.pop(0)
        if expire:
            self._expire()
            self._runner().run_once()
        prefix = f"{claim.scope}/stages/sleeper/{claim.stage_id}-{claim.fence}"
        source = self.folder / "sleeper"
        source.write_bytes(b"late")
        stored = self.store.put_file(f"{prefix}/late", source)
        manifest = {"files": [{"name": "late", "size": stored.size, "sha256": stored.sha256}], "result": {}}
        with self.database.write() as session:
            held = session.scalar(
                select(func.count())
                .select_from(Stage)
                .join(Job)
                .where(
                    Stage.id == claim.stage_id,
                    Stage.fence == claim.fence,
                    Stage.status == "running",
                    Job.status == "running",
                )
            )
            taken = LeaseRepository(session).complete(
                claim, key=f"late-{claim.stage_id}-{claim.fence}", prefix=prefix, manifest=manifest, now=now()
            )
        assert taken == bool(held), (
            "a good fence commits, unless the job is to stop, and a stale one does not"
        )

    @rule()
    def expire_leases(self) -> None:
        self._expire()

    def _expire(self) -> None:
        with self.database.write() as session:
            session.execute(
                update(Stage).where(Stage.status == "running").values(lease_until=now() - timedelta(seconds=1))
            )  # fmt: skip

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self._cancel(data.draw(st.sampled_from(self.jobs)))

    def _cancel(self, job: str) -> None:
        try:
            cancel(self.database, job)
        except Conflict:
            pass
        else:
            self.asked_to_stop.add(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), anew=st.booleans())
    def retry(self, data: st.DataObject, anew: bool) -> None:
        self._retry(data.draw(st.sampled_from(self.jobs)), "validate" if anew else None)

    def _retry(self, job: str, from_stage: str | None) -> None:
        try:
            retry(self.database, self.store, self.settings, job, from_stage=from_stage)
        except Conflict:
            pass
        else:
            self.ends[job] = self.ends.get(job, 0) + 1
            self.asked_to_stop.discard(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def a_message_comes_twice(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.jobs))
        with self.database.read() as session:
            stages = list(session.scalars(select(Stage.id).where(Stage.job_id == job)))
        for stage in stages:
            self._runner().run_once(stage)
            self._runner().run_once(stage)

    @invariant()
    def each_manifest_is_reachable_and_whole(self) -> None:
        with self.database.read() as session:
            artifacts = list(session.scalars(select(Artifact)))
        assert len({artifact.stage_key for artifact in artifacts}) == len(artifacts)
        for artifact in artifacts:
            for entry in artifact.manifest["files"]:
                path = self.store.local_path(f"{artifact.prefix}/{entry['name']}")
                assert path is not None
                assert file_digest(path) == (entry["size"], entry["sha256"])

    @invariant()
    def no_commit_is_by_a_stale_fence(self) -> None:
        with self.database.read() as session:
            for stage in session.scalars(select(Stage).where(Stage.status == "succeeded")):
                if stage.artifact is None or stage.reused:
                    continue
                made = re.search(r"/(stg_\w+)-(\d+)$", stage.artifact.prefix)
                assert made is not None
                assert (made[1], int(made[2])) == (stage.id, stage.fence)

    @invariant()
    def a_job_is_what_its_stages_are(self) -> None:
        with self.database.read() as session:
            for job in session.scalars(select(Job)):
                states = [stage.status for stage in job.stages]
                running, queued = states.count("running"), states.count("queued")
                assert running + queued <= 1
                if job.status in ENDED:
                    assert running + queued == 0
                if job.status == "succeeded":
                    assert set(states) == {"succeeded"}
                if job.status == "queued":
                    assert queued == 1
                if job.status == "running":
                    assert running + queued == 1
                if job.status == "canceling":
                    assert running == 1

    @invariant()
    def who_was_told_to_stop_stops(self) -> None:
        with self.database.read() as session:
            for job in session.scalars(select(Job).where(Job.id.in_(self.asked_to_stop))):
                assert job.status in ("canceling", "canceled")

    @invariant()
    def nobody_is_learned_twice_at_once(self) -> None:
        with self.database.read() as session:
            learned = list(session.scalars(select(Job.person_id).where(Job.status.in_(ACTIVE))))
        assert len(learned) == len(set(learned))

    @invariant()
    def each_wait_has_a_wake_up_and_each_end_one_announcement(self) -> None:
        with self.database.read() as session:
            waiting = set(session.scalars(select(Stage.id).where(Stage.status == "queued")))
            woken = set(session.scalars(select(Wake.stage_id)))
            assert waiting == woken
            told: dict[str, int] = {}
            for delivery in session.scalars(select(WebhookDelivery)):
                job = delivery.payload["data"]["id"]
                told[job] = told.get(job, 0) + 1
            for job in session.scalars(select(Job)):
                assert told.get(job.id, 0) == self.ends.get(job.id, 0) + (job.status in ENDED)


TestService = Service.TestCase
TestService.settings = settings(
    max_examples=12, stateful_step_count=16, deadline=None, suppress_health_check=list(HealthCheck)
)
