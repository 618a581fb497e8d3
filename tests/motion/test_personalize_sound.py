"""Learning from a clip whose sound is late, or missing in places."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faces.morphable import MorphableModel
from faces.track import FaceTrack
from motion.general import SHIPPED
from motion.model import MotionModel
from motion.personalize import MotionReport, train_motion
from motion.predict import MotionPredictor
from motion.regression import folds, folds_of
from motion.shift import shifted
from problems import NoSound
from tests.motion.conftest import FRAME, SMALL, speak, track_of


def with_landmarks(track: FaceTrack) -> FaceTrack:
    """The track with the landmarks that a camera far in front of the face would see."""
    model = MorphableModel.load()
    neutral = model.neutral(track.identity)
    points = model.landmark_points(model.vertices(neutral, track.motion.expression))
    return replace(track, landmarks=points[:, :, :2].astype(np.float32))


def learn(track: FaceTrack, samples: np.ndarray, folder: Path, start: Path | None = None) -> MotionReport:
    folder.mkdir()
    return train_motion(
        track,
        samples,
        folder / "motion.safetensors",
        config=SMALL,
        seed=0,
        start=start,
        checkpoint_dir=folder,
    )


def test_what_has_no_sound_is_not_learnt_as_silence(tmp_path: Path) -> None:
    speech = speak(300, seed=4)
    track = track_of(speech, seed=4)
    cut = speech.samples.copy()
    cut[130 * FRAME :] = 0
    report = learn(track, cut, tmp_path / "cut")
    assert report.frames_without_sound == 170
    assert report.frames == 130
    assert report.lip_r > 0.5
    style = MotionModel.load(tmp_path / "cut" / "motion.safetensors").style
    assert not style.usable[130:].any()
    assert len(style.clip) == 300  # the clip's own motion is still replayed whole
    jaw = track.expression_names.index("jawOpen")
    predicted = MotionPredictor.load(tmp_path / "cut" / "motion.safetensors").predict(
        speech.samples[: 130 * FRAME]
    )
    assert np.corrcoef(predicted.expression[:, jaw], speech.jaw[:130])[0, 1] > 0.7


def test_next_to_no_sound_is_refused(tmp_path: Path) -> None:
    speech = speak(150, seed=4)
    cut = speech.samples.copy()
    cut[40 * FRAME :] = 0
    with pytest.raises(NoSound) as refused:
        learn(track_of(speech, seed=4), cut, tmp_path / "cut")
    assert "frames" in str(refused.value)


@pytest.mark.parametrize("late_ms", [400, -600])
def test_a_sound_that_is_late_or_early_is_moved_before_it_is_learnt(tmp_path: Path, late_ms: int) -> None:
    speech = speak(300, seed=4)
    track = with_landmarks(track_of(speech, seed=4))
    report = learn(track, shifted(speech.samples, -late_ms), tmp_path / "late", SHIPPED)
    assert report.sound_late_ms == pytest.approx(late_ms, abs=45)
    assert report.lips_z > 4.5
    assert report.lip_r > 0.5
    assert report.frames_without_sound <= abs(late_ms) / 40 + 3


def test_a_sound_in_time_stays(tmp_path: Path) -> None:
    speech = speak(200, seed=4)
    report = learn(with_landmarks(track_of(speech, seed=4)), speech.samples, tmp_path / "own")
    assert (report.sound_late_ms, report.frames_without_sound) == (0, 0)
    assert report.lips_z > 3


def test_folds_hold_as_many_frames_that_count() -> None:
    valid = np.zeros(300, bool)
    valid[:100] = True
    blocks = folds_of(valid, 5)
    assert [int(valid[block].sum()) for block in blocks] == [20] * 5
    assert np.concatenate([np.arange(300)[block] for block in blocks]).tolist() == list(range(300))
    assert folds_of(np.ones(303, bool), 5) == folds(303, 5)
