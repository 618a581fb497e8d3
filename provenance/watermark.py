"""A number in the pixels of a video: 48 bits, in every frame, for whoever lost the file that they came in.

How it is written. A frame is laid out on a grid of 16 x 16 cells, whatever its size, so scaling moves nothing. In each
cell the brightness has three smooth waves that vanish at the cell's border: as long as the cell one way and twice that
the other, or as long as it both ways. A codec keeps such long ones, and zeroes finer ones of the same height. The
height c of each, over what is blurred there, is moved to where sin(2 pi c / STEP) has the sign of one coded bit:
quantisation index modulation (Chen and Wornell 2001), in which the picture itself is no noise, unlike in spread
spectrum. How far a wave may be moved depends on what the cell shows: by about a level in flat ones, by more in grain
and texture. There a small push still tells the sign, since around zero the sine is odd. Moves follow the picture
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
CELLS = 16
"""Cells along each side of the frame."""
SAMPLES = 8
"""Samples along each side of a cell: marks are made and read on a plane of 128 x 128."""
SIDE = CELLS * SAMPLES
WAVES = ((2, 1), (1, 2), (2, 2))
"""Of each cell: half waves across and down."""
BLUR = 4.0
"""Deviation of the Gaussian whose blur heights are taken over, samples: light that falls off is no wave."""
STEP = 6.0
"""Distance of two heights of a wave that mean the same, grey levels."""
FLAT, MASKED, GRAINY, MOST = 0.9, 0.3, 0.2, 2.5
"""How far a wave may be moved in a frame of 512 x 512, grey levels: in a flat cell; more by so much for each level of
the mean difference between neighbouring samples, and between neighbouring pixels; and at most. A little more in
smaller frames, less in larger ones."""
STEADY, FOLLOW = 0.3, 0.3
"""Shares of the way to its new place that a wave's height, and its move, go with each frame, 0..1."""
ATTEMPTS = 8
"""Likeliest croppings that are decoded when the whole frame gives nothing."""

_MESSAGE_BITS = PAYLOAD_BITS + 32
_CODED = convolution.coded_length(_MESSAGE_BITS)
_SHAPE = (len(WAVES), CELLS, CELLS)
_WAVES = len(WAVES) * CELLS * CELLS


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
        bits, signs = _layout()
        coded = convolution.encode(_message(payload))
        # The middle of the sine's half-wave of the wanted sign.
        self._middle = 0.25 * (coded[bits] * signs).reshape(_SHAPE)
        self._heights: NDArray[np.float32] | None = None
        self._moves: NDArray[np.float32] | None = None
        self._add = _Adder()

    def mark(self, image: Frame) -> Frame:
        """(H, W, 3) RGB or (H, W, 4) RGBA, uint8 -> a marked copy; alpha stays as it is."""
        height, width = image.shape[:2]
        grey = cv2.cvtColor(image, cv2.COLOR_RGBA2GRAY if image.shape[2] == 4 else cv2.COLOR_RGB2GRAY)
        plane = _plane(grey)
        heights = _heights(plane)
        if self._heights is not None:
            heights = self._heights + STEADY * (heights - self._heights)
        self._heights = heights
        moves = STEP * (np.round(heights / STEP - self._middle) + self._middle) - heights
        if self._moves is not None:
            moves = self._moves + FOLLOW * (moves - self._moves)
        reach = np.minimum(_reach(plane, grey) * _strength(width, height), MOST)
        self._moves = np.clip(moves, -reach, reach)
        return self._add(image, _painted(self._moves))

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
    croppings = _Croppings()
    for image in frames:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        sines.append(_sines(_heights(_plane(grey))))
        if search:
            croppings.consider(grey)
    count = len(sines)
    if not sines or np.abs(sines).max() < 1e-3:  # nothing but rounding
        return Reading(None, 0.0, np.zeros(PAYLOAD_BITS, np.uint8), count)
    found = _decoded(_agreed(np.stack(sines)), count)
    if found.payload is not None or not search:
        return found
    for part in croppings.likeliest(ATTEMPTS):
        other = _decoded(_agreed(croppings.sines(part)), count, part)
        if other.payload is not None:
            return other
    return found


def _agreed(sines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sines of frames (T, 3, 16, 16) -> soft values (3, 16, 16), those of frames that agree with the rest first.

    Which bits the frames say is decided by all of them first, without any code, then by those that agreed with it.
    """
    bits, signs = _layout()
    flat = sines.reshape(len(sines), -1) * signs
    mean = flat.mean(0)
    for _ in range(2):
        said = np.sign(np.bincount(bits, _softened(mean), _CODED))
        agreement = np.maximum(flat @ said[bits] / _WAVES, 1e-2) ** 2
        mean = agreement @ flat / agreement.sum()
    return (_softened(mean) * signs).reshape(_SHAPE)


def _softened(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Signed roots: codecs leave most waves small, and a large one that is wrong must not outvote several."""
    return np.copysign(np.sqrt(np.abs(values)), values)


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
    bits, signs = _layout()
    chips = soft.reshape(-1) * signs
    message = convolution.decode(np.bincount(bits, chips, _CODED).astype(np.float64))
    payload = int.from_bytes(np.packbits(message[:PAYLOAD_BITS]).tobytes(), "big")
    size = float(np.abs(chips).sum())
    if size == 0.0 or not np.array_equal(message, _message(payload)):
        return Reading(None, 0.0, message[:PAYLOAD_BITS], frames)
    agreed = float((chips * convolution.encode(message)[bits]).sum()) / size
    return Reading(payload, max(agreed, 0.0), message[:PAYLOAD_BITS], frames, part)


@lru_cache(maxsize=1)
def _layout() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which coded bit each wave carries (3 * 16 * 16), and with which sign.

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


# (128, 16): column i is cell i's half or whole wave on its own samples.
_COLUMNS = {halves: np.kron(np.eye(CELLS, dtype=np.float32), _wave(halves)[:, None]) for halves in (1, 2)}
_POWER = np.float32((SAMPLES / 2) ** 2)


def _blurred(plane: Plane) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), BLUR, borderType=cv2.BORDER_REFLECT))


def _plane(grey: NDArray[np.uint8]) -> Plane:
    """(H, W) -> (128, 128)."""
    height, width = grey.shape
    if (
        min(height, width) >= 4 * SIDE and height % 2 == width % 2 == 0
    ):  # halving is quick, the rest then is little
        grey = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def _heights(plane: Plane) -> NDArray[np.float32]:
    """Heights (3, 16, 16) of each cell's waves over the blurred plane, grey levels."""
    sharp = plane - _blurred(plane)
    each = [_COLUMNS[down].T @ sharp @ _COLUMNS[across] for across, down in WAVES]
    return np.stack(each) / _POWER


def _painted(heights: NDArray[np.float32]) -> Plane:
    """Waves of those heights (3, 16, 16) on a plane (128, 128)."""
    each = [_COLUMNS[d] @ of @ _COLUMNS[a].T for of, (a, d) in zip(heights, WAVES, strict=True)]
    return np.sum(each, axis=0)


def _sines(heights: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sin(heights * np.float32(2 * np.pi / STEP))


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


# -- cropped frames ------------------------------------------------------------------------------------------

Span = tuple[float, float]
"""Where a part begins and ends along one side of the marked frame, samples of its plane: 0..128."""


class _Croppings:
    """Looks at some frames as parts of marked ones, for a range of sizes and all places.

    A frame that shows a part of the marked one has the grid shifted and scaled. How well waves of one coded bit agree
    tells how well a place fits, whatever the bits are. In flat cells a place that is wrong by a sample is near enough;
    in texture a quarter is too much, since other parts of the picture come under the wave. So the best of coarse places
    are looked at again in steps of a half, and the best of those in steps of an eighth.
    """

    FRAMES, SEARCHED = 32, 8
    """Frames that are kept, and how many of them are searched at most."""
    SIZES = tuple(range(110, SIDE + 1, 2))
    """Width or height of the part, samples of the plane: 86 to 100 % in steps of 1.6."""
    STARTS = 48
    """Coarse places that are looked at again."""

    def __init__(self) -> None:
        self._kept: list[Plane] = []
        self._every, self._seen = 1, 0

    def consider(self, grey: NDArray[np.uint8]) -> None:
        """Keep every n-th frame (H, W), and fewer as they become too many."""
        if self._seen % self._every == 0:
            self._kept.append(_plane(grey))
        self._seen += 1
        if len(self._kept) > self.FRAMES:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def likeliest(self, count: int) -> list[Part]:
        """Parts of the marked frame that the kept ones may be, best first."""
        found = sorted(self._coarse(), reverse=True)[: self.STARTS]
        for step, reach, most in ((0.5, 2, count), (0.25, 1, count), (0.125, 1, count)):
            again = (self._finer(across, down, step, reach) for _, across, down in found)
            found = sorted(set(again), reverse=True)[:most]
        return [
            (left / SIDE, top / SIDE, (right - left) / SIDE, (bottom - top) / SIDE)
            for _, (left, right), (top, bottom) in found
        ]

    def sines(self, part: Part) -> NDArray[np.float32]:
        """(T, 3, 16, 16) of the kept frames, when they are that part of the marked ones; 0 where cells are cut."""
        left, top, width, height = (SIDE * each for each in part)
        across, down = (left, left + width), (top, top + height)
        return np.stack([_sines_of_parts(plane, [across], [down])[0, 0] for plane in self._kept])

    def _searched(self) -> list[Plane]:
        """Some of the kept frames, the first among them: a key frame, unless the video was cut."""
        return self._kept[:: -(-len(self._kept) // self.SEARCHED)]

    def _coarse(self) -> Iterator[tuple[float, Span, Span]]:
        """The best place of a part of each size, with how well it fits, by one frame or by all.

        Where the picture moves, few frames show the waves.
        """
        spans = {
            size: [(float(at), float(at + size)) for at in range(SIDE - size + 1)] for size in self.SIZES
        }
        for across in spans.values():
            for down in spans.values():
                sines = [_sines_of_parts(plane, across, down) for plane in self._searched()]
                fits = np.max([_fit(each) for each in (*sines, np.sum(sines, axis=0))], axis=0)
                y, x = np.unravel_index(int(fits.argmax()), fits.shape)
                yield float(fits[y, x]), across[x], down[y]

    def _finer(self, across: Span, down: Span, step: float, reach: int) -> tuple[float, Span, Span]:
        """The best of the places that are up to ``reach`` steps from this one, at each of its edges."""
        moved = step * np.arange(-reach, reach + 1)
        acrosses, downs = (
            [(float(lo + a), float(hi + b)) for a in moved for b in moved if lo + a >= 0 and hi + b <= SIDE]
            for lo, hi in (across, down)
        )
        sines = [_sines_of_parts(plane, acrosses, downs) for plane in self._searched()[:3]]
        fits = np.max([_fit(each) for each in (sines[0], np.sum(sines, axis=0))], axis=0)
        y, x = np.unravel_index(int(fits.argmax()), fits.shape)
        return float(fits[y, x]), acrosses[x], downs[y]


def _sines_of_parts(plane: Plane, across: list[Span], down: list[Span]) -> NDArray[np.float32]:
    """Sines (Y, X, 3, 16, 16) of a plane that is each part of a marked one; 0 where cells are cut."""
    (left, right), (top, bottom) = across[0], down[0]
    blur = SIDE * BLUR / (right - left), SIDE * BLUR / (bottom - top)
    sharp = plane - cv2.GaussianBlur(plane, (0, 0), blur[0], sigmaY=blur[1], borderType=cv2.BORDER_REFLECT)
    heights = np.empty((len(down), CELLS, len(across), CELLS, len(WAVES)), np.float32)
    for number, (a, d) in enumerate(WAVES):
        columns, rows = _waves_of_parts(across, a), _waves_of_parts(down, d)
        heights[..., number] = (rows @ (sharp @ columns.T)).reshape(heights.shape[:-1])
    return _sines(heights / _POWER).transpose(0, 2, 4, 1, 3)


def _waves_of_parts(spans: list[Span], halves: int) -> Plane:
    """(S * 16, 128): each cell's wave on the samples of a plane that is that part of a marked one."""
    begin, end = np.array(spans).T[..., None, None]
    size = (end - begin) / SIDE
    at = (begin + size * (np.arange(SIDE) + 0.5)) / SAMPLES - np.arange(CELLS)[
        :, None
    ]  # (S, 16, 128), in cells
    whole = (begin <= SAMPLES * np.arange(CELLS)[:, None]) & (
        SAMPLES * np.arange(1, CELLS + 1)[:, None] <= end
    )
    waves = np.where(whole & (at > 0) & (at < 1), size * np.sin(halves * np.pi * at), 0)
    return waves.reshape(-1, SIDE).astype(np.float32)


def _fit(sines: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well the waves (Y, X, 3, 16, 16) of one coded bit agree: (Y, X), about 1 by chance."""
    _, signs = _layout()
    order, begins = _by_bit()
    chips = (_softened(sines).reshape(*sines.shape[:2], _WAVES) * signs)[..., order]
    power = (np.add.reduceat(chips, begins, axis=-1) ** 2).sum(-1)
    return power / np.maximum((chips**2).sum(-1), 1e-9)


@lru_cache(maxsize=1)
def _by_bit() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The waves in the order of their coded bits, and where each bit's begin."""
    bits, _ = _layout()
    order = np.argsort(bits, kind="stable")
    return order, np.searchsorted(bits[order], np.arange(_CODED))
