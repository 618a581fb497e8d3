"""A number in the pixels of a video: 48 bits, in every frame, for whoever lost the file that they came in.

How it is written. A frame is laid out on a grid of 16 x 16 cells, whatever its size, so scaling moves nothing. In each
cell the brightness has three smooth waves that vanish at the cell's border: as long as the cell one way and twice that
the other, or as long as it both ways. A codec keeps such long ones, and zeroes finer ones of the same height. The
height c of each, over what is blurred there, is moved to where sin(2 pi c / STEP) has the sign of one coded bit:
quantisation index modulation (Chen and Wornell 2001), in which the picture itself is no noise, unlike in spread
spectrum. How far a wave may be moved depends on what the cell shows: by some half a level in flat ones, where a small
push still tells the sign, since around zero the sine is odd; by more in grain and texture. Moves follow the picture
slowly: what changes with each frame would flicker, and cost a codec bits.

How it is read. sin(2 pi c / STEP) is averaged over frames, of which those count most that agree with the rest: where a
picture moves, a codec carries the waves along with it until the next key frame. The root of the average is a soft
value; each coded bit has about three. Viterbi's decoder finds the message, 48 bits and their CRC-32, and only a
message whose CRC fits counts. So no threshold stands on a model of pictures: a video without a mark passes with
probability 2^-32 an attempt, and there are at most ``1 + ATTEMPTS`` of them a video.

The code and its pattern are public, as the C2PA manifest is: the mark tells honest people where a video came from. It
is no secret that would keep somebody from removing it or from writing another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from problems import InvalidParameter
from provenance import convolution
from provenance.croppings import Croppings, Part
from provenance.spread import CODED, MESSAGE_BITS, agreed, layout
from provenance.waves import CELLS, SHAPE, SIDE, STEP, Plane, heights_of, painted, plane_of, sines_of

Frame = NDArray[np.uint8]

PAYLOAD_BITS = MESSAGE_BITS - 32
FLAT, MASKED, GRAINY, MOST = 0.6, 0.3, 0.2, 2.5
"""How far a wave may be moved in a frame of 512 x 512, grey levels: in a flat cell; more by so much for each level of
the mean difference between neighbouring samples, and between neighbouring pixels; and at most. A little more in
smaller frames, less in larger ones."""
STEADY, FOLLOW = 0.3, 0.3
"""Shares of the way to its new place that a wave's height, and its move, go with each frame, 0..1."""
ATTEMPTS = 8
"""Likeliest croppings that are decoded when the whole frame gives nothing."""


@dataclass(frozen=True)
class Reading:
    """What was found in a video's pixels."""

    payload: int | None
    """The number, None when there is no mark."""
    confidence: float
    """With a mark, how far the waves agree with it, 0..1: their sum in its direction over their sum in size. 0
    without. What is below about 0.4 can't be read."""
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
        bits, signs = layout()
        coded = convolution.encode(_message(payload))
        # The middle of the sine's half-wave of the wanted sign.
        self._middle = 0.25 * (coded[bits] * signs).reshape(SHAPE)
        self._heights: NDArray[np.float32] | None = None
        self._moves: NDArray[np.float32] | None = None
        self._add = _Adder()

    def mark(self, image: Frame) -> Frame:
        """(H, W, 3) RGB or (H, W, 4) RGBA, uint8 -> a marked copy; alpha stays as it is."""
        height, width = image.shape[:2]
        grey = cv2.cvtColor(image, cv2.COLOR_RGBA2GRAY if image.shape[2] == 4 else cv2.COLOR_RGB2GRAY)
        plane = plane_of(grey)
        heights = heights_of(plane)
        if self._heights is not None:
            heights = self._heights + STEADY * (heights - self._heights)
        self._heights = heights
        moves = STEP * (np.round(heights / STEP - self._middle) + self._middle) - heights
        if self._moves is not None:
            moves = self._moves + FOLLOW * (moves - self._moves)
        reach = np.minimum(_reach(plane, grey) * _strength(width, height), MOST)
        self._moves = np.clip(moves, -reach, reach)
        return self._add(image, painted(self._moves))

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
    """Look for a number in frames of one video, in 3 KB of memory a frame.

    Args:
        frames: (H, W, 3) uint8 RGB: some dozens, best spread over the video.
        search: when the whole frame shows no mark, look whether it is a part of a marked one (some seconds).
    """
    sines: list[NDArray[np.float32]] = []
    croppings = Croppings()
    for image in frames:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        sines.append(sines_of(heights_of(plane_of(grey))))
        if search:
            croppings.consider(grey)
    count = len(sines)
    if not sines or np.abs(sines).max() < 1e-3:  # nothing but rounding
        return Reading(None, 0.0, np.zeros(PAYLOAD_BITS, np.uint8), count)
    found = _decoded(agreed(np.stack(sines)), count)
    if found.payload is not None or not search:
        return found
    for part in croppings.likeliest(ATTEMPTS):
        other = _decoded(agreed(croppings.sines(part)), count, part)
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


def _decoded(soft: NDArray[np.floating], frames: int, part: Part | None = None) -> Reading:
    """Soft values (3, 16, 16) -> the message in them, if its CRC fits."""
    bits, signs = layout()
    chips = soft.reshape(-1) * signs
    message = convolution.decode(np.bincount(bits, chips, CODED).astype(np.float64))
    payload = int.from_bytes(np.packbits(message[:PAYLOAD_BITS]).tobytes(), "big")
    size = float(np.abs(chips).sum())
    if size == 0.0 or not np.array_equal(message, _message(payload)):
        return Reading(None, 0.0, message[:PAYLOAD_BITS], frames)
    agreed = float((chips * convolution.encode(message)[bits]).sum()) / size
    return Reading(payload, max(agreed, 0.0), message[:PAYLOAD_BITS], frames, part)


# -- what a frame gets ---------------------------------------------------------------------------------------


def _reach(plane: Plane, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How far the waves of each cell (16, 16) may be moved unseen in a frame (H, W) of 512 x 512, grey levels.

    Its calmest quarter decides: beside an edge, a flat half would show the wave.
    """
    slope = np.zeros_like(plane)
    slope[:, :-1] = cv2.absdiff(plane[:, 1:], plane[:, :-1])
    slope[:-1] += cv2.absdiff(plane[1:], plane[:-1])
    rows = grey[::8]  # enough to see what grain there is
    grain = cv2.absdiff(rows[:, 1:], rows[:, :-1]).astype(np.float32)
    return FLAT + MASKED * _calmest(slope) + GRAINY * _calmest(grain)


def _calmest(plane: Plane) -> NDArray[np.float32]:
    """Mean of each cell's (16, 16) calmest quarter."""
    quarters = cv2.resize(plane, (2 * CELLS, 2 * CELLS), interpolation=cv2.INTER_AREA)
    return quarters.reshape(CELLS, 2, CELLS, 2).min((1, 3))


def _strength(width: int, height: int) -> float:
    """Codecs leave less of the waves in small frames, where they are short; in large ones less is enough."""
    return float(np.clip((512 * 512 / (width * height)) ** 0.25, 0.75, 1.25))


_FINE = 16
"""Parts of a level in which waves are scaled to the frame: as bytes, which is quick."""
_LEVELS = np.round((np.arange(256) - 128) / _FINE)
_UP, _DOWN = (np.maximum(levels, 0).astype(np.uint8) for levels in (_LEVELS, -_LEVELS))


class _Adder:
    """Adds waves to frames, in memory that it keeps: to ask for some megabytes anew costs more than the sum."""

    def __init__(self) -> None:
        self._fine, self._one, self._colours = (np.empty(0, np.uint8) for _ in range(3))

    def __call__(self, image: Frame, plane: Plane) -> Frame:
        """image (H, W, 3 or 4) plus ``plane`` (128, 128) in its size, whole levels; alpha gets nothing."""
        height, width, channels = image.shape
        coarse = np.clip(np.round(plane * _FINE) + 128, 0, 255).astype(np.uint8)
        way = cv2.INTER_LINEAR if width >= SIDE and height >= SIDE else cv2.INTER_AREA
        if self._colours.shape != image.shape:
            self._fine, self._one = np.empty((2, height, width), np.uint8)
            self._colours = np.zeros(image.shape, np.uint8)
        cv2.resize(coarse, (width, height), dst=self._fine, interpolation=way)
        result = cv2.add(image, self._coloured(_UP, channels))
        return cv2.subtract(result, self._coloured(_DOWN, channels), dst=result)

    def _coloured(self, table: NDArray[np.uint8], channels: int) -> Frame:
        """(H, W, 3 or 4), 0 in alpha."""
        cv2.LUT(self._fine, table, dst=self._one)
        if channels == 3:
            return cv2.cvtColor(self._one, cv2.COLOR_GRAY2RGB, dst=self._colours)
        return cv2.mixChannels([self._one], [self._colours], [0, 0, 0, 1, 0, 2])[0]
