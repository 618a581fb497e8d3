"""What follows the head is learnt: true regressions are found, and the generated clip's wall stays where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from problems import InvalidPackage
from rendering.compositor import Compositor
from rendering.follow import PairFlow, Regression, SurroundingsConfig, learn_surroundings
from rendering.surroundings import GRID, Surroundings, pose_features
from tests.generated_clip import generated_clip
from tests.rendering.generated_person import generated_compositor, generated_texture, psnr

CONFIG = SurroundingsConfig(pairs=36, nearest=12, gap=4)


def test_a_true_regression_is_found() -> None:
    rng = np.random.default_rng(0)
    spread = np.array([1.0, 2.0, 1.0, 3.0, 1.0, 0.5])
    regression = Regression(spread, unit=2.0)
    follow = np.tile(
        np.linspace(0, 1, GRID, dtype=np.float32), (GRID, 1)
    )  # nothing at the left, all at the right
    drift = np.array([0.5, 0.0, -1.0, 0.0, 0.2, 0.0])
    for _ in range(60):
        head = rng.normal(0, 6, (1, 1, 2)).repeat(GRID, 0).repeat(GRID, 1).astype(np.float32)
        turn = rng.normal(0, 0.7, 6) * spread
        flow = follow[..., None] * head + (drift @ (turn / spread))
        regression.add(head, turn, flow.astype(np.float32), np.ones((GRID, GRID), np.float32))
    learnt = regression.solve(np.full((GRID, GRID), 0.5, np.float32), SurroundingsConfig(prior=1e-4))
    inner = slice(6, -6)  # evidence is shared with neighbours, so the very border is less exact
    np.testing.assert_allclose(learnt.follow[0, inner, inner], follow[inner, inner], atol=0.03)
    np.testing.assert_allclose(learnt.drift[1, 30, 30], drift, atol=0.05)
    head = np.full((GRID, GRID, 2), 3.0, np.float32)
    field = learnt.field(head, spread)
    np.testing.assert_allclose(field[inner, inner, 0], 3 * follow[inner, inner] + drift.sum(), atol=0.2)


def test_without_evidence_it_falls_off() -> None:
    share = np.random.default_rng(0).random((GRID, GRID)).astype(np.float32)
    learnt = Regression(np.ones(6), unit=1.0).solve(share, CONFIG)
    np.testing.assert_allclose(learnt.follow[0], share, atol=1e-4)
    assert np.abs(learnt.drift).max() < 1e-6
    plain = Surroundings.falling_off(share, np.ones(6, np.float32))
    head = np.random.default_rng(1).normal(0, 3, (GRID, GRID, 2)).astype(np.float32)
    np.testing.assert_allclose(plain.field(head, np.ones(6)), head * share[..., None], rtol=1e-6)


def test_far_turns_are_bounded() -> None:
    learnt = Surroundings(
        np.zeros((2, GRID, GRID), np.float32), np.ones((2, GRID, GRID, 6), np.float32), np.ones(6, np.float32)
    )
    head = np.zeros((GRID, GRID, 2), np.float32)
    np.testing.assert_array_equal(learnt.field(head, np.full(6, 50.0)), learnt.field(head, np.full(6, 3.0)))


def test_flow_finds_a_shift_and_trusts_no_even_wall() -> None:
    rng = np.random.default_rng(0)
    import cv2

    noise = cv2.GaussianBlur(rng.integers(0, 255, (200, 220, 3), np.uint8), (0, 0), 3)
    noise = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
    flow, trust = PairFlow(SurroundingsConfig())(noise[:, 10:210], noise[:, 6:206], 400)
    assert flow.shape == (GRID, GRID, 2)
    middle = slice(16, 48)
    assert (
        abs(np.average(flow[middle, middle, 0], weights=trust[middle, middle]) - 8.0) < 0.5
    )  # 4 of 200 is 8 of 400
    wall = np.full((200, 200, 3), 128, np.uint8)
    assert PairFlow(SurroundingsConfig())(wall, wall, 400)[1].max() < 1e-3


def test_the_generated_persons_surroundings_bring_frames_nearer() -> None:
    clip, compositor = generated_clip(), generated_compositor()
    learnt = learn_surroundings(compositor, config=CONFIG)
    again = learn_surroundings(compositor, config=CONFIG)
    np.testing.assert_array_equal(learnt.follow, again.follow)
    person = Compositor(clip.track, generated_texture(), clip.frames, surroundings=learnt)
    better, plain = [], []
    for target, source in ((20, 12), (30, 22), (8, 16), (35, 27)):
        motion = clip.track.motion[target : target + 1]
        layers = person.compose(motion, source)
        real = person.crop(clip.frames[target], layers.box)
        outside = layers.coverage < 0.05
        better.append(psnr(layers.image, real, outside))
        plain.append(psnr(compositor.compose(motion, source).image, real, outside))
    assert np.mean(better) > np.mean(plain) - 0.1
    assert np.mean(better) > 15


def test_a_clip_too_short_for_pairs_falls_off() -> None:
    learnt = learn_surroundings(generated_compositor(), config=SurroundingsConfig(pairs=6, gap=100))
    assert np.abs(learnt.drift).max() == 0
    assert learnt.follow.max() > 0.9
    assert learnt.follow[:, 0, 0].max() < 0.5


def test_files(tmp_path: Path) -> None:
    learnt = Surroundings.falling_off(np.eye(GRID, dtype=np.float32), np.ones(6, np.float32))
    learnt.save(tmp_path / "s.safetensors")
    np.testing.assert_array_equal(Surroundings.load(tmp_path / "s.safetensors").follow, learnt.follow)
    (tmp_path / "s.safetensors").write_bytes(b"nothing")
    with pytest.raises(InvalidPackage, match=r"s\.safetensors"):
        Surroundings.load(tmp_path / "s.safetensors")


def test_pose_features_are_about_equally_visible() -> None:
    motion = generated_clip().track.motion
    assert pose_features(motion).shape == (len(motion), 6)
    np.testing.assert_allclose(pose_features(motion)[:, 3], 0.7 * motion.translation[:, 0], rtol=1e-6)
