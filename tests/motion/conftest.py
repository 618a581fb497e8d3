"""Generated speech with a known mouth: vowels of several openings, closures and pauses, without any recording."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from faces.camera import Camera
from faces.morphable import MorphableModel
from faces.track import FaceTrack, Motion
from motion.personalize import MotionConfig, train_motion
from motion.predict import MotionPredictor
from motion.train import TrainConfig

RATE, FRAME = 16_000, 640
FORMANTS = {"a": (750, 1200), "e": (500, 1900), "i": (300, 2300), "o": (480, 900), "m": (250, 1000)}
OPENINGS = {"a": 0.55, "e": 0.3, "i": 0.12, "o": 0.25, "m": 0.0, "_": 0.08}
FUNNELS = {"a": 0.0, "e": 0.0, "i": 0.0, "o": 0.6, "m": 0.05, "_": 0.0}


@dataclass(frozen=True)
class Speech:
    """Sound and what the mouth did."""

    samples: NDArray[np.float32]
    jaw: NDArray[np.float64]
    funnel: NDArray[np.float64]
    silent: NDArray[np.bool_]


def speak(frames: int, seed: int, voice_hz: float = 120.0) -> Speech:
    """Random syllables through formant filters, one every 4 to 8 frames, a pause of 0.8 to 1.4 s now and then."""
    rng = np.random.default_rng(seed)
    sounds: list[str] = []
    while len(sounds) < frames:
        if sounds and rng.random() < 0.06:
            sounds += ["_"] * int(rng.integers(20, 36))
        else:
            sounds += [str(rng.choice(list(FORMANTS)))] * int(rng.integers(4, 9))
    sounds = sounds[:frames]
    samples = np.zeros(frames * FRAME)
    pitch = voice_hz * 2 ** (0.2 * gaussian_filter1d(rng.standard_normal(frames), 6) * 3)
    phase = np.cumsum(np.repeat(pitch, FRAME) / RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0)
    for name, formants in FORMANTS.items():
        voiced = pulses.copy()
        for formant in formants:
            radius = np.exp(-np.pi * 90 / RATE)
            voiced = lfilter([1.0], [1, -2 * radius * np.cos(2 * np.pi * formant / RATE), radius**2], voiced)
        voiced /= np.abs(voiced).max()
        gate = np.repeat([float(sound == name) for sound in sounds], FRAME)
        samples += gaussian_filter1d(gate, 80) * voiced * (0.25 if name == "m" else 0.6)
    samples += 1e-4 * rng.standard_normal(len(samples))
    jaw = gaussian_filter1d(np.array([OPENINGS[s] for s in sounds]), 1.0)
    funnel = gaussian_filter1d(np.array([FUNNELS[s] for s in sounds]), 1.0)
    return Speech(samples.astype(np.float32), jaw, funnel, np.array([s == "_" for s in sounds]))


def track_of(speech: Speech, seed: int, valid: NDArray[np.bool_] | None = None) -> FaceTrack:
    """A track of the shipped head model: the mouth follows the speech, the head sways, the eyes blink."""
    rng = np.random.default_rng(seed)
    model = MorphableModel.load()
    frames, names = len(speech.jaw), model.expression_names
    expression = 0.02 + 0.01 * gaussian_filter1d(rng.random((frames, len(names))), 3, axis=0)
    expression[:, names.index("jawOpen")] = speech.jaw + 0.02 * rng.standard_normal(frames)
    expression[:, names.index("mouthFunnel")] = speech.funnel
    brows = gaussian_filter1d(rng.standard_normal(frames), 8)
    expression[:, names.index("browInnerUp")] = 0.3 + 0.1 * brows / brows.std()
    lids = np.full(frames, 0.1)
    for start in range(20, frames - 8, 75):
        lids[start : start + 7] += np.array([0.2, 0.6, 0.75, 0.7, 0.4, 0.2, 0.05])
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        expression[:, names.index(name)] = lids
    sway = gaussian_filter1d(rng.standard_normal((frames, 6)), 7, axis=0)
    sway *= np.array([0.04, 0.06, 0.02, 3.0, 2.0, 4.0]) / sway.std(0)
    gaze = 0.05 * gaussian_filter1d(rng.standard_normal((frames, 2)), 2, axis=0)
    rotation = np.array([0.05, -0.1, 0.02]) + sway[:, :3]
    motion = Motion(rotation, np.array([5.0, 10.0, 600.0]) + sway[:, 3:], np.clip(expression, 0, 1), gaze)
    return FaceTrack(
        motion=motion,
        model=model.name,
        expression_names=names,
        identity=np.zeros(model.identity_basis.shape[2], np.float32),
        offsets=np.zeros((model.vertex_count, 3), np.float32),
        camera=Camera(900.0, 320.0, 240.0, 640, 480),
        light=np.zeros((0, 27), np.float32),
        valid=np.ones(frames, bool) if valid is None else valid,
        landmarks=np.zeros((frames, 478, 2), np.float32),
    )


SMALL = MotionConfig(folds=3, train=replace(TrainConfig(), steps=60, windows=4, length=64))


@dataclass(frozen=True)
class Person:
    """Somebody learnt from 300 generated frames."""

    speech: Speech
    track: FaceTrack
    path: Path
    predictor: MotionPredictor

    def jaw(self, motion: Motion) -> NDArray[np.float32]:
        """(T,) jawOpen."""
        return motion.expression[:, self.track.expression_names.index("jawOpen")]


@pytest.fixture(scope="session")
def person(tmp_path_factory: pytest.TempPathFactory) -> Person:
    """Trained once for all tests."""
    folder = tmp_path_factory.mktemp("person")
    speech = speak(300, seed=1)
    track = track_of(speech, seed=1)
    path = folder / "motion.safetensors"
    train_motion(track, speech.samples, path, config=SMALL, seed=0, checkpoint_dir=folder / "checkpoints")
    return Person(speech, track, path, MotionPredictor.load(path))
