from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluation.head_pose import head_angles, head_pose_similarity, pose_distance, velocity_distance

if TYPE_CHECKING:
    from tests.evaluation.conftest import PointFace


def swing(frames: int = 100, amplitude: float = 12.0, period: float = 40.0) -> np.ndarray:
    t = np.arange(frames)
    wave = np.sin(2 * np.pi * t / period)
    return amplitude * np.stack([0.4 * np.roll(wave, 7), wave, 0.3 * np.roll(wave, 13)], axis=1)


def test_the_pose_is_recovered_from_landmarks(point_face: PointFace) -> None:
    truth = swing()
    found = head_angles(point_face.track(truth), point_face.camera)
    assert found == pytest.approx(truth, abs=0.05)


def test_the_pose_bears_noise_talk_and_blinks(point_face: PointFace) -> None:
    truth = swing()
    track = point_face.track(truth, opening_mm=np.full(100, 15.0), lids_mm=np.full(100, 4.0))
    noisy = track + np.random.default_rng(0).normal(0, 0.3, track.shape)
    noisy[10] = np.nan
    found = head_angles(noisy, point_face.camera)
    assert np.isnan(found[10]).all()
    assert np.nanmean(np.abs(found - truth)) < 0.6


def test_each_axis_has_its_own_sign(point_face: PointFace) -> None:
    """Yaw > 0 turns the nose to the image's right, pitch > 0 nods down (about x, which points right, y
    up)."""
    track = point_face.track(np.array([[0, 0, 0], [0, 20, 0], [20, 0, 0]], float))
    nose, middle = track[:, 1], track[:, [33, 263]].mean(axis=1)
    assert (nose - middle)[1, 0] > (nose - middle)[0, 0] + 5
    assert (nose - middle)[2, 1] > (nose - middle)[0, 1] + 5
    assert head_angles(track, point_face.camera)[1:].round(1).tolist() == [[0, 20, 0], [20, 0, 0]]


def test_hs_is_one_minus_the_shift_over_ninety_degrees() -> None:
    real = swing()
    assert head_pose_similarity(real, real) == 1
    assert head_pose_similarity(real, real + 9) == pytest.approx(0.9)
    assert head_pose_similarity(real, real + np.array([9, 0, 0])) == pytest.approx(1 - 3 / 90)
    assert head_pose_similarity(real, real + 500) == 0
    assert head_pose_similarity(real, np.random.default_rng(0).permutation(real)) == pytest.approx(1)
    assert math.isnan(pose_distance(real, real * np.nan))


def test_velocities_unmask_a_frozen_and_a_shuffled_head() -> None:
    real = swing()
    other_time = swing(140)[25:]  # the same habit at other moments
    frozen = np.repeat(real.mean(axis=0, keepdims=True), 100, axis=0)
    shuffled = np.random.default_rng(0).permutation(real)
    alike = velocity_distance(real, other_time, 25)
    assert alike < 0.15 * velocity_distance(real, frozen, 25) < 0.15 * velocity_distance(real, shuffled, 25)
    speed = np.abs(np.diff(real, axis=0) * 25).mean()
    assert velocity_distance(real, frozen, 25) == pytest.approx(speed)
    assert velocity_distance(real, frozen, 50) == pytest.approx(2 * speed)


def test_a_gap_makes_no_velocity() -> None:
    real = swing()
    jump = np.concatenate([real[:50], np.full((1, 3), np.nan), real[50:] + 90])
    assert velocity_distance(real, jump, 25) < 5
