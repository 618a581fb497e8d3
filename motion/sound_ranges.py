"""Where a clip's sound is missing: before it begins, after it has ended, and holes in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from motion.prosody import FRAME

Place = Literal["start", "end", "middle"]

NOTHING = 2.5e-4
"""Largest sample of a frame without sound, of full scale (-72 dB): a microphone's own noise is louder, the dither and
the echo of an encoder are not."""
SHORTEST = 13
"""Frames of the shortest hole (half a second)."""


@dataclass(frozen=True)
class Hole:
    """Consecutive frames without any sound."""

    first: int
    """The first frame, at 25 fps."""
    last: int
    """The frame after the last one."""
    place: Place
    """Whether it begins the clip, ends it, or lies between sound."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.last - self.first) / 25


def heard_frames(samples: NDArray[np.float32], frames: int) -> NDArray[np.bool_]:
    """(frames,) False where a hole of half a second or more leaves nothing to hear.

    Args:
        samples: (N,) at 16 kHz; sample 640 k is at frame k.
        frames: of the picture; what lies past the sound's end is a hole, too.
    """
    heard = np.ones(frames, bool)
    for hole in find_holes(samples, frames):
        heard[hole.first : hole.last] = False
    return heard


def find_holes(samples: NDArray[np.float32], frames: int) -> list[Hole]:
    """The holes of :func:`heard_frames`, in order."""
    samples = np.asarray(samples, np.float32)[: frames * FRAME]
    padded = np.pad(samples, (0, frames * FRAME - len(samples)))
    silent = np.abs(padded).reshape(frames, FRAME).max(1, initial=0.0) < NOTHING
    edges = np.flatnonzero(np.diff(np.r_[False, silent, False].astype(np.int8)))
    holes = []
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if last - first >= SHORTEST:
            place: Place = "start" if first == 0 else "end" if last == frames else "middle"
            holes.append(Hole(first, last, place))
    return holes
