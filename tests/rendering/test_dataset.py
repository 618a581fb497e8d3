from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from faces.track import Motion
from rendering.batches import RenderBatch
from rendering.compositor import Compositor
from rendering.dataset import (
    ClipDataset,
    DatasetConfig,
    _choose_sources,
    network_masks,
    pose_features,
    window_box,
)
from rendering.identity import VALUE_SIZE
from tests.generated_clip import FRAMES, generated_clip
from tests.rendering.generated_person import generated_compositor, generated_texture
from training.progress import Tick

CONFIG = DatasetConfig(size=64, passes=2, held_out=3)


@pytest.fixture(scope="module")
def dataset() -> ClipDataset:
    return ClipDataset.of(generated_compositor(), config=CONFIG, seed=1)


def _walk(frames: int, seed: int = 0) -> Motion:
    rng = np.random.default_rng(seed)
    turn = np.cumsum(rng.normal(0, 0.02, (frames, 3)), axis=0)
    return Motion(
        turn, np.cumsum(rng.normal(0, 1, (frames, 3)), axis=0), np.zeros((frames, 2)), np.zeros((frames, 2))
    )


@pytest.mark.parametrize("frames", [12, 40, 149, 150, 300])
@pytest.mark.parametrize("seed", range(3))
def test_a_source_is_never_a_neighbour_of_its_target(frames: int, seed: int) -> None:
    config = DatasetConfig()
    chosen = _choose_sources(_walk(frames), np.arange(frames), config, np.random.default_rng(seed))
    gap = np.abs(chosen - np.arange(frames))
    assert gap.min() >= min(config.min_gap, frames // 6) > 1
    assert chosen.min() >= 0
    assert chosen.max() < frames
    assert len(np.unique(chosen)) > frames // 5


def test_sources_run_along_with_their_targets() -> None:
    frames = 300
    chosen = _choose_sources(_walk(frames), np.arange(frames), DatasetConfig(), np.random.default_rng(0))
    assert (np.diff(chosen) == 1).mean() > 0.75
    longest = max(len(run) for run in np.split(chosen, np.nonzero(np.diff(chosen) != 1)[0] + 1))
    assert longest <= 2 * DatasetConfig.stretch


def test_sources_are_near_in_pose() -> None:
    motion = _walk(300)
    chosen = _choose_sources(motion, np.arange(300), DatasetConfig(stretch=2), np.random.default_rng(0))
    features = pose_features(motion)
    distance = np.linalg.norm(features[chosen] - features, axis=1)
    at_random = np.linalg.norm(features[np.random.default_rng(1).permutation(300)] - features, axis=1)
    assert distance.mean() < 0.7 * at_random.mean()


def test_sources_are_numbers_of_the_clip_not_of_the_valid_frames() -> None:
    valid = np.setdiff1d(np.arange(120), np.arange(30, 50))
    chosen = _choose_sources(_walk(100), valid, DatasetConfig(), np.random.default_rng(0))
    assert set(chosen) <= set(valid)
    assert np.abs(chosen - valid).min() >= 16


def test_examples_have_the_documented_shapes_and_ranges(dataset: ClipDataset) -> None:
    batch = dataset.batch(torch.tensor([0, 5, 11]), torch.Generator().manual_seed(0))
    shapes = {name: tuple(value.shape) for name, value in vars(batch).items()}
    assert shapes == {
        "composite_window": (3, 3, 3, 64, 64), "source": (3, 3, 64, 64), "masks": (3, 3, 64, 64),
        "target": (3, 3, 64, 64), "valid": (3, 1, 64, 64), "value": (3, VALUE_SIZE), "frame": (3,),
    }  # fmt: skip
    for name in ("composite_window", "source", "target"):
        value = getattr(batch, name)
        assert value.dtype == torch.float32
        assert -1 <= value.min() < -0.3 < 0.3 < value.max() <= 1
    assert 0 <= batch.masks.min() < batch.masks.max() <= 1
    assert set(batch.valid.unique().tolist()) <= {0.0, 1.0}
    assert batch.network_input().shape == (3, 15, 64, 64)


def test_the_composite_resembles_its_target_and_the_window_runs_backwards_in_time(
    dataset: ClipDataset,
) -> None:
    batch = dataset.batch(torch.arange(len(dataset)), torch.Generator().manual_seed(0))
    face = (batch.masks[:, :1] > 0.9).expand_as(batch.target)
    pictures = [*batch.composite_window.unbind(1), batch.source]
    error = [(picture - batch.target)[face].abs().mean().item() for picture in pictures]
    assert error[2] < 0.1
    assert error[2] < error[1] < error[0]
    assert error[3] > 2 * error[2]


def test_the_clips_first_frame_repeats_itself(dataset: ClipDataset) -> None:
    first = dataset.batch(torch.tensor([0]), torch.Generator().manual_seed(0))
    assert first.frame.item() == 0
    for k in (0, 1):
        assert torch.equal(first.composite_window[0, k], first.composite_window[0, 2])


def test_held_out_frames_are_never_targets_nor_in_a_training_window(dataset: ClipDataset) -> None:
    held = set(dataset.held_out.frame.tolist())
    assert len(held) == 3
    everything = dataset.batch(torch.arange(len(dataset)), torch.Generator().manual_seed(0))
    trained = everything.frame.numpy()
    assert len(trained) == len(set(trained.tolist())) == len(dataset)
    assert not held & {int(t) - back for t in trained for back in (0, 1, 2)}
    assert len(trained) >= FRAMES - 3 - 2 * 4  # two moments, two frames beside each on either side
    assert dataset.values.shape == (len(dataset), VALUE_SIZE)
    assert torch.equal(dataset.values, everything.value)


def test_open_mouths_and_closed_eyes_are_drawn_more_often(dataset: ClipDataset) -> None:
    weights = dataset.weights
    assert weights.shape == (len(dataset),)
    assert weights.min() >= 1
    track = generated_clip().track
    frames = dataset.batch(torch.arange(len(dataset)), torch.Generator()).frame.numpy()
    jaw = track.motion.expression[frames, track.expression_names.index("jawOpen")]
    lids = track.motion.expression[frames, track.expression_names.index("eyeBlinkLeft")]
    open_eyes = lids < 0.1
    assert np.corrcoef(weights.numpy()[open_eyes], jaw[open_eyes])[0, 1] > 0.9
    assert weights.numpy()[lids > 0.9].min() >= 3


def test_passes_show_other_sources(dataset: ClipDataset) -> None:
    assert dataset.examples.composite.shape[0] == dataset.examples.source.shape[0] == 2
    different = (
        np.abs(dataset.examples.source[0].astype(int) - dataset.examples.source[1])
        .reshape(FRAMES, -1)
        .mean(1)
        > 0.5
    )
    assert different.mean() > 0.5
    indices = torch.arange(len(dataset))
    one, other = (dataset.batch(indices, torch.Generator().manual_seed(s)) for s in (0, 1))
    again = dataset.batch(indices, torch.Generator().manual_seed(0))
    assert torch.equal(one.source, again.source)
    assert not torch.equal(one.source, other.source)
    assert torch.equal(one.target, other.target)


def test_pixels_beyond_the_frame_do_not_count(dataset: ClipDataset) -> None:
    compositor, track = generated_compositor(), generated_clip().track
    boxes = [
        window_box(compositor.box(compositor.place(track.motion[t : t + 1])), compositor)
        for t in range(FRAMES)
    ]
    batch = dataset.batch(torch.arange(len(dataset)), torch.Generator())
    for valid, frame in zip(batch.valid, batch.frame.tolist(), strict=True):
        left, top, side = boxes[frame]
        inside = max(0, min(left + side, 320) - max(left, 0)) * max(0, min(top + side, 288) - max(top, 0))
        assert valid.mean().item() == pytest.approx(inside / side**2, abs=0.05)


def test_frames_without_a_face_are_left_out() -> None:
    clip = generated_clip()
    valid = np.ones(FRAMES, bool)
    valid[[5, 6, 20]] = False
    ticks: list[Tick] = []
    track = replace(clip.track, valid=valid)
    part = ClipDataset.of(
        Compositor(track, generated_texture(), clip.frames), config=replace(CONFIG, passes=1, size=32),
        progress=ticks.append,
    )  # fmt: skip
    assert not set(part.examples.frame.tolist()) & {5, 6, 20}
    assert ticks[-1].done == ticks[-1].total == FRAMES - 3
    assert isinstance(part.held_out, RenderBatch)


def test_network_masks_are_coverage_mouth_and_eyes() -> None:
    layers = generated_compositor().compose(generated_clip().track.motion[:1], 20)
    whole = (0, 0, generated_compositor().size)
    masks = network_masks(layers, whole, generated_compositor().size)
    for channel, mask in enumerate((layers.coverage, layers.mouth, layers.eyes)):
        np.testing.assert_allclose(masks[..., channel] / 255, mask, atol=0.003)
    assert network_masks(layers, whole, 50).shape == (50, 50, 3)
    left, top, side = generated_compositor().window
    part = network_masks(layers, (left, top, side), side)
    np.testing.assert_array_equal(part, masks[top : top + side, left : left + side])


def test_the_networks_window_holds_the_face_in_every_frame() -> None:
    compositor, track = generated_compositor(), generated_clip().track
    left, top, side = compositor.window
    assert left >= 0
    assert top >= 0
    assert max(left, top) + side <= compositor.size
    assert side < 0.9 * compositor.size  # or it would gain nothing
    for t in range(FRAMES):
        layers = compositor.compose(track.motion[t : t + 1], t)
        outside = layers.coverage.copy()
        outside[top : top + side, left : left + side] = 0
        assert outside.max() < 0.05
        x, y, size = window_box(layers.box, compositor)
        assert (x, y) == (layers.box[0] + left / compositor.scale, layers.box[1] + top / compositor.scale)
        assert size == side / compositor.scale
