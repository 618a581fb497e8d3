"""Blinks: found in the person's track, and sampled again at the person's rate in the person's own shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

TYPICAL_RATE = 0.28
"""Blinks a second while talking (about 17 a minute; Bentivoglio 1997), mixed with what a short clip shows."""
PRIOR_SECONDS = 10.0
"""How many seconds of observation the typical rate counts for."""
SHORTEST_GAP = 12
"""Frames between the starts of two blinks at least."""


@dataclass(frozen=True)
class Blinks:
    """A person's blinks."""

    rate: float
    """Blinks a second."""
    shapes: Array
    """(S, L, lids) rise of the lids' coefficients over their baseline; L frames, zero at both ends."""


def find_blinks(lids: Array, valid: NDArray[np.bool_], fps: float = 25.0) -> tuple[Blinks, Array]:
    """Separate the lids' fast closures from their slow baseline.

    Args:
        lids: (T, lids) closing coefficients in [0, 1].
        valid: (T,) frames that count.
        fps: frames per second.

    Returns:
        the blinks, and the (T, lids) baseline: the lids without them. A person who never blinked in the clip gets the
        typical rate and a synthetic shape.
    """
    frames = len(lids)
    if lids.shape[1] == 0:  # a model without lids
        return Blinks(TYPICAL_RATE, np.zeros((1, 2, 0), np.float32)), lids
    closing = lids.mean(1)
    baseline = _running_quantile(closing, radius=18, quantile=0.35)
    rise = closing - baseline
    noise = 1.48 * float(np.median(np.abs(rise[valid] - np.median(rise[valid]))))
    threshold = max(0.12, 4.0 * noise)
    open_lids = lids.astype(np.float64).copy()
    shapes: list[Array] = []
    frame, starts = 0, []
    while frame < frames:
        if rise[frame] < threshold or not valid[frame]:
            frame += 1
            continue
        start, stop = frame, frame
        while start > 0 and rise[start - 1] > 0.25 * threshold and frame - start < 5:
            start -= 1
        while stop < frames and rise[stop] > 0.25 * threshold and stop - frame < 12:
            stop += 1
        before, after = max(start - 1, 0), min(stop, frames - 1)
        blend = np.linspace(0, 1, after - before + 1)[:, None]
        line = open_lids[before] * (1 - blend) + lids[after] * blend
        shape = np.clip(lids[before : after + 1] - line, 0, 1).astype(np.float32)
        # Lids that stay down are a look at the floor, not a blink; one is at the clip's edge if it is cut off.
        if stop - start <= 12 and before > 0 and after < frames - 1 and valid[before : after + 1].all():
            shapes.append(shape)
        if stop - start <= 12:
            starts.append(frame)
            open_lids[before : after + 1] = np.minimum(open_lids[before : after + 1], line)
        frame = max(stop, frame + 1)
    seconds = float(valid.sum()) / fps
    rate = (len(starts) + TYPICAL_RATE * PRIOR_SECONDS) / (seconds + PRIOR_SECONDS)
    if not shapes:
        height = np.clip(0.85 - np.median(lids[valid], axis=0), 0.2, 1.0)
        curve = np.array([0, 0.45, 1.0, 0.95, 0.6, 0.3, 0.12, 0.0])
        shapes = [(curve[:, None] * height).astype(np.float32)]
    length = max(len(shape) for shape in shapes)
    padded = np.stack([np.pad(shape, ((0, length - len(shape)), (0, 0))) for shape in shapes])
    return Blinks(rate, padded.astype(np.float32)), open_lids.astype(np.float32)


class BlinkSampler:
    """Endless blinks: gaps are gamma distributed (shape 2: neither regular nor clustered), shapes drawn with variation.

    One frame after the other depends only on the seed, so any cutting into windows gives the same blinks.
    """

    def __init__(self, blinks: Blinks, seed: int, fps: float = 25.0) -> None:
        self._blinks, self._fps = blinks, fps
        self._rng = np.random.default_rng([seed, 0xB11C])
        self._queue = np.zeros((0, blinks.shapes.shape[2]), np.float32)
        self._wait = int(self._gap() * self._rng.random())

    def _gap(self) -> int:
        mean = self._fps / self._blinks.rate - SHORTEST_GAP
        return SHORTEST_GAP + int(self._rng.gamma(2.0, max(mean, 1.0) / 2.0))

    def next(self, frames: int) -> Array:
        """(frames, lids) rise over the baseline, in [0, 1]."""
        while len(self._queue) < frames:
            shape = self._blinks.shapes[self._rng.integers(len(self._blinks.shapes))]
            shape = np.clip(shape * self._rng.uniform(0.92, 1.06), 0, 1)
            rest = np.zeros((max(0, self._wait), shape.shape[1]), np.float32)
            self._queue = np.concatenate([self._queue, rest, shape.astype(np.float32)])
            self._wait = self._gap() - len(shape)
        out, self._queue = self._queue[:frames], self._queue[frames:]
        return out


def _running_quantile(values: NDArray[np.floating], radius: int, quantile: float) -> NDArray[np.float64]:
    padded = np.pad(values.astype(np.float64), radius, mode="reflect" if len(values) > radius else "edge")
    return np.quantile(np.lib.stride_tricks.sliding_window_view(padded, 2 * radius + 1), quantile, axis=1)
