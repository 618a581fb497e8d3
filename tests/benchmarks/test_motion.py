"""The motion benchmark's parts: the baseline's features, the head's measure, and the whole on generated people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.head_motion import angles_of, measure_head, plot_head
from benchmarks.mfcc import CEPSTRA, ROWS, mfcc_features
from benchmarks.motion import MotionBench, run
from faces.rotation import rotvec_from_euler
from faces.track import FaceTrack, Motion
from motion.features import DIMENSION
from tests.motion.conftest import Person, person, speak, track_of  # noqa: F401


def test_mfcc_windows_lie_on_their_frames() -> None:
    """A beep at the centre of frame 20 stands in the middle of that frame's window, 4 rows a frame aside."""
    rng = np.random.default_rng(0)
    samples = (1e-4 * rng.standard_normal(40 * 640)).astype(np.float32)
    clicked = samples.copy()
    clicked[20 * 640 + 240 : 20 * 640 + 400] = 0.5 * np.sin(2 * np.pi * 500 / 16_000 * np.arange(160))
    still, struck = mfcc_features(samples), mfcc_features(clicked)
    assert struck.shape == (40, DIMENSION)
    assert not struck[:, ROWS * (CEPSTRA - 1) : 384].any()
    windows = struck[:, : ROWS * (CEPSTRA - 1)].reshape(40, ROWS, CEPSTRA - 1)
    flatness = np.abs(windows - np.median(windows, axis=(0, 1))).sum(2)  # (T, rows)
    loudest = [int(flatness[frame].argmax()) for frame in range(17, 24)]
    # One frame later, the click stands four rows earlier in the window.
    assert np.all(np.diff(loudest) == -4)
    assert abs(loudest[3] - ROWS / 2) <= 1
    assert not np.allclose(still[20], struck[20])


def turned(track: FaceTrack, degrees: np.ndarray) -> FaceTrack:
    motion = track.motion
    rotation = rotvec_from_euler(degrees).astype(np.float32)
    return track.with_motion(Motion(rotation, motion.translation, motion.expression, motion.gaze))


def test_the_head_measure_tells_controls_from_the_person(person: Person, tmp_path: Path) -> None:
    """Shuffled frames have the poses and not the speed; a frozen head has neither."""
    speech = speak(250, seed=9)
    held_out = track_of(speech, 1)
    wild = turned(held_out, angles_of(held_out.motion) * 4)
    rows = measure_head(person.predictor, person.track, held_out, speech.samples, wild, range(2))
    assert set(rows) == {"ours", "real_halves", "frozen", "shuffled", "other_person"}
    assert rows["shuffled"]["velocity_distance"] > 3 * rows["ours"]["velocity_distance"]
    assert rows["other_person"]["pose_distance"] > 1.5 * rows["ours"]["pose_distance"]
    assert rows["frozen"]["velocity_distance"] > rows["real_halves"]["velocity_distance"]
    assert rows["frozen"]["hs"] < 1
    plot_head(angles_of(held_out.motion), [angles_of(wild.motion)], "a head", tmp_path / "head.png")
    assert (tmp_path / "head.png").stat().st_size > 5000


@pytest.mark.slow
def test_the_benchmark_runs_on_generated_people() -> None:
    pytest.importorskip("espeakng_loader")
    result = run(MotionBench(people=2, strangers=2, seconds=14.0, seeds=1))
    assert 0 < result["studio"]["lip_r"] <= 1
    assert result["studio"]["bilabial_hit_truth"] > 0.95
    assert set(result["studio"]["by_language"]) == {"cmn", "cs"}
    assert result["seconds_per_minute"] > 0
    assert result["clips"] == []
