"""Checkpoints in the object store: a stage that was killed on one machine goes on, on another."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from likeness.clock import now
from likeness.database import Database
from likeness.repositories.jobs import JobRepository
from likeness.repositories.leases import Claim, LeaseRepository
from likeness.requests import retry
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Stage
from rendering.discriminator import DiscriminatorConfig
from rendering.generator import GeneratorConfig
from rendering.train import RendererConfig, train_renderer
from tests.likeness.service import training
from tests.rendering.moving_blobs import MovingBlobs
from tests.workers.tiny_stages import REGISTRY, STEPS, chain
from training.progress import Tick
from workers.carry import Carrier, fetch_checkpoint
from workers.runner import Runner, StageContext, StageSpec


class Killed(BaseException):
    """Stands for SIGKILL inside of one process: no handler of the runner catches it."""


def machine(settings: Settings, name: str) -> Settings:
    """Settings of another machine: the same database and store, its own work folder."""
    own = {
        "data_dir": settings.data_dir / name,
        "broker_url": "redis://nowhere",
        "checkpoint_every_s": 0.02,
        "max_attempts": 100,
    }
    return settings.model_copy(update=own)


def run_until_killed(
    database: Database, store: LocalStore, settings: Settings, registry: dict[str, StageSpec]
) -> bool:
    """Work until nothing is queued (True) or the process "dies" (False); then its leases run out."""
    settings.prepare_folders()
    runner = Runner(database, store, settings, registry=registry)
    try:
        runner.run_all()
    except Killed:
        with database.write() as session:
            for stage in session.query(Stage).filter(Stage.status == "running"):
                stage.lease_until = now()
        return False
    return True


def rendered(database: Database, store: LocalStore, job_id: str) -> Path:
    """The committed renderer of a job that succeeded."""
    with database.read() as session:
        job = JobRepository(session).get(job_id)
        assert job is not None
        assert job.status == "succeeded", job.error
        [stage] = [each for each in job.stages if each.name == "render"]
        assert stage.artifact is not None
        assert stage.checkpoint is None
        path = store.local_path(f"{stage.artifact.prefix}/renderer.safetensors")
    assert path is not None
    return path


def test_another_machine_goes_on_from_the_last_checkpoint(
    database: Database, store: LocalStore, settings: Settings
) -> None:
    _, job_id = training(settings, database, store)
    steps: list[int] = []

    def render(context: StageContext) -> None:
        checkpoint = context.work / "checkpoints" / "render.json"
        before = json.loads(checkpoint.read_text())[0] if checkpoint.is_file() else 0
        steps.append(before)

        def listen(tick: Tick) -> None:
            context.progress(tick)
            if tick.done == before + 6 and before < 12:
                time.sleep(0.3)  # the carrier looks every 0.02 s
                raise Killed

        REGISTRY["render"].run(replace(context, progress=listen))

    registry = {**REGISTRY, "render": replace(REGISTRY["render"], run=render)}
    finished = [run_until_killed(database, store, machine(settings, f"m{n}"), registry) for n in range(3)]
    assert finished == [False, False, True]
    assert steps == [0, 6, 12]
    assert rendered(database, store, job_id).read_text() == chain(b"a clip", 0, STEPS)
    assert not [key for key in store.keys("people") if "/checkpoints/" in key], "what is done needs none"


@pytest.fixture
def held(database: Database, store: LocalStore, settings: Settings) -> Claim:
    training(settings, database, store)
    with database.write() as session:
        claim = LeaseRepository(session).claim(owner="a/1", now=now(), lease_s=60)
    assert claim is not None
    return claim


def stored(database: Database, claim: Claim) -> dict[str, object] | None:
    with database.read() as session:
        stage = session.get(Stage, claim.stage_id)
        assert stage is not None
        return stage.checkpoint


def again(database: Database, claim: Claim) -> Claim:
    """The claim of whoever takes the stage next."""
    with database.write() as session:
        leases = LeaseRepository(session)
        leases.release(claim, now=now())
        claim_again = leases.claim(owner="b/1", now=now(), lease_s=60)
    assert claim_again is not None
    return claim_again


def test_only_news_is_stored_and_the_old_is_removed(
    database: Database, store: LocalStore, held: Claim, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    with Carrier(database, store, held, tmp_path, every_s=60, hear=lambda _: None) as carrier:
        carrier.store_now()
        assert stored(database, held) is None, "there is nothing to store yet"
        (folder / "a").mkdir()
        (folder / "a" / "one.pt").write_bytes(b"1")
        carrier.store_now()
        first = stored(database, held)
        carrier.store_now()
        assert stored(database, held) == first
        (folder / "a" / "one.pt").write_bytes(b"2")
        (folder / "half.tmp").write_bytes(b"half")
        carrier.store_now()
        second = stored(database, held)
    assert first is not None
    assert second is not None
    assert first["prefix"] != second["prefix"]
    assert [key.rsplit("/", 1)[1] for key in store.keys(str(second["prefix"]))] == ["one.pt"]
    assert not list(store.keys(str(first["prefix"])))


def test_a_machine_that_ran_it_last_keeps_its_own_newer_one(
    database: Database, store: LocalStore, held: Claim, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    with Carrier(database, store, held, here, every_s=60, hear=lambda _: None) as carrier:
        (here / "checkpoints" / "c.pt").write_bytes(b"old")
        carrier.store_now()
        (here / "checkpoints" / "c.pt").write_bytes(b"newer, not stored")
        carrier._hashes = {"c.pt": "as if it were"}
        carrier._store = store
    (here / "checkpoints" / "c.pt").write_bytes(b"newer, not stored")
    following = again(database, held)
    assert following.checkpoint is not None
    assert not fetch_checkpoint(store, following, here)
    assert (here / "checkpoints" / "c.pt").read_bytes() == b"newer, not stored"
    assert fetch_checkpoint(store, following, there)
    assert (there / "checkpoints" / "c.pt").read_bytes() in (b"old", b"newer, not stored")


def test_a_damaged_checkpoint_is_passed_over(
    database: Database, store: LocalStore, held: Claim, tmp_path: Path
) -> None:
    with Carrier(database, store, held, tmp_path / "a", every_s=60, hear=lambda _: None) as carrier:
        (tmp_path / "a" / "checkpoints" / "c.pt").write_bytes(b"whole")
        carrier.store_now()
    checkpoint = stored(database, held)
    assert checkpoint is not None
    path = store.local_path(f"{checkpoint['prefix']}/c.pt")
    assert path is not None
    path.write_bytes(b"torn")
    following = again(database, held)
    assert not fetch_checkpoint(store, following, tmp_path / "b")
    assert not (tmp_path / "b" / "checkpoints").exists()


def test_a_worker_that_lost_its_stage_leaves_no_checkpoint(
    database: Database, store: LocalStore, held: Claim, tmp_path: Path
) -> None:
    heard = []
    with Carrier(database, store, held, tmp_path, every_s=60, hear=heard.append) as carrier:
        following = again(database, held)
        (tmp_path / "checkpoints" / "c.pt").write_bytes(b"late")
        carrier.store_now()
    assert heard
    assert heard[0].value == "lost"
    assert stored(database, following) is None
    assert not list(store.keys(f"{held.scope}/checkpoints"))


SMALL = RendererConfig(
    size=64, batch=2, steps=30, report_every=1, checkpoint_steps=3, preview_every=30,
    generator=GeneratorConfig(width=4, rank=8), discriminator=DiscriminatorConfig(width=4),
)  # fmt: skip


@pytest.mark.slow
def test_a_fine_tune_killed_ten_times_ends_with_the_weights_of_one_that_was_not(
    database: Database, store: LocalStore, settings: Settings, tmp_path: Path
) -> None:
    """Each time on another machine, which has nothing but the database and the object store."""
    rng, kills = random.Random(0), 10

    def train(context: StageContext, listen: Callable[[Tick], None]) -> None:
        train_renderer(
            MovingBlobs(), context.work / "renderer.safetensors", config=SMALL, seed=3, device=torch.device("cpu"),
            checkpoint=context.work / "checkpoints" / "render" / "checkpoint.pt", progress=listen,
        )  # fmt: skip

    def render(context: StageContext) -> None:
        left = rng.randint(2, 7)

        def listen(tick: Tick) -> None:
            nonlocal left
            context.progress(tick)
            left -= 1
            if left == 0 and len(died) < kills:
                died.append(tick.done)
                time.sleep(0.1)
                raise Killed

        train(context, listen)

    died: list[int] = []
    _, job_id = training(settings, database, store)
    registry = {**REGISTRY, "render": replace(REGISTRY["render"], run=render)}
    for n in range(kills + 30):
        if run_until_killed(database, store, machine(settings, f"m{n}"), registry):
            break
    assert len(died) == kills
    killed = rendered(database, store, job_id)
    alone = StageContext(tmp_path / "alone", {}, {"seed": 3}, "cpu", lambda _: None)
    train(alone, lambda _: None)
    assert _weights(killed) == _weights(tmp_path / "alone" / "renderer.safetensors")


def _weights(path: Path) -> dict[str, bytes]:
    from safetensors.torch import load_file

    return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}


def test_starting_from_an_earlier_stage_drops_the_checkpoint(
    database: Database, store: LocalStore, settings: Settings
) -> None:
    _, job_id = training(settings, database, store)
    registry = {**REGISTRY, "render": replace(REGISTRY["render"], run=_fails_after_a_checkpoint)}
    run_until_killed(database, store, machine(settings, "m"), registry)
    with database.read() as session:
        job = JobRepository(session).get(job_id)
        assert job is not None
        assert job.status == "failed"
        [stage] = [each for each in job.stages if each.name == "render"]
        assert stage.checkpoint is not None
    retry(database, store, settings, job_id, from_stage="render")
    with database.read() as session:
        found = session.get(Stage, stage.id)
        assert found is not None
        assert found.checkpoint is None
    assert not list(store.keys(stage.checkpoint["prefix"]))
    # The machine that ran it has a work folder of its own, which the API could not empty.
    checkpoint = settings.data_dir / "m" / "work" / job_id / "checkpoints" / "c.pt"
    assert checkpoint.is_file()
    seen: list[bool] = []

    def looks(context: StageContext) -> None:
        seen.append((context.work / "checkpoints" / "c.pt").exists())
        REGISTRY["render"].run(context)

    registry["render"] = replace(REGISTRY["render"], run=looks)
    assert run_until_killed(database, store, machine(settings, "m"), registry)
    assert seen == [False]


def _fails_after_a_checkpoint(context: StageContext) -> None:
    (context.work / "checkpoints").mkdir(exist_ok=True)
    (context.work / "checkpoints" / "c.pt").write_bytes(b"1")
    raise ValueError("a fault of the stage")
