"""Is the same take in two files? What a recording is recognised by after it was encoded, scaled, cut or muxed anew.

Sound: in which of two neighbouring bands, and of two neighbouring moments, there is more of it (one bit per band and
moment). A steady noise of the room takes no part in that, whoever speaks in it. Picture: how the brightness of an 8 by
8 grid changes from moment to moment; what stands still takes no part. So two takes of one person in one room, who says
the same sentence twice, have neither in common, while one take in two files has both. Each second of a recording is
looked for at every place of the other file, and what is found must lie there in the same order. docs/consent.md has
the numbers.

It recognises copies, also mirrored ones and those played a twentieth faster. It does not recognise a copy whose speed
was changed by much more, or of whose picture only a part was kept while the sound was replaced.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media.container import reading, require_video
from media.decode import ToRgb, resampled, timed_frames, video_origin
from media.isolate import stream_isolated
from media.limits import DecodeBudget
from media.probe import MediaInfo, read_info
from media.sound import read_sound
from problems import NoSound, UnreadableMedia

VERSION = 1
"""Of the prints; those of another version are made anew."""
LONGEST_S = 900.0
"""Seconds of a file that are looked at."""

_FPS = 25.0
_GRID = 8
_SIDE = 96
_STEP = 2  # frames at 25 fps between two readings of the picture
_RATE = 16000
_WINDOW = 4096  # samples of a reading of the sound: 0.256 s
_HOP = 512  # samples between two readings: 0.032 s
_BANDS = 33
_LEVELS = 8.0  # steps of a stored change of brightness per grey level
_QUIET = 1e-4  # root mean square under which there is no sound but that of a codec


@dataclass(frozen=True)
class Take:
    """What a file is recognised by."""

    picture: NDArray[np.int8]
    """(T, 8, 8) changes of brightness at 12.5 a second, in eighths of a grey level; empty without a picture."""
    sound: NDArray[np.int8]
    """(N, 32) signs at 31.25 a second, 0 where it is silent; empty without sound."""

    def packed(self) -> bytes:
        """As bytes to be kept: about 1 kB a second."""
        bits = np.packbits(self.sound > 0, axis=1)
        stream = io.BytesIO()
        silent = (self.sound == 0).all(1) if len(self.sound) else np.zeros(0, bool)
        np.savez(stream, picture=self.picture, bits=bits, silent=silent)
        return zlib.compress(stream.getvalue(), 6)

    @classmethod
    def unpacked(cls, data: bytes) -> Take:
        """The inverse of :meth:`packed`."""
        with np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False) as parts:
            bits = np.unpackbits(parts["bits"], axis=1)[:, : _BANDS - 1].astype(np.int8) * 2 - 1
            bits[parts["silent"]] = 0
            return cls(parts["picture"], bits)


@dataclass(frozen=True)
class Shared:
    """How much of one file is in another."""

    picture_s: float
    """Seconds of the first file whose picture is in the second, in the same order."""
    sound_s: float
    """Seconds of the first file whose sound is in the second, in the same order."""
    picture_of_s: float
    """Seconds of the first file in which the picture moves."""
    sound_of_s: float
    """Seconds of the first file in which something is heard."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Which of ``picture`` and ``sound`` are the same take in both."""
        found = (
            ("picture", self.picture_s, self.picture_of_s, _PICTURE),
            ("sound", self.sound_s, self.sound_of_s, _SOUND),
        )
        return tuple(
            name
            for name, shared, there, how in found
            if shared and (shared >= how.enough_s or shared >= 0.5 * there)
        )


@dataclass(frozen=True)
class _How:
    """How one track is searched."""

    rate: float
    """Readings a second."""
    window_s: float
    """Seconds that are looked for at a time."""
    hop_s: float
    """Seconds between two of them."""
    least: float
    """Correlation from which a window is found."""
    enough_s: float
    """Seconds found from which the take is the same: two windows beside each other."""


_PICTURE = _How(rate=_FPS / _STEP, window_s=4.0, hop_s=1.0, least=0.45, enough_s=4.9)
_SOUND = _How(rate=_RATE / _HOP, window_s=3.0, hop_s=1.0, least=0.3, enough_s=3.9)


def read_take(path: Path, *, budget: DecodeBudget | None = None) -> Take:
    """Read what a file is recognised by, in a limited child process; its first 15 minutes.

    Args:
        path: any sound or video file.
        budget: what the decoder may cost.

    Raises:
        NotFound, UnreadableMedia, DecodeTimeout, MediaTooLarge: the file can't be read.
    """
    [item] = stream_isolated(look, str(Path(path).absolute()), budget=budget or DecodeBudget())
    return Take(item["picture"].view(np.int8), item["sound"].view(np.int8))


def look(path: str) -> Iterator[dict[str, NDArray[np.uint8]]]:
    """:func:`read_take`'s child side."""
    info, file = MediaInfo.from_dict(read_info(path)), Path(path)
    picture = picture_print(_grids(file)) if info.video is not None else np.zeros((0, _GRID, _GRID), np.int8)
    sound = np.zeros((0, _BANDS - 1), np.int8)
    if info.audio is not None:
        try:
            sound = sound_print(read_sound(file, rate=_RATE, stop_s=LONGEST_S))
        except NoSound:
            pass
        except UnreadableMedia:
            if info.video is None:
                raise
    yield {"picture": picture.view(np.uint8), "sound": sound.view(np.uint8)}  # bytes pass between processes


def _grids(clip: Path) -> Iterator[NDArray[np.float32]]:
    """(8, 8) mean brightness of each frame at 25 fps."""
    video_origin(clip)
    with reading(clip) as container, ToRgb(_SIDE, fast=True) as small:
        stream = require_video(container, clip.name)
        stop = round(LONGEST_S * _FPS)
        for _, frame in resampled(timed_frames(container, stream, 0.0), _FPS, 0, stop):
            grey = small(frame, stream).mean(-1)
            rows = np.array_split(grey, _GRID, axis=0)
            yield np.array(
                [[cell.mean() for cell in np.array_split(row, _GRID, axis=1)] for row in rows], np.float32
            )


def picture_print(grids: Iterator[NDArray[np.float32]]) -> NDArray[np.int8]:
    """(8, 8) grids at 25 fps -> (T, 8, 8) how they change, at 12.5 a second."""
    means = list(grids)
    if len(means) < 8:
        return np.zeros((0, _GRID, _GRID), np.int8)
    run = np.cumsum(np.concatenate([np.zeros((1, _GRID, _GRID), np.float32), np.stack(means)]), axis=0)
    steady = (run[3:] - run[:-3]) / 3  # a frame more or less must not matter
    change = steady[3:] - steady[:-3]
    return np.clip(np.round(change[::_STEP] * _LEVELS), -127, 127).astype(np.int8)


def sound_print(pieces: Iterator[NDArray[np.float32]]) -> NDArray[np.int8]:
    """(n, 1) pieces of sound at 16 kHz -> (N, 32) signs."""
    edges = np.geomspace(300, 3400, _BANDS + 1) * _WINDOW / _RATE
    bins = np.arange(_WINDOW // 2 + 1)
    banks = np.stack([(bins >= low) & (bins < high) for low, high in pairwise(edges)])
    window = np.hanning(_WINDOW).astype(np.float32)
    levels, loud = [], []
    rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate([rest, piece[:, 0]])
        count = (len(rest) - _WINDOW) // _HOP + 1
        if count <= 0:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(rest, _WINDOW)[: count * _HOP : _HOP]
        power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
        levels.append(np.log(power @ banks.T.astype(np.float64) + 1e-12))
        loud.append(np.sqrt((frames**2).mean(1)) > _QUIET)
        rest = rest[count * _HOP :]
    if not levels:
        return np.zeros((0, _BANDS - 1), np.int8)
    level, heard = np.concatenate(levels), np.concatenate(loud)
    between = np.diff(level, axis=1)
    signs = np.where(np.diff(between, axis=0) > 0, 1, -1).astype(np.int8)
    signs[~(heard[1:] & heard[:-1])] = 0
    return signs


def compare(one: Take, other: Take) -> Shared:
    """How much of ``one`` is in ``other``."""
    mirrored = other.picture[:, :, ::-1]
    picture = max(_found(_flat(one.picture), _flat(each), _PICTURE) for each in (other.picture, mirrored))
    sound = _found(one.sound.astype(np.float32), other.sound.astype(np.float32), _SOUND)
    return Shared(picture[0], sound[0], picture[1], sound[1])


def _flat(picture: NDArray[np.int8]) -> NDArray[np.float32]:
    # A sudden change of all (a cut, an exposure) must not drown what moves: large values count by their root.
    values = picture.reshape(len(picture), _GRID * _GRID).astype(np.float32)
    return np.asarray(np.sign(values) * np.sqrt(np.abs(values)), np.float32)


def _found(one: NDArray[np.float32], other: NDArray[np.float32], how: _How) -> tuple[float, float]:
    """Seconds of ``one`` that are in ``other`` in the same order, and seconds of it that say anything."""
    width = min(round(how.window_s * how.rate), len(one), len(other))
    if width < how.rate:
        return 0.0, len(one) / how.rate
    hop = max(1, round(how.hop_s * how.rate))
    energy = (one**2).sum(1)
    telling = energy > _least_energy(one)
    places: list[tuple[int, int]] = []
    search = _Search(other, width)
    for begin in range(0, len(one) - width + 1, hop):
        part = slice(begin, begin + width)
        if telling[part].mean() < 0.4:
            continue
        score, at = search.best(one[part])
        if score >= how.least:
            places.append((begin, at))
    return _in_order(places, width, how.rate), float(telling.sum()) / how.rate


def _least_energy(one: NDArray[np.float32]) -> float:
    """What a reading must hold to tell anything: of sound anything at all, of a picture more than a codec's noise."""
    return 0.5 if one.shape[1] == _BANDS - 1 else 16.0


def _in_order(places: list[tuple[int, int]], width: int, rate: float) -> float:
    """Seconds covered by those windows that lie at the same shift."""
    most = 0.0
    for begin, at in places:
        shift = at - begin
        same = sorted(start for start, where in places if abs(where - start - shift) <= 2)
        covered, end = 0, 0
        for start in same:
            covered += start + width - max(start, end)
            end = start + width
        most = max(most, covered / rate)
    return most


class _Search:
    """Finds where in a file a part lies."""

    def __init__(self, other: NDArray[np.float32], width: int) -> None:
        self._length = len(other)
        self._size = 1 << (len(other) + width - 1).bit_length()
        self._spectrum = np.conj(np.fft.rfft(other, self._size, axis=0))
        run = np.concatenate([[0.0], np.cumsum((other.astype(np.float64) ** 2).sum(1))])
        self._energy = run[width:] - run[:-width]

    def best(self, part: NDArray[np.float32]) -> tuple[float, int]:
        """The highest correlation, -1..1, and where."""
        product = (np.fft.rfft(part, self._size, axis=0) * self._spectrum).sum(1)
        scores = np.fft.irfft(np.conj(product), self._size)[: len(self._energy)]
        own = float((part.astype(np.float64) ** 2).sum())
        # Where the other is (nearly) still a chance correlation would be huge.
        scores = scores / np.sqrt(np.maximum(self._energy, 0.25 * own) * own + 1e-9)
        at = int(np.argmax(scores))
        return float(scores[at]), at
