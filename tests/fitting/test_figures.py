from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from faces.morphable import MorphableModel
from fitting.figures import FitFigures, agreement, find_closures
from tests.generated_clip import choreography, true_track

FRAMES = 60


@pytest.fixture(scope="module")
def track():  # type: ignore[no-untyped-def]
    return true_track(choreography(FRAMES, MorphableModel.load()))


def test_a_track_that_is_exact_has_no_error(track) -> None:  # type: ignore[no-untyped-def]
    figures = FitFigures.of(track)
    assert max(x.max() for x in (figures.error, figures.lips_error, figures.lids_error)) < 1e-3
    assert figures.points.shape == (FRAMES, 478, 2)
    summary = figures.summary()
    assert summary["frames"] == summary["frames_with_face"] == FRAMES
    assert summary["lip_gap_r"] == summary["eye_r"] == 1.0


def test_blinks_are_found_where_the_lids_close(track) -> None:  # type: ignore[no-untyped-def]
    closed = track.motion.expression[:, track.expression_names.index("eyeBlinkLeft")] > 0.9
    figures = FitFigures.of(track)
    assert len(figures.blinks) == 3  # at 0.6, 1.4 and 2.2 s
    inside = np.zeros(FRAMES, bool)
    for start, stop in figures.blinks:
        assert stop - start <= 15
        inside[start:stop] = True
    assert inside[closed].all()
    assert inside.mean() < 0.5


def test_an_offset_of_a_hundredth_of_the_eye_distance_reads_one_percent(track) -> None:  # type: ignore[no-untyped-def]
    eyes = np.linalg.norm(track.landmarks[:, 33] - track.landmarks[:, 263], axis=-1)
    moved = track.landmarks + 0.01 * eyes[:, None, None] * np.array([0.6, 0.8])
    figures = FitFigures.of(replace(track, landmarks=moved.astype(np.float32)))
    for curve in (figures.error, figures.lips_error, figures.lids_error):
        np.testing.assert_allclose(curve, 1.0, rtol=1e-2)


def test_frames_without_a_face_count_nowhere(track) -> None:  # type: ignore[no-untyped-def]
    valid, landmarks = track.valid.copy(), track.landmarks.copy()
    valid[7:12] = False
    landmarks[7:12] = np.nan
    figures = FitFigures.of(replace(track, valid=valid, landmarks=landmarks))
    for curve in (figures.error, *figures.lip_gap, *figures.eyes):
        np.testing.assert_array_equal(np.isnan(curve), ~valid)
    assert np.isfinite(figures.points).all()
    summary = figures.summary()
    assert summary["frames_with_face"] == FRAMES - 5
    assert summary["errors"]["all"]["median"] == 0.0


def test_closures() -> None:
    open_eyes = np.full(100, 9.0)
    assert find_closures(open_eyes, 25.0) == ()
    blinking = open_eyes.copy()
    blinking[[20, 21, 22, 50, 51]] = 2.0
    blinking[0] = np.nan
    assert find_closures(blinking, 25.0) == ((20, 23), (50, 52))
    looking_down = open_eyes.copy()
    looking_down[30:60] = 4.0  # more than a second
    assert find_closures(looking_down, 25.0) == ()
    assert find_closures(np.full(10, np.nan), 25.0) == ()


def test_agreement() -> None:
    curve = np.sin(np.arange(30.0))
    assert agreement(curve, 3 * curve + 1) == pytest.approx(1)
    assert agreement(curve, -curve) == pytest.approx(-1)
    assert np.isnan(agreement(curve, np.ones(30)))
    assert agreement(np.append(curve, np.nan), np.append(curve, 5.0)) == pytest.approx(1)
