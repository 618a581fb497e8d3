"""A motion at another frame rate: what is seen between two frames of the inner clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from faces.track import Array, Motion

FPS = 25.0
"""Frames a second of what comes in."""

MotionChunks = Iterable[tuple[Motion, NDArray[np.integer]]]

_BEFORE, _AFTER = 1, 2
"""Frames that a cubic reads beside the one it starts at."""


def at_rate(chunks: MotionChunks, fps: float) -> Iterator[tuple[Motion, NDArray[np.integer]]]:
    """Chunks of (motion (T), source frame per motion frame (T,)) at 25 fps -> the same motion at ``fps``.

    Between frames the motion follows a Catmull-Rom spline (Catmull and Rom 1974), which goes through every frame: lips
    that close for a single frame still close, where straight lines between frames would cut the peak. Source frames
    are not blended: the nearest one's is taken. T frames become ceil(T fps / 25), in chunks again.
    """
    if fps == FPS:
        yield from chunks
        return
    held: Motion | None = None
    sources = np.zeros(0, np.int64)
    first = 0  # number of held[0]
    done = 0  # frames given out

    def until(known: int, final: bool) -> Iterator[tuple[Motion, NDArray[np.integer]]]:
        """What can be said when ``known`` frames have come."""
        nonlocal held, sources, first, done
        if held is None:
            return
        last = int(np.ceil(known * fps / FPS - 1e-6)) if final else int((known - _AFTER) * fps / FPS)
        if last > done:
            at = np.arange(done, last) * (FPS / fps)
            nearest = np.minimum(np.floor(at + 0.5).astype(np.int64), known - 1) - first
            yield _between(held, at - first), sources[nearest]
            done = last
        keep = max(int(done * FPS / fps) - _BEFORE - first, 0)
        held, sources, first = held[keep:], sources[keep:], first + keep

    for motion, index in chunks:
        held = motion if held is None else Motion.concatenate([held, motion])
        sources = np.concatenate([sources, index])
        yield from until(first + len(held), final=False)
    if held is not None:
        yield from until(first + len(held), final=True)


def _between(motion: Motion, at: NDArray[np.float64]) -> Motion:
    """The motion at fractional frame numbers (T,); before the first and after the last frame it stands still."""
    return Motion(
        _cubic(motion.rotation, at),
        _cubic(motion.translation, at),
        np.clip(_cubic(motion.expression, at), 0.0, 1.0),
        _cubic(motion.gaze, at),
    )


def _cubic(values: Array, at: NDArray[np.float64]) -> Array:
    """(L, C) at (T,) -> (T, C). Rotation vectors of neighbouring frames are near each other, so they may be mixed."""
    start = np.floor(at).astype(np.int64)
    t = (at - start)[:, None]
    a, b, c, d = (values[np.clip(start + k, 0, len(values) - 1)] for k in (-1, 0, 1, 2))
    mixed = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return np.asarray(mixed, np.float32)
