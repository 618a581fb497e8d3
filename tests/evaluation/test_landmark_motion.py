from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluation.landmark_motion import head_frame, jitter, jitter_ratio, lip_distance
from faces.mouth import LIPS

if TYPE_CHECKING:
    from tests.evaluation.conftest import PointFace


def still(face: PointFace, frames: int = 20) -> np.ndarray:
    return face.track(np.zeros((frames, 3)))


def test_lip_distance_is_in_percent_of_the_real_inter_ocular_distance(point_face: PointFace) -> None:
    real = still(point_face)
    unit = np.linalg.norm(real[0, 33] - real[0, 263])
    made = real.copy()
    made[:, list(LIPS)] += [0.03 * unit, 0.04 * unit]
    assert lip_distance(real, made, centred=False) == pytest.approx(5.0)
    assert lip_distance(real, made, centred=True) == pytest.approx(0.0, abs=1e-9)
    # The generated face's own eyes must not be the unit.
    made[:, 33] -= 100
    assert lip_distance(real, made, centred=False) == pytest.approx(5.0)


def test_lip_distance_sees_the_shape_and_only_the_lips(point_face: PointFace) -> None:
    real = still(point_face)
    opened = point_face.track(np.zeros((20, 3)), opening_mm=np.full(20, 10.0))
    assert lip_distance(real, opened, centred=True) > 1
    moved = real.copy()
    moved[:, 1] += 50  # the nose
    assert lip_distance(real, moved, centred=False) == 0


def test_lip_distance_skips_frames_without_a_face(point_face: PointFace) -> None:
    real, made = still(point_face), still(point_face)
    made[:5] = np.nan
    made[5:, list(LIPS)] += 1
    expected = 100 * math.sqrt(2) / np.linalg.norm(real[0, 33] - real[0, 263])
    assert lip_distance(real, made, centred=False) == pytest.approx(expected)
    assert math.isnan(lip_distance(real, np.full_like(real, np.nan), centred=True))


def test_the_head_frame_takes_out_any_similarity(point_face: PointFace) -> None:
    template = still(point_face, 1)[0]
    turn = 1.7 * np.exp(0.4j)
    moved = (template @ [1, 1j]) * turn + (30 - 12j)
    back = head_frame(np.stack([moved.real, moved.imag], -1)[None], template)
    assert back[0] == pytest.approx(template)


def test_jitter_is_the_second_difference_and_ignores_the_heads_own_motion(point_face: PointFace) -> None:
    real = still(point_face, 60)
    template = real[0]
    slide = (
        real + np.linspace(0, 80, 60)[:, None, None] + 3 * np.random.default_rng(0).normal(size=(60, 1, 2))
    )
    assert jitter(slide, template) == pytest.approx(0, abs=1e-9)
    shake = real.copy()
    shake[1::2, 200] += [
        2.0,
        0.0,
    ]  # one landmark out of 468 that is no rigid one flips by two pixels: |second| = 4
    assert jitter(shake, template) == pytest.approx(4 / math.sqrt(468))
    assert math.isnan(jitter(real[:2], template))


def test_jitter_ratio_compares_noise_levels(point_face: PointFace) -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(200, 478, 2))
    base = still(point_face, 200)
    assert jitter_ratio(base + 0.3 * noise, base + 0.6 * noise[::-1]) == pytest.approx(2, rel=0.05)
    assert jitter_ratio(base + 0.3 * noise, base + 0.3 * noise[::-1]) == pytest.approx(1, rel=0.05)
    # A clip twice as large trembles by twice the pixels and is as steady.
    assert jitter_ratio(base + 0.3 * noise, 2 * (base + 0.3 * noise[::-1])) == pytest.approx(1, rel=0.05)
    assert math.isnan(jitter_ratio(base * np.nan, base))
