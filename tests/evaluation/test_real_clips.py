"""The controls on a real person's clip: what re-encoding and other frames of the same face score.

By `./dev long`, and skipped where the development clips are absent; ``test_scores`` and ``test_evaluate_stage`` ask the
same of drawn faces.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.identity import describe_frames
from evaluation.scores import Scores, Take, score
from evaluation.split import encode
from faces.camera import Camera
from faces.identity import FaceDescriptor
from fitting.landmarks import FaceLandmarker
from media.audio import write_wav
from media.decode import read_frames

CLIP = Path(__file__).resolve().parents[3] / "shared" / "clips" / "german_male_20s.mp4"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CLIP.exists(), reason="the development clips are not here"),
]
LENGTH = 75


def see(frames: list[np.ndarray]) -> np.ndarray:
    with FaceLandmarker() as landmarker:
        return landmarker.track(frames).points


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scores]:
    folder = tmp_path_factory.mktemp("real")
    real = list(read_frames(CLIP, start=300, stop=300 + LENGTH))
    earlier = list(read_frames(CLIP, stop=LENGTH))
    write_wav(folder / "silence.wav", np.zeros(LENGTH * 640, np.float32))
    describe = FaceDescriptor().describe
    landmarks = see(real)
    enrolled = describe_frames(earlier, see(earlier), describe, 15).mean(axis=0)
    own = describe_frames(real, landmarks, describe, 15)
    camera = Camera.for_image(real[0].shape[1], real[0].shape[0])
    found = {}
    for name, frames in (("ceiling", real), ("replay", earlier)):
        encode(frames, folder / f"{name}.mp4", folder / "silence.wav")
        made = list(read_frames(folder / f"{name}.mp4"))
        track = see(made)
        other = Take(made, track, describe_frames(made, track, describe, 15))
        found[name] = score(Take(real, landmarks, own), other, enrolled, camera=camera)
    return found


def test_real_frames_encoded_again_reach_the_ceiling(scores: dict[str, Scores]) -> None:
    ceiling = scores["ceiling"]
    assert ceiling.lip_r > 0.85
    assert ceiling.lip_best_lag == 0
    assert ceiling.psnr_face > 32
    assert ceiling.psnr_hull > 32
    assert ceiling.ssim_face > 0.9
    assert ceiling.lmd_lips_pct_iod < 0.6
    assert 0.8 < ceiling.lip_range_ratio < 1.2
    assert ceiling.eye_aperture_r > 0.8
    assert ceiling.hs > 0.99
    assert ceiling.identity_distance == pytest.approx(ceiling.identity_distance_real, abs=0.05)
    assert 0.5 < ceiling.sharpness_mouth_ratio < 1.1
    assert 0.8 < ceiling.jitter_ratio < 1.5
    assert ceiling.frames == LENGTH
    assert ceiling.frames_face_lost == 0


def test_other_frames_of_the_same_person_are_no_match(scores: dict[str, Scores]) -> None:
    replay, ceiling = scores["replay"], scores["ceiling"]
    assert abs(replay.lip_r) < 0.35
    assert replay.psnr_face < 24 < ceiling.psnr_face
    assert replay.lmd_lips_pct_iod > 3 * ceiling.lmd_lips_pct_iod
    assert replay.identity_distance < 0.45  # it is the same person
    assert replay.hs < ceiling.hs
