"""The runner, in this process, on tiny real stage functions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import func, select, update

from likeness.clock import now
from likeness.database import Database
from likeness.ids import mark_of
from likeness.logs import bound_ids
from likeness.repositories.jobs import JobRepository
from likeness.repositories.leases import LeaseRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import (
    PLANS,
    cancel,
    mark_of,
    request_inspection,
    request_training,
    request_video,
    retry,
)
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Artifact, Job, Stage
from problems import OutOfDisk, OutOfMemory
from tests.likeness.service import training, upload
from tests.workers.tiny_stages import REGISTRY, STEPS, chain
from training.progress import Tick
from workers.process import work_forever
from workers.runner import STAGES, Runner, StageContext


@pytest.fixture
def make(database: Database, store: LocalStore, settings: Settings) -> Callable[..., Runner]:
    """Makes a runner; keyword arguments replace the function of a stage."""

    def make(**stages: Callable[[StageContext], Any]) -> Runner:
        specs = {name: replace(REGISTRY[name], run=run) for name, run in stages.items()}
        return Runner(database, store, settings, registry={**REGISTRY, **specs})

    return make


@pytest.fixture
def job_of(database: Database) -> Callable[[str], Job]:
    def job_of(job_id: str) -> Job:
        with database.read() as session:
            job = JobRepository(session).get(job_id)
        assert job is not None
        return job

    return job_of


Make = Callable[..., Runner]
JobOf = Callable[[str], Job]


def test_every_planned_stage_has_a_function() -> None:
    planned = [name for plan in PLANS.values() for name in plan.stages]
    assert sorted(planned) == sorted(STAGES) == sorted(REGISTRY)


def test_from_clip_to_video(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    person, job = training(settings, database, store)
    runner = make()
    assert runner.run_all() == 5
    done = job_of(job)
    assert (done.status, done.stage, done.result) == (
        "succeeded",
        "publish",
        {"metrics": {"psnr_face": 25.0}},
    )
    assert done.progress["percent"] == 100.0
    assert [(stage.status, stage.attempt) for stage in done.stages] == [("succeeded", 1)] * 5
    sound = upload(settings, database, store, b"sound", "recording")
    video = request_video(database, person_id=person, recording_id=sound, pose="still", seed=1)
    assert runner.run_all() == 1
    with database.read() as session:
        row = JobRepository(session).get(video)
        assert row is not None
        assert row.stages[0].artifact is not None
        key = f"{row.stages[0].artifact.prefix}/video.mp4"
    mark = b"mark:" + mark_of(video).encode()
    assert store.local_path(key).read_bytes() == chain(b"a clip", 0).encode() + b"soundstill" + mark
    assert list(settings.work_dir.iterdir()) == [], "nothing of a finished job stays in the work folders"


def test_outputs_are_listed_in_a_manifest_that_matches_them(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
) -> None:
    _, job = training(settings, database, store)
    make().run_all()
    with database.read() as session:
        row = JobRepository(session).get(job)
        assert row is not None
        listed = {}
        for stage in row.stages:
            assert stage.artifact is not None
            written = json.loads(store.local_path(f"{stage.artifact.prefix}/manifest.json").read_text())
            assert written == stage.artifact.manifest
            listed[stage.name] = [entry["name"] for entry in written["files"]]
            for entry in written["files"]:
                store.fetch(
                    f"{stage.artifact.prefix}/{entry['name']}",
                    settings.data_dir / "copy",
                    sha256=entry["sha256"],
                )
    assert listed == {
        "validate": ["clip.mp4"],
        "fit": ["track.safetensors"],
        "motion": [],
        "render": ["renderer.safetensors"],
        "publish": ["face.jpg", "person.likeness"],
    }


def test_committed_stages_are_reused_only_for_the_same_key(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    person, first = training(settings, database, store)
    make().run_all()
    clip = job_of(first).inputs[0].upload_id
    assert clip is not None

    def reused(**changes: Any) -> list[str]:
        wanted = {"upload_id": clip, "preset": "preview", "seed": 0, **changes}
        job = request_training(database, person_id=person, **wanted)
        make().run_all()
        assert job_of(job).status == "succeeded"
        return [stage.name for stage in job_of(job).stages if stage.reused]

    assert reused() == ["validate", "fit", "motion", "render", "publish"]
    assert reused(seed=1) == ["validate"]
    assert reused(upload_id=upload(settings, database, store, b"another")) == []
    other, job = training(settings, database, store)
    make().run_all()
    assert not any(stage.reused for stage in job_of(job).stages), f"{other} gets nothing of {person}"


def test_a_committed_manifest_without_its_files_is_not_reused(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    person, first = training(settings, database, store)
    make().run_all()
    for key in list(store.keys(f"people/{person}")):
        if key.endswith("clip.mp4"):
            store.delete_prefix(key)
    clip = job_of(first).inputs[0].upload_id
    assert clip is not None
    job = request_training(database, person_id=person, upload_id=clip, preset="preview", seed=0)
    make().run_all()
    assert [stage.reused for stage in job_of(job).stages] == [False, True, True, True, True]


def test_a_damaged_output_is_named_with_its_stage(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    person, job = training(settings, database, store)
    runner = make()
    runner.run_once()
    [key] = [key for key in store.keys(f"people/{person}") if key.endswith("clip.mp4")]
    store.local_path(key).write_bytes(b"flipped")
    (settings.work_dir / job / "clip.mp4").unlink()
    runner.run_once()
    error = job_of(job).error
    assert error is not None
    assert error["details"] == {"stage": "validate", "file": "clip.mp4"}
    retry(database, store, settings, job, from_stage="validate")
    runner.run_all()
    assert job_of(job).status == "succeeded"


def test_a_job_that_is_canceled_as_its_stage_ends_stores_nothing(
    settings: Settings, database: Database, store: LocalStore, make: Make, job_of: JobOf
) -> None:
    """No tick comes after the cancellation: only the commit can hear of it."""
    person, job = training(settings, database, store)

    def validate(context: StageContext) -> None:
        (context.work / "clip.mp4").write_bytes(b"a clip")
        cancel(database, job)

    assert make(validate=validate).run_all() == 1
    assert (job_of(job).status, job_of(job).stages[0].status) == ("canceled", "canceled")
    assert list(store.keys(f"people/{person}")) == []
    retry(database, store, settings, job)
    make().run_all()
    assert job_of(job).status == "succeeded"


def test_a_canceled_job_is_not_tried_again_by_a_problem_that_passes(
    settings: Settings, database: Database, store: LocalStore, make: Make, job_of: JobOf
) -> None:
    _, job = training(settings, database, store)

    def validate(_context: StageContext) -> None:
        cancel(database, job)
        raise OutOfDisk("the disk is full", remedy="free some")

    make(validate=validate).run_all()
    assert job_of(job).status == "canceled"


def test_a_worker_that_slept_deletes_nothing_that_was_committed(
    settings: Settings, database: Database, store: LocalStore, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds the files of a committed output gone, but its lease ran out while it looked."""
    person, first = training(settings, database, store)
    make().run_once()
    cancel(database, first)
    with database.read() as session:
        clip = session.get_one(Job, first).inputs[0].upload_id
    assert clip is not None
    request_training(database, person_id=person, upload_id=clip, preset="preview", seed=0)
    sleeper = make()

    def gone_for_a_while(_key: str) -> bool:
        with database.write() as session:
            session.execute(update(Stage).values(lease_until=now() - timedelta(seconds=1)))
            leases = LeaseRepository(session)
            leases.reap(now=now(), max_attempts=4)
            assert leases.claim(owner="b/1", now=now(), lease_s=60) is not None
        return False

    monkeypatch.setattr(sleeper.store, "exists", gone_for_a_while)
    sleeper.run_once()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Artifact)) == 1


def test_a_stage_that_says_that_memory_ran_out_asks_for_a_fresh_process(
    settings: Settings, database: Database, store: LocalStore, make: Make
) -> None:
    training(settings, database, store)

    def validate(_context: StageContext) -> None:
        raise OutOfMemory("the GPU's memory does not suffice", remedy="use a smaller preset")

    runner = make(validate=validate)
    runner.run_once()
    assert runner.tainted


@pytest.mark.parametrize(
    ("content", "slug", "attempts"),
    [
        (b"no face", "no_face", 1),
        (b"bug", "internal", 1),
        (b"disk", "out_of_disk", 4),
        (b"memory", "out_of_memory", 4),
    ],
)
def test_what_a_stage_raises_ends_its_job_with_a_typed_problem(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
    content: bytes,
    slug: str,
    attempts: int,
) -> None:
    person, job = training(settings, database, store, content)
    runner = make()
    runner.run_all()
    ended = job_of(job)
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error["slug"] == slug
    assert ended.error["remedy"]
    assert ended.stages[0].attempt == attempts
    assert runner.tainted == (content == b"memory")
    assert list(store.keys(f"people/{person}")) == []


def test_a_stage_that_ran_too_long_ends_its_job(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    _, job = training(settings, database, store)

    def too_long(_: StageContext) -> None:
        raise SoftTimeLimitExceeded(settings.stage_limit_s)  # what Celery raises inside of a stage

    make(fit=too_long).run_all()
    ended = job_of(job)
    assert ended.status == "failed"
    assert ended.error is not None
    assert (ended.error["slug"], ended.stage) == ("took_too_long", "fit")


def test_a_stage_that_writes_nothing_is_a_fault(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    _, job = training(settings, database, store)
    make(validate=lambda context: None).run_all()
    error = job_of(job).error
    assert error is not None
    assert "clip.mp4" in error["message"]


def test_cancel_is_noticed_at_the_next_tick_and_retry_goes_on_from_the_checkpoint(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    _, job = training(settings, database, store)
    steps: list[int] = []

    def canceled_at_seven(context: StageContext) -> None:
        def listen(tick: Tick) -> None:
            steps.append(tick.done)
            if tick.done == 7 and steps.count(7) == 1:
                cancel(database, job)
            context.progress(tick)

        REGISTRY["render"].run(replace(context, progress=listen))

    runner = make(render=canceled_at_seven)
    runner.run_all()
    assert steps == list(range(8))
    assert job_of(job).status == "canceled"
    assert [stage.status for stage in job_of(job).stages] == ["succeeded"] * 3 + ["canceled"] * 2
    retry(database, store, settings, job)
    runner.run_all()
    assert steps == [*range(8), *range(7, STEPS)], "step 7 was never done before, and 0-6 not again"
    assert job_of(job).status == "succeeded"


def test_a_stopping_worker_puts_its_stage_down_for_the_next(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    _, job = training(settings, database, store)
    first = make()

    def stop_at_five(context: StageContext) -> None:
        def listen(tick: Tick) -> None:
            if tick.done == 5:
                first.stop.set()
            context.progress(tick)

        REGISTRY["render"].run(replace(context, progress=listen))

    first.registry = {**REGISTRY, "render": replace(REGISTRY["render"], run=stop_at_five)}
    first.run_all()
    stage = job_of(job).stages[3]
    assert (stage.status, stage.attempt) == ("queued", 0)
    assert job_of(job).status == "running"
    make().run_all()
    assert job_of(job).status == "succeeded"


def test_a_worker_that_lost_its_lease_commits_nothing(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    """The sleeper wakes up after another worker took the stage over and finished it."""
    person, job = training(settings, database, store)

    def sleep_past_the_lease(context: StageContext) -> None:
        with database.write() as session:
            session.connection().exec_driver_sql(
                "update stages set lease_until = '2000-01-01' where status = 'running'"
            )
        assert make().run_once(), "the other worker"
        (context.work / "clip.mp4").write_bytes(b"of the sleeper")

    assert make(validate=sleep_past_the_lease).run_once()
    stage = job_of(job).stages[0]
    assert (stage.status, stage.fence) == ("succeeded", 2)
    committed = [key for key in store.keys(f"people/{person}") if key.endswith("clip.mp4")]
    assert len(committed) == 1
    assert store.local_path(committed[0]).read_bytes() == b"a clip"


def test_the_pulse_keeps_a_silent_stage_alive_and_hears_of_loss(
    settings: Settings,
    database: Database,
    store: LocalStore,
    job_of: JobOf,
) -> None:
    """No tick of progress for several leases, and still nobody may take the stage."""
    quick = settings.model_copy(update={"lease_s": 0.4, "heartbeat_s": 0.05})
    _, job = training(settings, database, store)
    reaped: list[int] = []

    def silent_for_three_leases(context: StageContext) -> Any:
        for _ in range(12):
            threading.Event().wait(0.1)
            with database.write() as session:
                reaped.append(LeaseRepository(session).reap(now=now(), max_attempts=4))
        return REGISTRY["validate"].run(context)

    registry = {**REGISTRY, "validate": replace(REGISTRY["validate"], run=silent_for_three_leases)}
    Runner(database, store, quick, registry=registry).run_once()
    assert reaped == [0] * 12
    assert job_of(job).stages[0].status == "succeeded"


def test_what_takes_seconds_runs_between_the_stages_of_what_takes_minutes(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
    job_of: JobOf,
) -> None:
    _, job = training(settings, database, store)
    runner = make()
    runner.run_once()
    inspection = request_inspection(database, upload_id=upload(settings, database, store, b"no face"))
    runner.run_once()
    assert job_of(inspection).status == "succeeded"
    result = job_of(inspection).result
    assert result is not None
    assert result["trainable"] is False
    assert job_of(job).status == "running"


def test_of_two_trainings_the_first_is_finished_first(
    settings: Settings, database: Database, store: LocalStore, make: Make, job_of: JobOf
) -> None:
    _, first = training(settings, database, store)
    _, second = training(settings, database, store)
    runner = make()
    for _ in range(5):
        runner.run_once()
    assert (job_of(first).status, job_of(second).status) == ("succeeded", "queued")


def test_an_unknown_stage_fails_plainly(
    settings: Settings,
    database: Database,
    store: LocalStore,
    job_of: JobOf,
) -> None:
    _, job = training(settings, database, store)
    Runner(database, store, settings, registry={}).run_all()
    error = job_of(job).error
    assert error is not None
    assert "validate" in error["message"]


def test_a_worker_without_disk_waits(
    settings: Settings,
    database: Database,
    store: LocalStore,
    job_of: JobOf,
) -> None:
    _, job = training(settings, database, store)
    greedy = settings.model_copy(update={"min_free_mb": 10**9, "retry_backoff_s": 3600.0})
    assert Runner(database, store, greedy, registry=REGISTRY).run_all() == 1
    waiting = job_of(job)
    assert (waiting.status, waiting.stages[0].status) == ("running", "queued")
    assert "MiB" in waiting.progress["message"]


def test_a_worker_is_in_the_register_while_it_lives(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
) -> None:
    from likeness.health import check_worker

    _, _ = training(settings, database, store)
    found: list[bool] = []

    def look(context: StageContext) -> None:
        found.append(check_worker(database, settings, None).ok)
        runner.stop.set()

    runner = make(validate=look)
    assert work_forever(runner) == 0
    assert found == [True]
    assert not check_worker(database, settings, None).ok


def test_weights_are_promoted_when_the_training_succeeds(
    settings: Settings,
    database: Database,
    store: LocalStore,
    make: Make,
) -> None:
    person, _ = training(settings, database, store)
    runner = make()
    for _ in range(4):
        runner.run_once()
    with database.read() as session:
        row = PersonRepository(session).get(person)
        assert row is not None
        assert row.package_artifact_id is None
    runner.run_once()
    with database.read() as session:
        row = PersonRepository(session).get(person)
        assert row is not None
        assert row.package is not None
        assert row.package.stage_name == "publish"


def test_what_a_stage_logs_carries_its_job(settings: Settings, database: Database, store: LocalStore) -> None:
    """And nothing after it does."""
    seen = []

    def inspect(context: StageContext) -> dict[str, Any]:
        seen.append(dict(bound_ids()))
        return {}

    _, job = training(settings, database, store)
    registry = {**REGISTRY, "validate": replace(REGISTRY["validate"], run=inspect, produces=())}
    assert Runner(database, store, settings, registry=registry).run_once()
    assert seen == [{"job_id": job, "stage": "validate", "tenant_id": "ten_embedded"}]
    assert bound_ids() == {}
