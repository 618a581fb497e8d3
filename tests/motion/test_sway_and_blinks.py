from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import wasserstein_distance

from motion.blinks import Blinks, BlinkSampler, find_blinks
from motion.sway import SwaySampler, limit_speed


def residual(frames: int = 300, seed: int = 0) -> np.ndarray:
    curve = gaussian_filter1d(np.random.default_rng(seed).standard_normal((frames, 8)), 7, axis=0)
    return (curve / curve.std(0)).astype(np.float32)


def sampler(seed: int, source: np.ndarray, usable: np.ndarray | None = None) -> SwaySampler:
    usable = np.ones(len(source), bool) if usable is None else usable
    return SwaySampler(source, usable, np.ones(8, np.float32), np.arange(8) < 6, None, seed)


def test_sway_has_the_residuals_distribution_and_velocity() -> None:
    source = residual()
    drawn = sampler(1, source).next(3000)
    halves = np.mean([wasserstein_distance(source[:150, c], source[150:, c]) for c in range(8)])
    own = np.mean([wasserstein_distance(source[:, c], drawn[:, c]) for c in range(8)])
    assert own < halves
    speed, drawn_speed = np.diff(source, axis=0), np.diff(drawn, axis=0)
    distance = np.mean([wasserstein_distance(speed[:, c], drawn_speed[:, c]) for c in range(8)])
    assert distance < 0.25 * np.abs(speed).mean()
    shuffled = np.diff(source[np.random.default_rng(0).permutation(300)], axis=0)
    assert np.abs(shuffled).mean() > 3 * np.abs(drawn_speed).mean()  # what a bad sampler would do


def test_sway_never_jumps_and_never_freezes() -> None:
    source = residual(seed=2)
    drawn = sampler(3, source).next(4000)
    fastest = np.abs(np.diff(source, axis=0)).max(0)
    assert (np.abs(np.diff(drawn, axis=0)).max(0) < 1.6 * fastest).all()
    moving = np.lib.stride_tricks.sliding_window_view(drawn, 50, axis=0).std(-1)  # every two seconds
    assert moving.mean(1).min() > 0.1


def test_seeds_differ_and_repeat_and_pieces_do_not_matter() -> None:
    source = residual(seed=4)
    one = sampler(5, source).next(500)
    again = sampler(5, source)
    pieces = np.concatenate([again.next(n) for n in (1, 99, 250, 150)])
    np.testing.assert_allclose(pieces, one, atol=1e-5)
    other = sampler(6, source).next(500)
    assert np.abs(one - other).mean() > 0.3


def test_the_sequence_does_not_loop() -> None:
    drawn = sampler(7, residual(seed=5)).next(2000)[:, 0]
    drawn = drawn - drawn.mean()
    for lag in range(250, 700):
        r = np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1]
        assert r < 0.75, lag


def test_frames_without_a_face_are_not_played() -> None:
    source = residual(seed=6)
    usable = np.ones(300, bool)
    usable[120:180] = False
    source[~usable] = 50.0
    drawn = SwaySampler(source, usable, np.ones(8, np.float32), np.zeros(8, bool), None, 0).next(2000)
    assert np.abs(drawn).max() < 10


def test_a_clip_too_short_for_pieces_still_moves() -> None:
    drawn = sampler(0, residual(60)).next(500)
    assert np.isfinite(drawn).all()
    assert drawn.std(0).min() > 0.05


def test_speed_is_limited_and_then_caught_up() -> None:
    pose = np.zeros((60, 6), np.float32)
    pose[10:, 1], pose[10:, 4] = 1.0, 30.0
    limited = limit_speed(pose, np.array([0.05, 2.0], np.float32))
    steps = np.diff(limited, axis=0)
    assert np.linalg.norm(steps[:, :3], axis=1).max() < 0.0501
    assert np.linalg.norm(steps[:, 3:], axis=1).max() < 2.001
    np.testing.assert_allclose(limited[-1], pose[-1], atol=1e-5)
    resumed = limit_speed(pose[20:], np.array([0.05, 2.0], np.float32), limited[19])
    np.testing.assert_allclose(resumed, limited[20:], atol=1e-5)


def lids_with_blinks(frames: int, starts: list[int]) -> np.ndarray:
    lids = 0.15 + 0.03 * gaussian_filter1d(np.random.default_rng(0).standard_normal(frames), 4)
    for start in starts:
        lids[start : start + 6] += [0.25, 0.6, 0.7, 0.5, 0.3, 0.1]
    return np.column_stack([lids, lids]).astype(np.float32)


def test_blinks_are_found_counted_and_taken_out() -> None:
    starts = [30, 100, 170, 240]
    blinks, baseline = find_blinks(lids_with_blinks(300, starts), np.ones(300, bool))
    assert abs(blinks.rate - (4 + 2.8) / 22) < 1e-6  # four in 12 s, and the typical rate for ten more seconds
    assert len(blinks.shapes) == 4
    assert 0.55 < blinks.shapes.max() < 0.8
    assert baseline.max() < 0.35
    assert np.abs(blinks.shapes[:, 0]).max() < 0.15


def test_a_person_who_never_blinked_in_the_clip_still_blinks() -> None:
    blinks, _ = find_blinks(lids_with_blinks(250, []), np.ones(250, bool))
    drawn = BlinkSampler(blinks, seed=0).next(25 * 120)
    assert drawn.max() > 0.4
    assert (np.diff((drawn[:, 0] > 0.3).astype(int)) == 1).sum() >= 8


def test_blinks_come_at_the_persons_rate_and_irregularly() -> None:
    shape = np.array([0, 0.5, 0.9, 0.6, 0.2, 0], np.float32)
    blinks = Blinks(0.4, np.repeat(shape[None, :, None], 2, axis=2))
    drawn = BlinkSampler(blinks, seed=3).next(25 * 600)[:, 0]
    onsets = np.nonzero(np.diff((drawn > 0.45).astype(int)) == 1)[0]
    assert abs(len(onsets) / 600 - 0.4) < 0.08
    gaps = np.diff(onsets)
    assert gaps.min() >= 12
    assert gaps.std() > 0.3 * gaps.mean()
    again = BlinkSampler(blinks, seed=3)
    np.testing.assert_array_equal(np.concatenate([again.next(7) for _ in range(100)])[:, 0], drawn[:700])
