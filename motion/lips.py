"""From what speech predicts to the mouth that is shown: strength, rest in silence, contact of the lips.

A pause is not a closed mouth, and it is not speech either. While nobody speaks the mouth follows the prediction's slow
part only, so nothing speech-like moves; when the silence lasts, it goes to how this person's mouth rests.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from motion.style import Style

Array = NDArray[np.float32]

SPEAKING_FROM = 0.5
"""Probability of speech from which a frame counts as spoken."""
EDGE, EDGE_FADE = 3, 2.0
"""Frames around speech that still move with it, and the standard deviation of their fade: lips lead and trail."""
HANGOVER, FADE = 25, 10.0
"""Frames around speech during which the mouth stays with the pause's own prediction, and its fade towards rest."""
SLOW = 12.0
"""Standard deviation in frames of the smoothing in a pause."""
CONTACT_FROM, CONTACT_TO = 0.3, 0.7
"""Probability of a bilabial from which the lips are brought together, and at which they meet."""


def speech_gate(speaking: Array, reach: int, fade: float) -> Array:
    """(T,) probability of speech -> (T,) in [0, 1]: 1 in speech and ``reach`` frames around it, smoothly 0 beyond."""
    active = (speaking > SPEAKING_FROM).astype(np.float32)
    wide = maximum_filter1d(active, 2 * reach + 1, mode="nearest")
    return np.asarray(gaussian_filter1d(wide, fade, mode="nearest", truncate=3.0), np.float32)


def shown_mouth(
    deviation: Array,
    mean: Array,
    speaking: Array,
    contact: Array | None,
    style: Style,
    strength: float,
    smoothing: float,
) -> Array:
    """The mouth's coefficients.

    Args:
        deviation: (T, E) predicted deviation from ``mean``.
        mean: (E,) the person's mean face.
        speaking: (T,) probability that somebody speaks.
        contact: (T,) probability that the lips meet for a bilabial; None where nobody can tell.
        style: the person's rest mouth and lip geometry.
        strength: factor on the movement, 0..2; at 0 nothing moves, not even between speech and rest.
        smoothing: standard deviation in frames of a Gaussian over the spoken movement, 0 for none.

    Returns:
        (T, E) in [0, 1].
    """
    spoken = mean + strength * deviation
    if smoothing > 0:
        spoken = gaussian_filter1d(spoken, smoothing, axis=0, mode="nearest")
    kept = min(1.0, strength)
    rest = mean + kept * (style.rest - mean)
    moving = speech_gate(speaking, EDGE, EDGE_FADE)[:, None]
    near = speech_gate(speaking, HANGOVER, FADE)[:, None]
    paused = rest + near * (_slow(spoken, 1 - moving) - rest)
    mouth = np.clip(paused + moving * (spoken - paused), 0, 1)
    if contact is not None:
        # A regression says the mean of what may be: half open where the lips meet. The contact itself is certain.
        press = np.clip((contact - CONTACT_FROM) / (CONTACT_TO - CONTACT_FROM), 0, 1)
        press *= kept * moving[:, 0]
        for _ in range(2):  # coefficients that end at 0 leave the rest of the way to the others
            over = np.maximum(mouth @ style.opening + style.opening_rest - style.opening_closed, 0)
            mouth = np.clip(mouth - (press * over)[:, None] * style.closing, 0, 1)
    # Restoring the spread must not press the lips through each other: open them to the tightest closure seen.
    opening = mouth @ style.opening + style.opening_rest
    crossed = np.maximum(style.opening_floor - opening, 0)
    return np.clip(mouth + crossed[:, None] * style.closing, 0, 1).astype(np.float32)


def _slow(values: Array, weight: Array) -> Array:
    """(T, E) smoothed over the frames with weight (T, 1) alone, so that speech beside a pause does not leak in."""
    weight = weight + 1e-4
    total = gaussian_filter1d(weight, SLOW, axis=0, mode="nearest", truncate=3.0)
    return np.asarray(gaussian_filter1d(values * weight, SLOW, axis=0, mode="nearest", truncate=3.0) / total)
