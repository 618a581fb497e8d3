"""Where a frame was cut out of a marked one: the place at which the waves fit together."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.spread import fit_of
from provenance.waves import BLUR, CELLS, POWER, SAMPLES, SIDE, WAVES, Plane, plane_of, sines_of

Part = tuple[float, float, float, float]
"""Left, top, width and height in sides of the marked frame, 0..1."""
Span = tuple[float, float]
"""Where a part begins and ends along one side of the marked frame, samples of its plane: 0..128."""


class Croppings:
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
            self._kept.append(plane_of(grey))
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
                fits = np.max([fit_of(each) for each in (*sines, np.sum(sines, axis=0))], axis=0)
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
        fits = np.max([fit_of(each) for each in (sines[0], np.sum(sines, axis=0))], axis=0)
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
    return sines_of(heights / POWER).transpose(0, 2, 4, 1, 3)


def _waves_of_parts(spans: list[Span], halves: int) -> Plane:
    """(S * 16, 128): each cell's wave on the samples of a plane that is that part of a marked one."""
    begin, end = np.array(spans).T[..., None, None]
    cell = SAMPLES * np.arange(CELLS)[:, None]
    size = (end - begin) / SIDE  # of a sample of this plane, in those of the marked one
    at = (begin + size * (np.arange(SIDE) + 0.5) - cell) / SAMPLES  # (S, 16, 128): where in the cell, 0..1
    inside = (begin <= cell) & (cell + SAMPLES <= end) & (at > 0) & (at < 1)
    waves = np.where(inside, size * np.sin(halves * np.pi * at), 0)
    return waves.reshape(-1, SIDE).astype(np.float32)
