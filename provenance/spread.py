"""Which bit of a coded message each wave of a frame carries, and what the waves of many frames say of it."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from provenance import convolution
from provenance.waves import COUNT, SHAPE

MESSAGE_BITS = 80
"""A number of 48 bits and its CRC-32."""
CODED = convolution.coded_length(MESSAGE_BITS)


@lru_cache(maxsize=1)
def layout() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which coded bit each wave carries (3 * 16 * 16), and with which sign.

    From SHAKE-256 and nothing else: numpy's generators may give other numbers in another version, and a mark must be
    readable for years.
    """
    stream = np.frombuffer(hashlib.shake_256(b"likeness watermark 1").digest(9 * COUNT), np.uint8)
    order = np.argsort(stream[: 8 * COUNT].view("<u8"), kind="stable")
    signs = 2.0 * (stream[8 * COUNT :] & 1).astype(np.float32) - 1.0
    bits = np.empty(COUNT, np.intp)
    bits[order] = np.arange(COUNT) % CODED
    return bits, signs


@lru_cache(maxsize=1)
def by_bit() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The waves in the order of their coded bits, and where each bit's begin."""
    bits, _ = layout()
    order = np.argsort(bits, kind="stable")
    return order, np.searchsorted(bits[order], np.arange(CODED))


def agreed(sines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sines of frames (T, 3, 16, 16) -> soft values (3, 16, 16), those of frames that agree with the rest first.

    Which bits the frames say is decided by all of them first, without any code, then by those that agreed with it.
    """
    bits, signs = layout()
    flat = sines.reshape(len(sines), -1) * signs
    mean = flat.mean(0)
    for _ in range(2):
        said = np.sign(np.bincount(bits, softened(mean), CODED))
        agreement = np.maximum(flat @ said[bits] / COUNT, 1e-2) ** 2
        mean = agreement @ flat / agreement.sum()
    return (softened(mean) * signs).reshape(SHAPE)


def softened(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Signed roots: codecs leave most waves small, and a large one that is wrong must not outvote several."""
    return np.copysign(np.sqrt(np.abs(values)), values)


def fit_of(sines: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well the waves (Y, X, 3, 16, 16) of one coded bit agree: (Y, X), about 1 by chance."""
    _, signs = layout()
    order, begins = by_bit()
    chips = (softened(sines).reshape(*sines.shape[:2], COUNT) * signs)[..., order]
    power = (np.add.reduceat(chips, begins, axis=-1) ** 2).sum(-1)
    return power / np.maximum((chips**2).sum(-1), 1e-9)
