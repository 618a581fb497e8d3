"""Do these lips move with this voice? The general model's mouth for the sound, against the mouth that is seen.

Loudness alone can't tell: on three real clips of 10 to 24 s it correlates with the mouth opening by 0.03 to 0.5, no
better than with somebody else's voice. The opening that the general speech model predicts does (docs/consent.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faces.morphable import MorphableModel
from motion.features import ACTIVITY, VOICING, extract
from motion.general import SHIPPED, GeneralModel
from motion.prosody import FRAME
from motion.regression import correlation
from motion.targets import head_geometry

Array = NDArray[np.float32]

FURTHEST = 7
"""Frames that lips may be ahead or behind: 0.28 s."""
_SMOOTHING = (0.25, 0.5, 0.25)  # of the seen opening: landmarks tremble from frame to frame


@dataclass(frozen=True)
class LipSync:
    """How well lips follow a voice."""

    correlation: float
    """Pearson's r of the seen and the expected opening at the best lag, -1..1; about 0.1 for a strange voice."""
    lag: int
    """Frames by which the lips are behind the sound there; negative: ahead."""
    voiced_s: float
    """Seconds with a voice: a tone that comes and goes, or a hum, counts too; whispers and noise do not."""


def lips_follow_voice(samples: Array, opening: Array, valid: NDArray[np.bool_]) -> LipSync:
    """Compare the mouth with the sound.

    Args:
        samples: (N,) at 16 kHz; sample 640 k is at frame k.
        opening: (T,) inner-lip gap over the inter-ocular distance; anything where not ``valid``.
        valid: (T,) frames that show the mouth.
    """
    samples = samples[: FRAME * len(opening)]
    features = extract(np.pad(samples, (0, FRAME * len(opening) - len(samples))))
    voiced = float(((features[:, ACTIVITY] > 0.5) & (features[:, VOICING] > 0.6)).sum()) / 25
    if valid.sum() < 2 or not voiced:
        return LipSync(0.0, 0, voiced)
    seen = np.interp(np.arange(len(opening)), np.flatnonzero(valid), opening[valid])
    seen = np.convolve(np.pad(seen, 1, mode="edge"), _SMOOTHING, "valid")
    expected = expected_opening(features)
    scores = {lag: _correlation_behind(seen, expected, valid, lag) for lag in range(-FURTHEST, FURTHEST + 1)}
    best = max(scores, key=lambda lag: scores[lag])
    return LipSync(scores[best], best, voiced)


def expected_opening(features: Array) -> Array:
    """(T, D) raw features -> (T,) opening of the mean head's mouth about its own mean, inter-ocular distances."""
    model, slope = _mouth_of_speech()
    targets, _ = model.predict(features)
    return np.asarray(targets[:, : len(slope)] @ slope, np.float32)


@lru_cache(maxsize=1)
def _mouth_of_speech() -> tuple[GeneralModel, Array]:
    """The shipped model, and the opening per unit of each of its expressions."""
    model, head = GeneralModel.load(SHIPPED), MorphableModel.load()
    mean = head.neutral(np.zeros(head.identity_basis.shape[-1], np.float32))
    return model, head_geometry(head, model.expression_names, mean).opening


def _correlation_behind(
    seen: NDArray[np.float64], expected: Array, valid: NDArray[np.bool_], lag: int
) -> float:
    """Of the opening at t + lag with what is expected at t."""
    frames = np.arange(max(0, -lag), min(len(seen), len(seen) - lag))
    frames = frames[valid[frames + lag]]
    return correlation(seen[frames + lag], expected[frames]) if len(frames) > 1 else 0.0
