from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from faces.morphable import MorphableModel
from fitting.figures import FitFigures
from fitting.plot import WIDTH, encode_png, plot_track
from tests.generated_clip import choreography, true_track


def _share(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    return float((np.abs(image.astype(int) - colour).max(-1) < 12).mean())


def test_blinks_and_frames_without_a_face_are_shaded() -> None:
    track = true_track(choreography(60, MorphableModel.load()))
    valid = track.valid.copy()
    valid[40:50] = False
    image = plot_track(track, FitFigures.of(track), "a clip")
    assert image.shape[1:] == (WIDTH, 3)
    assert image.dtype == np.uint8
    yellow, grey = (255, 235, 153), (219, 219, 219)  # over white
    assert _share(image, yellow) > 0.003
    assert _share(image, grey) < 0.01
    gone = replace(track, valid=valid)
    shaded = plot_track(gone, FitFigures.of(gone))
    # Ten of sixty frames, in curves that take most of the picture.
    assert 0.08 < _share(shaded, grey) - _share(image, grey) < 0.17


def test_a_track_without_any_face_is_drawn() -> None:
    track = true_track(choreography(12, MorphableModel.load()))
    empty = replace(track, valid=np.zeros(12, bool), landmarks=np.full_like(track.landmarks, np.nan))
    assert _share(plot_track(empty, FitFigures.of(empty)), (219, 219, 219)) > 0.5


def test_png() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    back = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(back[..., ::-1], image)
