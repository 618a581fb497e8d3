"""A number in the pixels of a video: 48 bits, in every frame, for whoever lost the file that they came in.

How it is written. A frame is laid out on a grid of 32 x 32 cells, whatever its size, so scaling moves nothing. In each
cell the brightness has two smooth waves, one across and one down, that vanish at the cell's border. The height c of
each is moved to where sin(2 pi c / STEP) has the sign of one coded bit: quantisation index modulation (Chen and Wornell
2001), in which the picture itself is no noise, unlike in spread spectrum. How far a wave may be moved depends on what
the cell shows: by about a level in flat ones, by up to half a step in texture. There a small push still tells the sign,
since around zero the sine is odd. Moves follow the picture slowly: what changes with each frame would flicker, and cost
a codec bits.

How it is read. sin(2 pi c / STEP), averaged over frames, is a soft value; each coded bit has eight. Viterbi's decoder
finds the message, 48 bits and their CRC-32, and only a message whose CRC fits counts. So no threshold stands on a
model of pictures: a video without a mark passes with probability 2^-32 an attempt, and there are at most
``1 + ATTEMPTS`` of them a video.

The code and its pattern are public, as the C2PA manifest is: the mark tells honest people where a video came from. It
is no secret that would keep somebody from removing it or from writing another.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from problems import InvalidParameter
from provenance import convolution

Frame = NDArray[np.uint8]
Plane = NDArray[np.float32]
Part = tuple[float, float, float, float]

PAYLOAD_BITS = 48
CELLS = 32
"""Cells along each side of the frame."""
SAMPLES = 8
"""Samples along each side of a cell: marks are made and read on a plane of 256 x 256."""
SIDE = CELLS * SAMPLES
STEP = 8.0
"""Distance of two heights of a wave that mean the same, grey levels."""
FLAT, MASKED = 1.1, 1.3
"""How far a wave may be moved in a frame of 512 x 512, grey levels: in a flat cell, and more by so much for each level
of the mean difference between neighbouring samples. A little more in smaller frames, less in larger ones."""
FOLLOW = 0.3
"""Share of the way to its new place that a wave's move goes with each frame, 0..1."""
ATTEMPTS = 8
"""Likeliest croppings that are decoded when the whole frame gives nothing."""

_MESSAGE_BITS = PAYLOAD_BITS + 32
_CODED = convolution.coded_length(_MESSAGE_BITS)
_WAVES = 2 * CELLS * CELLS


@dataclass(frozen=True)
class Reading:
    """What was found in a video's pixels."""

    payload: int | None
    """The number, None when there is no mark."""
    confidence: float
    """With a mark, how far the waves agree with it, 0..1: their sum in its direction over their sum in size. 0
    without. What is below about 0.3 can't be read."""
    bits: NDArray[np.uint8]
    """(48,) the most likely bits, whether or not they are a mark's."""
    frames: int
    """Frames that were read."""
    part: Part | None = None
    """When the frames are a part of the marked ones: its left, top, width and height in sides of those, 0..1."""


class Watermark:
    """Writes one number into the frames of one video, in their order.

    Args:
        payload: 0 to 2^48 - 1.

    Raises:
        InvalidParameter: the number does not fit.
    """

    def __init__(self, payload: int) -> None:
        self.payload = payload
        bits, signs = _layout()
        coded = convolution.encode(_message(payload))
        self._wanted = (coded[bits] * signs).reshape(2, CELLS, CELLS)
        self._moves: NDArray[np.float32] | None = None

    def mark(self, image: Frame) -> Frame:
        """(H, W, 3) RGB or (H, W, 4) RGBA, uint8 -> a marked copy; alpha stays as it is."""
        height, width = image.shape[:2]
        grey = cv2.cvtColor(image, cv2.COLOR_RGBA2GRAY if image.shape[2] == 4 else cv2.COLOR_RGB2GRAY)
        plane = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        heights = _heights(plane)
        # The nearest height in the middle of the sine's half-wave of the wanted sign.
        middle = 0.25 * self._wanted
        moves = STEP * (np.round(heights / STEP - middle) + middle) - heights
        if self._moves is not None:
            moves = self._moves + FOLLOW * (moves - self._moves)
        reach = _reach(plane) * _strength(width, height)
        self._moves = np.clip(moves, -reach, reach)
        way = cv2.INTER_LINEAR if width >= SIDE and height >= SIDE else cv2.INTER_AREA
        return _added(image, cv2.resize(_painted(self._moves), (width, height), interpolation=way))

    def marked(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Mark a stream of frames, each in a thread while its taker is busy with the one before."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="watermark") as thread:
            ahead: Future[Frame] | None = None
            for image in frames:
                coming = thread.submit(self.mark, image)
                if ahead is not None:
                    yield ahead.result()
                ahead = coming
            if ahead is not None:
                yield ahead.result()


def read(frames: Iterable[Frame], *, search: bool = True) -> Reading:
    """Look for a number in frames of one video, in a fixed amount of memory.

    Args:
        frames: (H, W, 3) uint8 RGB: some dozens, best spread over the video.
        search: when the whole frame shows no mark, look whether it is a part of a marked one (a second or two).
    """
    total = np.zeros((2, CELLS, CELLS))
    croppings = _Croppings()
    count = 0
    for image in frames:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        total += _sines(_heights(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)))
        if search:
            croppings.consider(grey, count)
        count += 1
    found = _decoded(total, count)
    if found.payload is not None or not search or not np.any(total):
        return found
    for sines, part in croppings.likeliest(ATTEMPTS):
        other = _decoded(sines, count, part)
        if other.payload is not None:
            return other
    return found


# -- the message ---------------------------------------------------------------------------------------------


def _message(payload: int) -> NDArray[np.uint8]:
    """The number and its CRC-32 as (80,) bits."""
    if not 0 <= payload < 1 << PAYLOAD_BITS:
        raise InvalidParameter(
            f"a watermark carries {PAYLOAD_BITS} bits, and {payload} is not of so many",
            remedy=f"use a number from 0 to 2^{PAYLOAD_BITS} - 1",
            details={"field": "payload"},
        )
    data = payload.to_bytes(PAYLOAD_BITS // 8, "big")
    data += zlib.crc32(data).to_bytes(4, "big")
    return np.unpackbits(np.frombuffer(data, np.uint8))


def _decoded(sines: NDArray[np.floating], frames: int, part: Part | None = None) -> Reading:
    """Summed sines (2, 32, 32) -> the message in them, if its CRC fits."""
    bits, signs = _layout()
    chips = sines.reshape(-1) * signs
    message = convolution.decode(np.bincount(bits, chips, _CODED).astype(np.float64))
    payload = int.from_bytes(np.packbits(message[:PAYLOAD_BITS]).tobytes(), "big")
    size = float(np.abs(chips).sum())
    if size == 0.0 or not np.array_equal(message, _message(payload)):
        return Reading(None, 0.0, message[:PAYLOAD_BITS], frames)
    agreed = float((chips * convolution.encode(message)[bits]).sum()) / size
    return Reading(payload, max(agreed, 0.0), message[:PAYLOAD_BITS], frames, part)


@lru_cache(maxsize=1)
def _layout() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which coded bit each wave carries (2 * 32 * 32), and with which sign.

    From SHAKE-256 and nothing else: numpy's generators may give other numbers in another version, and a mark must be
    readable for years.
    """
    stream = np.frombuffer(hashlib.shake_256(b"likeness watermark 1").digest(9 * _WAVES), np.uint8)
    order = np.argsort(stream[: 8 * _WAVES].view("<u8"), kind="stable")
    signs = 2.0 * (stream[8 * _WAVES :] & 1).astype(np.float32) - 1.0
    bits = np.empty(_WAVES, np.intp)
    bits[order] = np.arange(_WAVES) % _CODED
    return bits, signs


# -- waves ---------------------------------------------------------------------------------------------------


def _wave(halves: int) -> Plane:
    """(8,) sine of so many half waves over a cell."""
    return np.sin(halves * np.pi * (np.arange(SAMPLES) + 0.5) / SAMPLES).astype(np.float32)


# (256, 32): column i is cell i's half or whole wave on its own samples.
_HALVES, _WHOLES = (np.kron(np.eye(CELLS, dtype=np.float32), _wave(n)[:, None]) for n in (1, 2))
_POWER = float((_wave(1) ** 2).sum() * (_wave(2) ** 2).sum())


def _heights(plane: Plane) -> NDArray[np.float32]:
    """Heights (2, 32, 32) of each cell's waves across and down, grey levels."""
    across = _HALVES.T @ (plane @ _WHOLES)
    down = _WHOLES.T @ (plane @ _HALVES)
    return np.stack([across, down]) / np.float32(_POWER)


def _painted(heights: NDArray[np.float32]) -> Plane:
    """Waves of those heights (2, 32, 32) on a plane: the inverse of :func:`_heights`."""
    return (_HALVES @ heights[0]) @ _WHOLES.T + (_WHOLES @ heights[1]) @ _HALVES.T


def _sines(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sin(heights * np.float32(2 * np.pi / STEP))


def _reach(plane: Plane) -> NDArray[np.float32]:
    """How far the waves of each cell (32, 32) may be moved unseen, grey levels.

    Its calmest quarter decides: beside an edge, a flat half would show the wave.
    """
    slope = np.zeros_like(plane)
    slope[:, :-1] = cv2.absdiff(plane[:, 1:], plane[:, :-1])
    slope[:-1] += cv2.absdiff(plane[1:], plane[:-1])
    quarters = cv2.resize(slope, (2 * CELLS, 2 * CELLS), interpolation=cv2.INTER_AREA)
    calmest = quarters.reshape(CELLS, 2, CELLS, 2).min((1, 3))
    return np.minimum(FLAT + MASKED / 2 * calmest, STEP / 2)


def _strength(width: int, height: int) -> float:
    """Codecs leave less of the waves in small frames, where they are short; in large ones less is enough."""
    return float(np.clip((512 * 512 / (width * height)) ** 0.25, 0.75, 1.25))


def _added(image: Frame, plane: Plane) -> Frame:
    """image (H, W, 3 or 4) plus ``plane`` (H, W), whole levels; alpha gets nothing."""
    up = cv2.add(plane, 0.0, dtype=cv2.CV_8U)  # rounded, and 0 where it goes down
    down = cv2.subtract(0.0, plane, dtype=cv2.CV_8U)
    none = [np.zeros_like(up)] * (image.shape[2] - 3)
    return cv2.subtract(cv2.add(image, cv2.merge([up] * 3 + none)), cv2.merge([down] * 3 + none))


# -- cropped frames ------------------------------------------------------------------------------------------


class _Croppings:
    """Looks at some frames as parts of marked ones, for a range of sizes and all places.

    A frame that shows a part of the marked one has the grid shifted and scaled. Scaling is tried in steps; all shifts
    come at once, by filtering with the wave instead of taking it cell by cell.
    """

    FRAMES = 4
    SIZES = tuple(range(220, SIDE + 1, 4))
    """Width or height of the part, samples of the plane: 86 to 100 % in steps of 1.6."""

    def __init__(self) -> None:
        self._kept: list[Plane] = []

    def consider(self, grey: Plane, number: int) -> None:
        """Keep a frame (H, W) if it is number 0, 1, 2, 4, 8, ...; the last four of them stay."""
        if number & (number - 1) == 0:
            self._kept.append(cv2.resize(grey, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_AREA))
            self._kept = self._kept[-self.FRAMES :]

    def likeliest(self, count: int) -> list[tuple[NDArray[np.float32], Part]]:
        """Summed sines (2, 32, 32) with the part that they suppose, best first."""
        found = [self._best(width, height) for width in self.SIZES for height in self.SIZES]
        found.sort(key=lambda each: -each[0])
        return [(sines, part) for _, sines, part in found[:count]]

    def _best(self, width: int, height: int) -> tuple[float, NDArray[np.float32], Part]:
        """The best place of a part of that size: how well waves of one coded bit agree, whatever the bits are."""
        dense = self._dense(width, height)

        def power(place: tuple[int, int]) -> float:
            sines = self._on_grid(dense, *place, width, height).reshape(-1)
            bits, signs = _layout()
            sums = np.bincount(bits, sines * signs, _CODED)
            return float((sums**2).sum() / max(float((sines**2).sum()), 1e-9))

        widest, tallest = SIDE - width, SIDE - height
        coarse = [(left, top) for left in range(0, widest + 1, 2) for top in range(0, tallest + 1, 2)]
        left, top = max(coarse, key=power)
        near = [(left + x, top + y) for x in (-1, 0, 1) for y in (-1, 0, 1)]
        place = max(((x, y) for x, y in near if 0 <= x <= widest and 0 <= y <= tallest), key=power)
        part = (place[0] / SIDE, place[1] / SIDE, width / SIDE, height / SIDE)
        return power(place), self._on_grid(dense, *place, width, height), part

    def _dense(self, width: int, height: int) -> NDArray[np.float32]:
        """Summed sines of a cell that begins at each sample; round them zeros, for cells that were cut off."""
        left, top = SIDE - width, SIDE - height
        dense = np.zeros((2, top + SIDE, left + SIDE), np.float32)
        inside = dense[:, top : top + height - SAMPLES + 1, left : left + width - SAMPLES + 1]
        half, whole = _wave(1), _wave(2) / np.float32(_POWER)
        for grey in self._kept:
            plane = cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA)
            for number, (x, y) in enumerate(((whole, half), (half, whole))):
                heights = cv2.sepFilter2D(plane, cv2.CV_32F, x, y, anchor=(0, 0))
                inside[number] += _sines(heights[: inside.shape[1], : inside.shape[2]])
        return dense

    @staticmethod
    def _on_grid(
        dense: NDArray[np.float32], left: int, top: int, width: int, height: int
    ) -> NDArray[np.float32]:
        """The cells (2, 32, 32) of a marked frame whose part begins at ``left``, ``top``."""
        x, y = SIDE - width - left, SIDE - height - top
        return dense[:, y : y + SIDE : SAMPLES, x : x + SIDE : SAMPLES]
