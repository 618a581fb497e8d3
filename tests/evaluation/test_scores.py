from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluation.metrics import METRICS, marks_missed
from evaluation.scores import Scores, Take, compare_pixels, score

if TYPE_CHECKING:
    from tests.evaluation.conftest import PointFace

FRAMES = 80


def lively(face: PointFace, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)

    def wander(scale: float) -> np.ndarray:
        return scale * np.convolve(rng.normal(size=FRAMES + 30), np.hanning(9), "same")[15:-15]

    turn = np.stack([wander(2), wander(4), wander(1)], axis=1)
    return face.track(turn, opening_mm=5 + wander(2), lids_mm=wander(1))


def drawn(track: np.ndarray, level: int = 120, seed: int = 0) -> list[np.ndarray]:
    texture = np.random.default_rng(seed).integers(0, 60, (480, 640, 1), dtype=np.uint8)
    return [np.repeat(texture + np.uint8(level), 3, axis=2) for _ in track]


def take(track: np.ndarray, frames: list[np.ndarray] | None = None, offset: float = 0.0) -> Take:
    return Take(frames or drawn(track), track, np.full((4, 3), offset))


def test_a_clip_equals_itself(point_face: PointFace) -> None:
    track = lively(point_face, 0)
    scores = score(take(track), take(track), np.zeros(3), camera=point_face.camera)
    assert scores.psnr_face == scores.psnr_hull == scores.psnr_mouth == 100
    assert scores.ssim_face == pytest.approx(1)
    assert scores.lmd_lips_pct_iod == scores.lmd_lips_place_pct_iod == 0
    assert scores.lip_r == pytest.approx(1)
    assert scores.lip_best_lag == 0
    assert scores.eye_aperture_r == pytest.approx(1)
    assert scores.lip_range_ratio == scores.jitter_ratio == scores.sharpness_mouth_ratio == pytest.approx(1)
    assert scores.hs == 1
    assert scores.pose_velocity_w1 == 0
    assert scores.frames == FRAMES
    assert scores.frames_face_lost == 0


def test_another_performance_of_the_same_face_scores_low(point_face: PointFace) -> None:
    real, other = lively(point_face, 0), lively(point_face, 1)
    scores = score(take(real), take(other, drawn(other, 150)), np.zeros(3), camera=point_face.camera)
    assert abs(scores.lip_r) < 0.4
    assert abs(scores.eye_aperture_r) < 0.4
    assert scores.lip_best_r >= scores.lip_r
    assert scores.lmd_lips_place_pct_iod > scores.lmd_lips_pct_iod > 0.5
    assert scores.psnr_face == pytest.approx(20 * np.log10(255 / 30))  # 150 against 120 everywhere
    assert 0.9 < scores.hs < 1
    assert scores.pose_velocity_w1 > 0


def test_lips_and_eyes_are_told_apart(point_face: PointFace) -> None:
    still = np.zeros((FRAMES, 3))
    wave, blink = 5 + 3 * np.sin(np.arange(FRAMES) / 3), np.cos(np.arange(FRAMES) / 5)
    real = point_face.track(still, opening_mm=wave, lids_mm=blink)
    made = point_face.track(still, opening_mm=5 + 0.5 * (wave - 5), lids_mm=-blink)
    scores = score(take(real), take(made), np.zeros(3), camera=point_face.camera)
    assert scores.lip_r > 0.99
    assert scores.eye_aperture_r < -0.95
    assert scores.lip_range_ratio == pytest.approx(0.5, abs=0.1)


def test_late_lips_show_as_a_lag(point_face: PointFace) -> None:
    track = lively(point_face, 3)
    scores = score(take(track[2:]), take(track[:-2]), np.zeros(3), camera=point_face.camera)
    assert scores.lip_best_lag == 2
    assert scores.lip_best_r == pytest.approx(1)
    assert scores.lip_r < 0.9


def test_identity_stands_beside_the_real_clips_own(point_face: PointFace) -> None:
    track = lively(point_face, 0)[:20]
    scores = score(take(track, offset=0.1), take(track, offset=0.3), np.zeros(3), camera=point_face.camera)
    assert scores.identity_distance == pytest.approx(0.3 * np.sqrt(3))
    assert scores.identity_distance_real == pytest.approx(0.1 * np.sqrt(3))


def test_lost_faces_are_counted_and_pictures_still_compared(point_face: PointFace) -> None:
    real = lively(point_face, 0)
    made = real.copy()
    made[:30] = np.nan
    hidden = real.copy()
    hidden[70:] = np.nan
    pictures = drawn(real)
    for picture in pictures[:30]:
        picture[:] = 0
    scores = score(take(hidden), take(made, pictures), np.zeros(3), camera=point_face.camera)
    assert scores.frames == 70
    assert scores.frames_face_lost == 30
    assert scores.psnr_face < 70
    assert scores.lip_r == pytest.approx(1)


def test_a_clip_in_which_no_face_is_found_gives_json_nulls(point_face: PointFace) -> None:
    real = lively(point_face, 0)[:20]
    scores = score(take(real), take(real * np.nan, drawn(real)), np.full(1, np.nan), camera=point_face.camera)
    text = json.dumps(scores.as_dict(), allow_nan=False)
    assert json.loads(text)["lip_r"] is None
    assert scores.frames_face_lost == 20


def test_mismatched_takes_are_refused(point_face: PointFace) -> None:
    track = lively(point_face, 0)[:20]
    with pytest.raises(ValueError, match="19 generated"):
        score(take(track), take(track[:19]), np.zeros(3), camera=point_face.camera)
    with pytest.raises(ValueError, match="only 7 pictures"):
        compare_pixels(take(track), take(track, drawn(track)[:7]))
    small = [picture[:100] for picture in drawn(track)]
    with pytest.raises(ValueError, match="the generated picture is"):
        compare_pixels(take(track), take(track, small))


def test_every_score_has_a_line_in_the_tables() -> None:
    assert {metric.key for metric in METRICS} == set(Scores.__dataclass_fields__)
    issue = {
        "psnr_face", "psnr_hull", "ssim_face", "psnr_mouth", "lmd_lips_pct_iod", "lip_r", "lip_range_ratio",
        "hs", "identity_distance", "eye_aperture_r", "sharpness_mouth_ratio", "jitter_ratio",
    }  # fmt: skip
    assert issue <= {metric.key for metric in METRICS}


def test_missed_marks_are_named() -> None:
    good = {
        "psnr_hull": 27.0,
        "psnr_face": 22.0,
        "lip_r": 0.9,
        "identity_distance": 0.3,
        "identity_distance_real": 0.25,
    }
    assert marks_missed(good, {"lip_r": 0.5}, {"lip_r": 0.03}) == []
    missed = marks_missed(good | {"lip_r": 0.84, "identity_distance": 0.36}, {"lip_r": 0.1}, {"lip_r": 0.03})
    assert [line.split()[1] for line in missed] == ["lip_r", "identity_distance", "lip_r"]
    assert len(marks_missed(good | {"psnr_hull": None}, {"lip_r": None}, {"lip_r": 0.0})) == 2
