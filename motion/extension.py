"""A motion that is shorter than the sound: what comes after its last frame."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from problems import InvalidParameter

Extension = Literal["bounce", "loop", "hold"]
EXTENSIONS: tuple[Extension, ...] = get_args(Extension)
"""``bounce``: forth and back; ``loop``: from its beginning again; ``hold``: the last frame stays."""

SEAM = 15
"""Frames over which ``loop`` goes from the last frame over to the first ones (0.6 s: a head turns back no faster)."""


def extension_named(name: str) -> Extension:
    """The extension of this name.

    Raises:
        InvalidParameter: there is none.
    """
    for known in EXTENSIONS:
        if known == name:
            return known
    raise InvalidParameter(
        f"a motion can't be extended by {name!r}",
        remedy=f"use one of {', '.join(EXTENSIONS)}",
        details={"field": "length_mismatch"},
    )


def extended(
    values: NDArray[np.floating], start: int, frames: int, how: Extension = "bounce"
) -> NDArray[np.float32]:
    """Frames ``start`` to ``start + frames`` of a motion that goes on for ever.

    Args:
        values: (L, C) numbers that may be blended, L >= 1: coefficients, angles about a mean.
        start: number of the first wanted frame, from 0.
        frames: how many.
        how: see :data:`EXTENSIONS`.

    Returns:
        (frames, C). Any cut into calls gives the same frames.
    """
    index = np.arange(start, start + frames)
    length = len(values)
    if how == "hold":
        return np.asarray(values[np.minimum(index, length - 1)], np.float32)
    if how == "bounce":
        return np.asarray(values[ping_pong(index, length)], np.float32)
    place = index % length
    found = np.asarray(values[place], np.float32)
    seam = min(SEAM, length)
    late = (index >= length) & (place < seam)
    # Smoothstep: neither end of the seam has a jerk in it.
    share = (place[late] + 1) / (seam + 1)
    share = (share * share * (3 - 2 * share))[:, None].astype(np.float32)
    found[late] = (1 - share) * values[-1] + share * found[late]
    return found


def followed(start: int, frames: int, length: int, how: Extension) -> NDArray[np.float32]:
    """(frames, 1) how far a motion of ``length`` frames still leads, 0..1: with ``hold``, what the last frame left open
    or shut must not stay so, and a head that nothing leads must still breathe."""
    if how != "hold":
        return np.ones((frames, 1), np.float32)
    beyond = np.arange(start, start + frames) - (length - 1)
    return (1 - np.clip(beyond / SEAM, 0, 1))[:, None].astype(np.float32)


def ping_pong(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Frame numbers forth and back through ``length`` frames: 0 1 2 1 0 1 ..."""
    if length <= 1:
        return np.zeros_like(index)
    folded = index % (2 * length - 2)
    return np.where(folded < length, folded, 2 * length - 2 - folded)
