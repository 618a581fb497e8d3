from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from faces.rotation import compose
from faces.track import Motion
from motion.matching import (
    Jumps,
    MatchConfig,
    SourceMatcher,
    match_sources,
    path_cost,
    pose_cost,
    reachable_pose,
)
from problems import InvalidParameter, NoFace


def sway(frames: int, seed: int, sigma: float = 6.0) -> Motion:
    rng = np.random.default_rng(seed)
    curve = gaussian_filter1d(rng.standard_normal((frames, 6)), sigma, axis=0)
    curve *= np.array([0.05, 0.08, 0.03, 4, 3, 5]) / (curve.std(0) + 1e-9)
    return Motion(curve[:, :3], curve[:, 3:] + [0, 0, 600], np.zeros((frames, 2)), np.zeros((frames, 2)))


@pytest.mark.parametrize("seed", range(6))
def test_the_path_is_the_optimum(seed: int) -> None:
    """Against every path there is: 5 frames through 6 source frames."""
    pose, source = sway(5, seed, 1.0), sway(6, seed + 100, 1.0)
    config = MatchConfig(cut=3.0 + seed, jump=2.0, neighbours=2)
    unary, jumps = pose_cost(pose, source, config), Jumps.of(source, config)
    found = match_sources(pose, source, config=config)
    everything = [path_cost(np.array(p), unary, jumps, config) for p in itertools.product(range(6), repeat=5)]
    assert path_cost(found, unary, jumps, config) == pytest.approx(min(everything), abs=1e-9)


def test_the_clip_matches_itself() -> None:
    source = sway(200, 0)
    np.testing.assert_array_equal(match_sources(source, source), np.arange(200))


def test_backwards_and_double_speed_are_followed() -> None:
    source = sway(300, 1)
    backwards = source[np.arange(250, 50, -1)]
    assert (match_sources(backwards, source) == np.arange(250, 50, -1)).mean() > 0.95
    fast = source[np.arange(10, 290, 2)]
    assert (np.abs(match_sources(fast, source) - np.arange(10, 290, 2)) <= 1).mean() > 0.9


def test_invalid_frames_are_never_used() -> None:
    source = sway(100, 2)
    valid = np.ones(100, bool)
    valid[40:60] = False
    assert valid[match_sources(source, source, valid)].all()
    with pytest.raises(NoFace):
        match_sources(source, source, np.zeros(100, bool))


def test_cuts_are_rare_and_poses_near() -> None:
    source, pose = sway(300, 3), sway(1000, 4)
    found = match_sources(pose, source)
    assert (np.abs(np.diff(found)) > 2).sum() < 40
    distance = np.degrees(np.linalg.norm(compose(-source.rotation[found], pose.rotation), axis=1))
    shuffled = np.degrees(
        np.linalg.norm(compose(-source.rotation[np.arange(1000) % 300], pose.rotation), axis=1)
    )
    assert distance.mean() < 0.5 * shuffled.mean()


def test_pieces_cost_hardly_more_than_the_whole_and_do_not_depend_on_the_cutting() -> None:
    source, pose = sway(120, 5), sway(900, 6)
    config = MatchConfig(chunk=128, lookahead=64)
    matcher = SourceMatcher(source, config=config)
    parts = [matcher.push(pose[start : start + 70]) for start in range(0, 900, 70)]
    streamed = np.concatenate([*parts, matcher.finish()])
    np.testing.assert_array_equal(streamed, match_sources(pose, source, config=config))
    unary, jumps = pose_cost(pose, source, config), Jumps.of(source, config)
    whole = match_sources(pose, source, config=replace(config, chunk=900))
    assert path_cost(streamed, unary, jumps, config) <= 1.02 * path_cost(whole, unary, jumps, config)
    assert len(matcher._held) == 0


def test_nothing_matches_nothing() -> None:
    assert match_sources(sway(5, 0)[:0], sway(5, 0)).shape == (0,)


def test_a_near_pose_is_kept_and_a_far_one_is_pulled_in() -> None:
    source = sway(100, 7)
    near = Motion(source.rotation + 0.01, source.translation + 1, source.expression, source.gaze)
    indices = np.arange(100)
    kept = reachable_pose(near, source, indices, max_deg=6, max_mm=20)
    np.testing.assert_allclose(kept.rotation, near.rotation, atol=1e-5)
    far = Motion(
        source.rotation + np.array([0, 0.6, 0]),
        source.translation + np.array([90, 0, 0]),
        source.expression,
        source.gaze,
    )
    pulled = reachable_pose(far, source, indices, max_deg=6, max_mm=20)
    smooth = reachable_pose(source, source, indices)
    away = np.degrees(np.linalg.norm(compose(-smooth.rotation, pulled.rotation), axis=1))
    assert away.max() < 9  # 6 degrees from the smoothed source
    assert np.linalg.norm(pulled.translation - source.translation, axis=1).max() < 25


def test_a_cut_in_the_source_does_not_jerk() -> None:
    source = sway(200, 8)
    indices = np.concatenate([np.arange(50), np.arange(150, 200)])
    pose = source[np.arange(100)]
    pulled = reachable_pose(pose, source, indices, max_deg=1, max_mm=5)
    cut = np.abs(np.diff(source.translation[indices], axis=0))[49].max()
    assert np.abs(np.diff(pulled.translation, axis=0)).max() < max(0.35 * cut, 2.0)
    with pytest.raises(InvalidParameter):
        reachable_pose(pose, source, indices[:5])
