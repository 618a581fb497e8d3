"""Cuts: places where a clip's picture is replaced by another one.

What moves within a picture, however fast, leaves most of its structure there: somewhere near, each patch of the one
frame is found in the other. A gesture, a pan, a zoom, a change of light or a low frame rate does so; a cut leaves
nothing. That is measured on thumbnails by normalised cross-correlation, which does not see brightness. A flash or a
broken frame is no cut, because what was before it comes back; a dissolve is one, because its middle is the mixture of
two pictures that share nothing. A jump of the same person before the same background is none: the likeness is learned
from both sides of it alike.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from fitting.inspect.config import InspectConfig

Picture = NDArray[np.float32]

_PATCH, _REACH = 16, 8
"""Side of a patch and how far it is looked for in each direction, thumbnail px."""
_FOUND = (0.6, 0.9)
"""Correlation from which a patch begins to count as found, and from which it is."""
_FURTHEST = 0.3
"""Largest shift of a whole picture from one frame to the next, in parts of its longest side."""
_FLAT, _FULL = 3.0, 25.0
"""Contrast (standard deviation, grey levels) under which a patch or a picture tells nothing, and from which it has its
full weight."""
_REPEATED = 0.15
"""Mean change, grey levels, under which a frame repeats the one before: clips of few frames a second are judged by the
frames that they have."""
_LEAST_CHANGE, _LEAST_SHARE = 2.0, 0.08
"""Mean change, grey levels and in parts of the picture's contrast, under which nothing is looked at closely."""
_MOST_LOOKED_AT = 250
_BEFORE, _AFTER = (1, 2, 3, 4), (0, 1, 2, 3)
"""Frames before and after a change that are compared: one pair that shares its structure, and it is no cut. Three bad
frames in a row are a flash or a glitch, on their way in and out."""
_DISSOLVES = (13, 25, 38)
"""Frames over which pictures may be mixed."""
_MIXED = 0.3
"""What is left of the middle of a dissolve, in parts of its contrast, when both pictures are taken out."""


def find_cuts(thumbnails: NDArray[np.uint8], config: InspectConfig) -> tuple[int, ...]:
    """First frames after a cut, and the middles of dissolves.

    Args:
        thumbnails: (T, h, w) grey, longest side about 96 px, 25 frames a second.
        config: thresholds.
    """
    pictures = thumbnails.astype(np.float32)
    shown = _telling(pictures)
    if len(shown) < 2:
        return ()
    sequence = [pictures[index] for index in shown]
    contrast = float(np.median([picture.std() for picture in sequence]))
    # At one contrast: the two halves of a fade meet in the dark.
    even = [(picture - picture.mean()) * (contrast / picture.std()) for picture in sequence]
    changes = np.array([np.abs(b - a).mean() for a, b in pairwise(even)])
    level = max(_LEAST_CHANGE, _LEAST_SHARE * contrast)
    candidates = np.flatnonzero(changes >= level) + 1
    candidates = np.sort(candidates[np.argsort(-changes[candidates - 1], kind="stable")][:_MOST_LOOKED_AT])
    cuts: list[int] = []
    last = 0
    for k in candidates:
        # Frames on the other side of a cut that was found tell nothing about this one.
        before = [sequence[k - back] for back in _BEFORE if k - back >= last]
        after = [sequence[k + on] for on in _AFTER if k + on < len(sequence)]
        if all(shared_structure(a, b) < config.cut_structure for a in before for b in after):
            cuts.append(shown[k])
            last = k
    return tuple(sorted({*cuts, *_dissolves(pictures, cuts, level, config)}))


def shared_structure(one: Picture, other: Picture) -> float:
    """(h, w), (h, w) -> how much of the one picture's structure is found in the other, 0..1, the better way round, with
    or without a shift of the whole picture; 1 where there is none."""
    found = _found(one, other)
    window = cv2.createHanningWindow(one.shape[::-1], cv2.CV_32F)
    shift, _ = cv2.phaseCorrelate(
        one.copy(), other.copy(), window
    )  # it writes the window into what it is given
    if _REACH / 2 < max(map(abs, shift)) < _FURTHEST * max(one.shape):
        found = max(found, _found(one, _shifted(other, shift)))
    return found


def _found(one: Picture, other: Picture) -> float:
    return max(_kept(one, other), _kept(other, one))


def _kept(one: Picture, other: Picture) -> float:
    """The share of ``one``'s patches, by contrast, that are found in ``other``."""
    height, width = one.shape
    size = min(_PATCH, height, width)
    around = cv2.copyMakeBorder(other, _REACH, _REACH, _REACH, _REACH, cv2.BORDER_REPLICATE)
    low, high = _FOUND
    whole = kept = 0.0
    for y in range(0, height - size + 1, size // 2):
        for x in range(0, width - size + 1, size // 2):
            patch = one[y : y + size, x : x + size]
            contrast = float(patch.std())
            if contrast < _FLAT:
                continue
            place = around[y : y + size + 2 * _REACH, x : x + size + 2 * _REACH]
            best = float(cv2.matchTemplate(place, patch, cv2.TM_CCOEFF_NORMED).max())
            weight = min(contrast, _FULL)
            whole += weight
            kept += weight * min(max((best - low) / (high - low), 0.0), 1.0)
    return kept / whole if whole else 1.0


def _shifted(picture: Picture, shift: tuple[float, float]) -> Picture:
    """The picture moved back by what phase correlation found."""
    matrix = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]]], np.float32)
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _telling(pictures: Picture) -> list[int]:
    """Frames that neither repeat the one before nor are black, white or otherwise empty."""
    shown: list[int] = []
    for index, picture in enumerate(pictures):
        if picture.std() < _FLAT:
            continue
        if not shown or float(np.abs(picture - pictures[shown[-1]]).mean()) > _REPEATED:
            shown.append(index)
    return shown


def _dissolves(pictures: Picture, cuts: list[int], level: float, config: InspectConfig) -> list[int]:
    """Middles of slow changes from one picture to another."""
    found: list[int] = []
    for length in _DISSOLVES:
        for start in range(0, len(pictures) - length, 3):
            end, middle = start + length, start + length // 2
            if any(start - 3 <= cut <= end + 3 for cut in cuts):
                continue
            if any(abs(middle - other) <= _DISSOLVES[-1] for other in found):
                continue
            first, last = pictures[start], pictures[end]
            if float(np.abs(last - first).mean()) < 2 * level or not _is_mixture(
                pictures[middle], first, last
            ):
                continue
            # The new picture has to stay, as after a cut.
            after = [pictures[k] for k in (end, end + 3, end + 6) if k < len(pictures)]
            before = [pictures[k] for k in (start, start - 3) if k >= 0]
            if all(shared_structure(a, b) < config.cut_structure for a in before for b in after):
                found.append(middle)
    return found


def _is_mixture(middle: Picture, first: Picture, last: Picture) -> bool:
    """Whether a picture is both others laid over each other."""
    contrast = float(middle.std())
    if contrast < _FLAT:
        return False
    design = np.stack([first.ravel(), last.ravel(), np.ones(first.size, np.float32)], 1)
    factors, *_ = np.linalg.lstsq(design, middle.ravel(), rcond=None)
    left = float((middle.ravel() - design @ factors).std())
    return bool(min(factors[:2]) > 0.15 and left < _MIXED * contrast)
