"""Phoneme times to a face that speaks: visemes with co-articulation, blinks, brows, gaze and head motion.

Co-articulation is Cohen and Massaro's dominance model ("Modeling coarticulation in synthetic visual speech", 1993):
each sound pulls the face towards its target with a strength that falls off exponentially from its middle, and the face
is the weighted mean of all pulls. Lips must close for p, b, m whatever stands around, so those pull hardest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from faces.rotation import rotvec_from_euler
from faces.track import Motion
from studio.speech import Phoneme

Floats = NDArray[np.float64]

FPS = 25.0


@dataclass(frozen=True)
class Viseme:
    """A mouth shape."""

    target: dict[str, float]
    """Coefficients of ARKit expressions (``L`` stands for both sides), 0..1."""
    strength: float = 1.0
    """Height of the dominance curve."""
    spread_s: float = 0.055
    """Time in which the dominance falls to 1/e, seconds."""


VISEMES = {
    "": Viseme({"mouthPressL": 0.05}, 0.7, 0.10),
    "pbm": Viseme({"mouthPressL": 0.35, "mouthRollLower": 0.25, "mouthRollUpper": 0.2}, 8.0, 0.035),
    "fv": Viseme({"mouthRollLower": 0.55, "mouthUpperUpL": 0.18, "jawOpen": 0.05}, 4.0, 0.04),
    "θð": Viseme({"jawOpen": 0.13, "mouthLowerDownL": 0.25, "tongueOut": 0.12}, 1.5),
    "tdnlɾɫ": Viseme({"jawOpen": 0.11, "mouthLowerDownL": 0.22, "mouthUpperUpL": 0.08}, 0.9, 0.045),
    "sz": Viseme({"jawOpen": 0.05, "mouthStretchL": 0.22, "mouthLowerDownL": 0.3, "mouthUpperUpL": 0.1}, 1.6),
    "ʃʒ": Viseme({"jawOpen": 0.08, "mouthFunnel": 0.55, "mouthLowerDownL": 0.15}, 2.0),
    "kɡgŋhxʔ": Viseme({"jawOpen": 0.16, "mouthLowerDownL": 0.1}, 0.5),
    "j": Viseme({"jawOpen": 0.08, "mouthStretchL": 0.2, "mouthSmileL": 0.15}, 0.9),
    "ɹrɚɝɜ": Viseme({"jawOpen": 0.14, "mouthPucker": 0.32, "mouthFunnel": 0.18}, 1.2),
    "wuʊ": Viseme({"jawOpen": 0.10, "mouthPucker": 0.75, "mouthFunnel": 0.2}, 2.0),
    "oɔ": Viseme({"jawOpen": 0.36, "mouthPucker": 0.4, "mouthFunnel": 0.35}, 1.6),
    "iɪ": Viseme({"jawOpen": 0.13, "mouthStretchL": 0.2, "mouthSmileL": 0.28, "mouthUpperUpL": 0.1}, 1.2),
    "eɛ": Viseme({"jawOpen": 0.36, "mouthSmileL": 0.18, "mouthLowerDownL": 0.2, "mouthUpperUpL": 0.1}, 1.3),
    "æa": Viseme(
        {"jawOpen": 0.58, "mouthStretchL": 0.15, "mouthLowerDownL": 0.25, "mouthUpperUpL": 0.12}, 1.5
    ),
    "ɑɒʌɐ": Viseme({"jawOpen": 0.62, "mouthLowerDownL": 0.12}, 1.8),
    "əᵻ": Viseme({"jawOpen": 0.2, "mouthLowerDownL": 0.08}, 0.6),
}
"""Mouth shape per group of IPA symbols."""
_BY_SYMBOL = {symbol: viseme for symbols, viseme in VISEMES.items() for symbol in symbols or ("",)}


def viseme_of(ipa: str) -> tuple[Viseme, ...]:
    """The mouth shapes of a phoneme, one per symbol that has a shape (a diphthong has two)."""
    shapes = tuple(_BY_SYMBOL[symbol] for symbol in ipa if symbol in _BY_SYMBOL)
    return shapes or (_BY_SYMBOL[""],)


def mouth(phonemes: tuple[Phoneme, ...], frames: int, names: tuple[str, ...]) -> Floats:
    """(frames, E) mouth coefficients in [0, 1] at 25 fps, by Cohen and Massaro's dominance functions."""
    times = (np.arange(frames) + 0.5) / FPS
    pulls: list[tuple[float, Viseme]] = [(-0.2, _BY_SYMBOL[""]), (frames / FPS + 0.2, _BY_SYMBOL[""])]
    for phoneme in phonemes:
        shapes = viseme_of(phoneme.ipa)
        step = (phoneme.end_s - phoneme.start_s) / len(shapes)
        pulls += [(phoneme.start_s + (n + 0.5) * step, shape) for n, shape in enumerate(shapes)]
    total = np.full(frames, 1e-6)
    value = np.zeros((frames, len(names)))
    for centre, shape in pulls:
        dominance = shape.strength * np.exp(-np.abs(times - centre) / shape.spread_s)  # (T,)
        total += dominance
        for name, amount in shape.target.items():
            for full in sides(name):
                value[:, names.index(full)] += dominance * amount
    return np.clip(value / total[:, None], 0.0, 1.0)


def sides(name: str) -> tuple[str, ...]:
    """``mouthSmileL`` -> both sides' ARKit names; any other name stands for itself."""
    return (f"{name[:-1]}Left", f"{name[:-1]}Right") if name.endswith("L") else (name,)


def wander(rng: np.random.Generator, frames: int, seconds: float) -> Floats:
    """(frames,) smooth noise of about unit deviation that changes over some ``seconds``."""
    noise = gaussian_filter1d(rng.standard_normal(frames + 400), seconds * FPS / 2)[200 : 200 + frames]
    return noise * np.sqrt(seconds * FPS * np.sqrt(np.pi))


def blinks(rng: np.random.Generator, frames: int) -> Floats:
    """(frames,) lid closure 0..1: closed within 80 ms, open again within 160 ms, every 2 to 4.5 s."""
    closure = np.zeros(frames)
    shape = np.array([0.45, 1.0, 0.9, 0.55, 0.2])
    at = int(rng.uniform(0.8, 2.0) * FPS)
    while at < frames:
        part = shape[: frames - at]
        closure[at : at + len(part)] = np.maximum(closure[at : at + len(part)], part)
        at += int(rng.uniform(2.0, 4.5) * FPS)
    return closure


def gaze(rng: np.random.Generator, frames: int) -> Floats:
    """(frames, 2) radians: the eyes rest on a point and jump to another every second or so."""
    result = np.zeros((frames, 2))
    at, point = 0, np.zeros(2)
    while at < frames:
        result[at:] = point
        point = rng.normal(0.0, [0.07, 0.035])
        at += int(rng.uniform(0.6, 2.0) * FPS)
    return gaussian_filter1d(result, 0.6, axis=0)


def perform(phonemes: tuple[Phoneme, ...], frames: int, names: tuple[str, ...], *, distance_mm: float, rise_mm: float,
            seed: int) -> Motion:  # fmt: skip
    """A presenter's motion at 25 fps: the mouth from the sounds, the rest like someone who talks to a camera.

    Args:
        phonemes: the sounds, times from the first frame's beginning.
        frames: T.
        names: the morphable model's expression names.
        distance_mm: head to camera.
        rise_mm: how far the eyes stand above the optical axis.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    expression = mouth(phonemes, frames, names)
    index = {name: n for n, name in enumerate(names)}
    closed = blinks(rng, frames)
    stress = np.zeros(frames)
    for phoneme in phonemes:
        if "ˈ" in phoneme.ipa:
            stress[min(int(phoneme.start_s * FPS), frames - 1)] = 1.0
    beat = gaussian_filter1d(stress, 3.0) * 7.5  # about 1 on an accent
    for side in ("Left", "Right"):
        expression[:, index[f"eyeBlink{side}"]] = closed
        expression[:, index[f"eyeSquint{side}"]] = 0.12 + 0.3 * closed
        expression[:, index[f"browOuterUp{side}"]] = np.clip(
            0.12 + 0.12 * wander(rng, frames, 1.6) + 0.1 * beat, 0, 1
        )
    expression[:, index["browInnerUp"]] = np.clip(0.1 + 0.13 * wander(rng, frames, 1.4) + 0.18 * beat, 0, 1)
    euler = np.column_stack(
        [
            2.4 * wander(rng, frames, 1.1) + 1.8 * beat,  # pitch: nods on accents
            5.5 * wander(rng, frames, 1.5),  # yaw
            1.6 * wander(rng, frames, 1.7),  # roll
        ]
    )
    euler -= euler.mean(0) + np.array([1.0, 0.0, 0.0])
    move = np.column_stack([wander(rng, frames, s) for s in (2.0, 1.8, 2.2)]) * np.array([4.0, 2.0, 6.0])
    looks = (
        gaze(rng, frames) - np.radians(np.column_stack([euler[:, 1], -euler[:, 0]])) * 0.6
    )  # towards the camera
    return Motion(
        rotation=rotvec_from_euler(euler).astype(np.float32),
        translation=(move + np.array([0.0, -rise_mm, distance_mm])).astype(np.float32),
        expression=expression.astype(np.float32),
        gaze=np.clip(looks, -0.35, 0.35).astype(np.float32),
    )
