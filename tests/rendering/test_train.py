from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.optim.optimizer import register_optimizer_step_pre_hook

from problems import Cancelled, InvalidParameter, OutOfMemory, TooShort
from rendering.batches import RenderBatch
from rendering.discriminator import Discriminator, DiscriminatorConfig
from rendering.export import load_renderer
from rendering.generator import Generator, GeneratorConfig
from rendering.memory import KeyEncoder
from rendering.room import allocate, frozen
from rendering.train import RendererConfig, RendererReport, train_renderer
from tests.rendering.moving_blobs import SIZE, MovingBlobs
from training.progress import Progress, Tick, silent

CONFIG = RendererConfig(
    size=SIZE, steps=150, rate=2e-3, report_every=5, preview_every=50,
    generator=GeneratorConfig(width=8, rank=16), discriminator=DiscriminatorConfig(width=4),
)  # fmt: skip
TINY = replace(
    CONFIG, steps=10, batch=2, adversarial_start=0.2, report_every=1, preview_every=4, checkpoint_steps=3,
    generator=GeneratorConfig(width=4, rank=4), discriminator=DiscriminatorConfig(width=2),
)  # fmt: skip


def train(
    out: Path,
    config: RendererConfig = TINY,
    *,
    dataset: MovingBlobs | None = None,
    progress: Progress = silent,
    start: Path | None = None,
    seed: int = 3,
) -> RendererReport:
    return train_renderer(
        MovingBlobs(12) if dataset is None else dataset, out / "renderer.safetensors", config=config,
        seed=seed, device=torch.device("cpu"), start=start, checkpoint=out / "checkpoint.pt", progress=progress,
        preview=out / "strip.png",
    )  # fmt: skip


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RendererReport, list[Tick]]:
    out, ticks = tmp_path_factory.mktemp("learnt"), []
    return out, train(out, CONFIG, dataset=MovingBlobs(), progress=ticks.append), ticks


def test_loss_falls_and_held_out_frames_beat_the_composite(
    learnt: tuple[Path, RendererReport, list[Tick]],
) -> None:
    _, report, ticks = learnt
    losses = [tick.metrics["l1"] for tick in ticks if "l1" in tick.metrics]
    assert losses[-1] < 0.5 * losses[0]
    assert report.steps == 150
    assert report.stopped == "steps"
    assert report.held_out["psnr_mouth"] > report.held_out["composite_psnr_mouth"] + 4
    assert report.held_out["psnr_face"] > report.held_out["composite_psnr_face"] + 4
    assert 0 < report.slots <= 40


def test_mouth_carries_its_share_and_ticks_say_so(learnt: tuple[Path, RendererReport, list[Tick]]) -> None:
    _, report, ticks = learnt
    assert 0.3 <= report.metrics["mouth_share"] <= 0.5
    reports = [tick for tick in ticks if tick.message]
    assert len(reports) == 150 / CONFIG.report_every
    assert "mouth" in reports[0].message
    assert "to go" in reports[0].message
    assert "discriminator" in reports[-1].metrics  # it spoke after the warm-up


def test_strip_shows_source_composite_output_real_attention(
    learnt: tuple[Path, RendererReport, list[Tick]],
) -> None:
    strip = cv2.imread(str(learnt[0] / "strip.png"))
    assert strip.shape == (5 * SIZE, 4 * SIZE, 3)
    assert strip.std(axis=(0, 1)).min() > 10


def test_the_saved_renderer_recalls_and_renders(learnt: tuple[Path, RendererReport, list[Tick]]) -> None:
    out, report, _ = learnt
    renderer = load_renderer(out / "renderer.safetensors")
    assert renderer.size == SIZE
    assert renderer.facts["held_out"] == report.held_out
    assert int(renderer.memory.filled.sum()) == report.slots
    batch = MovingBlobs().held_out
    values = renderer.recall(batch.network_input())
    with torch.inference_mode():
        image = renderer.generator(batch.network_input(), values).image
    error = (image - batch.target)[batch.masks[:, 1:2].expand(-1, 3, -1, -1) > 0.5].square().mean() / 4
    assert -10 * torch.log10(error) > report.held_out["composite_psnr_mouth"] + 3
    # What is recalled is nearer to the frame's own look than the clip's mean look is.
    own = batch.value
    assert (values - own).norm(dim=1).mean() < (MovingBlobs().values.mean(0) - own).norm(dim=1).mean()


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "renderer.safetensors")


def test_killed_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    report = train(whole)

    def kill_at(step: int) -> Progress:
        def progress(tick: Tick) -> None:
            if tick.done == step:
                raise Cancelled("stopped", remedy="start again")

        return progress

    for step in (5, 8):  # two steps after a checkpoint, and one before the next
        with pytest.raises(Cancelled):
            train(broken, progress=kill_at(step))
        assert not (broken / "renderer.safetensors").exists()
        assert (broken / "checkpoint.pt").exists()
    resumed = train(broken)

    one, other = weights(whole), weights(broken)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert resumed.held_out == report.held_out
    assert resumed.metrics == report.metrics
    # A finished run that is asked for again changes nothing.
    assert train(broken).steps == TINY.steps
    assert all(torch.equal(value, one[name]) for name, value in weights(broken).items())


def test_seed_decides(tmp_path: Path) -> None:
    short = replace(TINY, steps=2)
    train(tmp_path / "a", short)
    train(tmp_path / "b", short, seed=4)
    assert not torch.equal(*(weights(tmp_path / k)["generator.heads.weight"] for k in "ab"))


def test_another_runs_checkpoint_is_ignored(tmp_path: Path) -> None:
    train(tmp_path, replace(TINY, steps=4))
    assert train(tmp_path, replace(TINY, steps=6)).steps == 6
    fresh = tmp_path / "fresh"
    train(fresh, replace(TINY, steps=6))
    assert all(torch.equal(value, weights(fresh)[name]) for name, value in weights(tmp_path).items())


def test_wall_budget_ends_the_run(tmp_path: Path) -> None:
    report = train(tmp_path, replace(TINY, steps=100_000, max_seconds=0.3))
    assert report.stopped == "seconds"
    assert 0 < report.steps < 100_000


def test_early_stop_when_held_out_frames_stop_improving(tmp_path: Path) -> None:
    frozen = replace(TINY, steps=60, rate=0.0, memory_rate=0.0, preview_every=5, patience=3)
    report = train(tmp_path, frozen)
    assert report.stopped == "held_out"
    assert 30 < report.steps <= 35  # not before half of the budget


def test_general_weights_are_a_start(learnt: tuple[Path, RendererReport, list[Tick]], tmp_path: Path) -> None:
    general = learnt[0] / "renderer.safetensors"
    config = replace(CONFIG, steps=1, rate=0.0, memory_rate=0.0)
    train(tmp_path / "warm", config, start=general)
    before, after = weights(learnt[0]), weights(tmp_path / "warm")
    assert torch.equal(before["generator.heads.weight"], after["generator.heads.weight"])
    assert torch.equal(before["memory.encoder.key.weight"], after["memory.encoder.key.weight"])
    assert after["memory.keys"].shape[0] == 12  # slots are this clip's own
    with pytest.raises(InvalidParameter, match="another size"):
        train(tmp_path / "other", start=general)


def test_what_can_not_be_trained_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="six times"):
        train(tmp_path, replace(TINY, size=100))
    with pytest.raises(TooShort):
        train(tmp_path, dataset=_Nothing())
    with pytest.raises(InvalidParameter, match="preset"):
        RendererConfig.preset("ultra")
    assert list(tmp_path.iterdir()) == []


class _Nothing(MovingBlobs):
    def __len__(self) -> int:
        return 0


def test_presets_differ_in_size() -> None:
    sizes = [RendererConfig.preset(name).size for name in ("preview", "standard", "best")]
    assert sizes == [256, 384, 512]
    assert asdict(RendererConfig.preset("preview"))["discriminator"]["width"] == 16


class Crowded(MovingBlobs):
    """A device that holds ``room`` frames at most: what torch raises on a GPU, raised here."""

    def __init__(self, room: int) -> None:
        super().__init__(12)
        self.room = room

    def batch(self, indices: torch.Tensor, generator: torch.Generator) -> RenderBatch:
        if len(indices) > self.room:
            raise torch.OutOfMemoryError
        return super().batch(indices, generator)


@pytest.mark.slow
def test_out_of_memory_goes_down_the_ladder_and_says_so(tmp_path: Path) -> None:
    config = replace(TINY, batch=8)
    report = train(tmp_path, config, dataset=Crowded(2))
    assert report.saved_memory == ("4 frames at a time", "2 frames at a time")
    assert report.steps == TINY.steps
    assert "discriminator" in report.metrics
    assert load_renderer(tmp_path / "renderer.safetensors").facts["saved_memory"] == list(report.saved_memory)


def test_no_room_for_one_frame_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="one frame of 64 px"):
        train(tmp_path, replace(TINY, batch=4), dataset=Crowded(0))


class Once:
    """Runs out of memory the first time that something happens; counts how often it happens."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1
        if self.times == 1:
            raise torch.OutOfMemoryError("injected")


@contextmanager
def out_of_memory(phase: str) -> Iterator[Once]:
    """Memory runs out once, in some part of training: hooks of torch raise what it raises on a GPU."""
    once = Once()

    def before(module: torch.nn.Module, _arguments: object) -> None:
        learning = all(weight.requires_grad for weight in module.parameters())
        found = {
            "keys": isinstance(module, KeyEncoder) and module.training and learning,
            "painting": isinstance(module, Generator) and learning,
            "judging": isinstance(module, Discriminator) and learning,
            "deceiving": isinstance(module, Discriminator) and not learning,
            "looking": isinstance(module, Generator) and not learning,
        }
        if found.get(phase):
            once()

    def after(module: torch.nn.Module, _arguments: object, output: Any) -> None:
        if isinstance(module, Discriminator) and phase == "backward of the judgement":
            output.register_hook(lambda _gradient: once())
        if (
            isinstance(module, Generator)
            and phase == "backward of the painting"
            and output.image.requires_grad
        ):
            output.image.register_hook(lambda _gradient: once())

    def stepping(optimizer: torch.optim.Optimizer, *_: object) -> None:
        if phase == "stepping" and len(optimizer.param_groups[0]["params"]) == _DISCRIMINATOR_WEIGHTS:
            once()

    hooks = [
        register_module_forward_pre_hook(before),
        register_module_forward_hook(after),
        register_optimizer_step_pre_hook(stepping),
    ]
    try:
        yield once
    finally:
        for hook in hooks:
            hook.remove()


_DISCRIMINATOR_WEIGHTS = len(list(Discriminator(TINY.discriminator).parameters()))
AT_ONCE = replace(TINY, steps=3, adversarial_start=0.0, adversarial_every=1, preview_every=3)
"""Every step has every phase, the first one included."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, torch.Tensor]]:
    """Weights of runs that never lacked memory, with frames in one and in two parts."""
    learnt = {}
    for parts in (1, 2):
        out = tmp_path_factory.mktemp("undisturbed")
        train(out, replace(AT_ONCE, accumulate=parts))
        learnt[parts] = load_file(out / "renderer.safetensors")
    return learnt


@pytest.mark.parametrize(
    ("phase", "parts"),
    [
        ("keys", 2),
        ("painting", 2),
        ("judging", 2),
        ("deceiving", 2),
        ("backward of the judgement", 2),
        ("backward of the painting", 2),
        ("stepping", 1),
        ("looking", 1),
    ],
)
def test_nothing_stays_of_an_attempt_that_ran_out_of_memory(
    phase: str, parts: int, tmp_path: Path, undisturbed: dict[int, dict[str, torch.Tensor]]
) -> None:
    """The first step runs out of it: what is learnt is what a run learns that began on the ladder's next rung."""
    with out_of_memory(phase) as once:
        report = train(tmp_path, AT_ONCE)
    assert once.times > 1, "the phase came, and came again"
    assert report.saved_memory == (("1 frames at a time",) if parts == 2 else ())
    learnt, expected = load_file(tmp_path / "renderer.safetensors"), undisturbed[parts]
    assert learnt.keys() == expected.keys()
    assert any(name.startswith("discriminator") for name in learnt)
    for name, tensor in expected.items():
        assert torch.equal(learnt[name], tensor), name


def test_what_is_frozen_thaws_however_it_ends() -> None:
    module = torch.nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    with pytest.raises(torch.OutOfMemoryError), frozen(module):
        assert not module.weight.requires_grad
        raise torch.OutOfMemoryError
    assert (module.weight.requires_grad, module.bias.requires_grad) == (True, False)


def test_room_found_beforehand_changes_no_step() -> None:
    """Adam with moments made by hand learns what it learns with those that it makes itself."""
    learnt = []
    for prepared in (False, True):
        module = torch.nn.Linear(3, 1)
        torch.nn.init.ones_(module.weight)
        torch.nn.init.zeros_(module.bias)
        optimizer = torch.optim.Adam(module.parameters(), 0.1)
        if prepared:
            allocate(optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            module(torch.arange(6.0).view(2, 3)).square().sum().backward()
            optimizer.step()
        learnt.append(module.weight.detach())
    assert torch.equal(*learnt)


@pytest.mark.slow
def test_frames_in_parts_learn_like_frames_at_once(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=100, preview_every=100)
    once, parts = (
        train(tmp_path / str(n), replace(config, accumulate=n), dataset=MovingBlobs()).held_out
        for n in (1, 4)
    )
    assert parts["psnr_face"] == pytest.approx(once["psnr_face"], abs=1.0)
    assert parts["psnr_face"] > parts["composite_psnr_face"] + 1
