"""``python -m studio.cut_detection CLIP ...``: how well cuts are told from what only looks like them, as a table.

Each clip is taken as one without a cut; each pair of clips, glued together, as one with a cut, so no two of them may
show the same person in the same place. Everything that is put on top is made on the thumbnails that are judged.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fitting.inspect import InspectConfig
from fitting.inspect.cuts import find_cuts
from media.limits import ClipLimits
from media.survey import Survey, survey_clip

Clip = NDArray[np.uint8]
"""(T, h, w) grey thumbnails, 25 a second."""
_PART = 75
"""Frames on each side of a cut."""


def thumbnails_of(path: Path) -> Clip:
    """A clip as inspection sees it."""
    for item in survey_clip(path, limits=ClipLimits(), samples=1, max_side=320):
        if isinstance(item, Survey):
            return item.thumbnails
    raise AssertionError("a survey ends with its figures")


def slowed(clip: Clip, every: int) -> Clip:
    """Only each n-th frame, held."""
    return np.repeat(clip[::every], every, axis=0)[: len(clip)]


def flashed(clip: Clip, frames: int = 2) -> Clip:
    """White for some frames in the middle."""
    out, middle = clip.copy(), len(clip) // 2
    out[middle : middle + frames] = np.clip(out[middle : middle + frames].astype(int) + 150, 0, 255)
    return out


def light_off(clip: Clip) -> Clip:
    """A third of the light from the middle on."""
    out, middle = clip.copy(), len(clip) // 2
    out[middle:] = (out[middle:] * 0.35).astype(np.uint8)
    return out


def zoomed(clip: Clip, over: int, factor: float = 1.6) -> Clip:
    """Zoomed in over so many frames, from the middle on; over 1 frame: an editor's jump to a closer view."""
    begin = len(clip) // 2
    grown = 1 + (factor - 1) * np.clip((np.arange(len(clip)) - begin + 1) / over, 0, 1)
    return np.stack([_view(picture, scale, 0.0) for picture, scale in zip(clip, grown, strict=True)])


def panned(clip: Clip, per_frame: float) -> Clip:
    """A closer view that moves to the right and back by so many thumbnail px a frame."""
    reach = 0.2 * clip.shape[2]
    place = np.abs((np.arange(len(clip)) * per_frame) % (4 * reach) - 2 * reach) - reach
    return np.stack([_view(picture, 1.7, x) for picture, x in zip(clip, place, strict=True)])


def joined(one: Clip, other: Clip, mixed: int = 0) -> tuple[Clip, int]:
    """The middles of two clips, and the frame of the change; with ``mixed`` a dissolve of so many frames."""
    size = one.shape[2], one.shape[1]
    first = _middle(one, _PART + mixed)
    second = np.stack([cv2.resize(picture, size) for picture in _middle(other, _PART + mixed)])
    if not mixed:
        return np.concatenate([first, second]).astype(np.uint8), len(first)
    share = (np.arange(mixed) + 1)[:, None, None] / (mixed + 1)
    seam = first[-mixed:] * (1 - share) + second[:mixed] * share
    return np.concatenate([first[:-mixed], seam, second[mixed:]]).astype(np.uint8), len(first) - mixed // 2


def faded(one: Clip, other: Clip, frames: int = 12) -> tuple[Clip, int]:
    """Through black."""
    glued, at = joined(one, other)
    share = np.clip(np.abs(np.arange(len(glued)) - at + 0.5) / frames, 0, 1)[:, None, None]
    return (glued * share).astype(np.uint8), at


def _view(picture: NDArray[np.uint8], scale: float, x: float) -> NDArray[np.uint8]:
    height, width = picture.shape
    matrix = np.array([[scale, 0, (1 - scale) * width / 2 - x], [0, scale, (1 - scale) * height / 2]])
    return np.asarray(
        cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def _middle(clip: Clip, frames: int) -> NDArray[np.float32]:
    start = max(0, (len(clip) - frames) // 2)
    part = clip[start : start + frames].astype(np.float32)
    return np.concatenate([part, np.repeat(part[-1:], frames - len(part), 0)])


WITHOUT: dict[str, Callable[[Clip], Clip]] = {
    "as it is": lambda clip: clip,
    "15 frames a second": lambda clip: slowed(clip, 2),
    "8 frames a second": lambda clip: slowed(clip, 3),
    "5 frames a second": lambda clip: slowed(clip, 5),
    "a flash of 2 frames": flashed,
    "the light goes down": light_off,
    "a zoom of 12 frames": lambda clip: zoomed(clip, 12),
    "a zoom of 5 frames": lambda clip: zoomed(clip, 5),
    "a camera that pans slowly": lambda clip: panned(clip, 1.0),
    "a camera that pans fast": lambda clip: panned(clip, 4.0),
}
WITH: dict[str, Callable[[Clip, Clip], tuple[Clip, int]]] = {
    "a cut": joined,
    "a cut at 15 frames a second": lambda one, other: _slow(joined(one, other), 2),
    "a cut at 5 frames a second": lambda one, other: _slow(joined(one, other), 5),
    "a dissolve of 8 frames": lambda one, other: joined(one, other, 8),
    "a dissolve of 20 frames": lambda one, other: joined(one, other, 20),
    "a fade through black": faded,
}


def _slow(glued: tuple[Clip, int], every: int) -> tuple[Clip, int]:
    return slowed(glued[0], every), glued[1]


def measure(clips: dict[str, Clip]) -> Iterator[tuple[str, int, int, int]]:
    """(what, tries, cuts found where there is one, cuts found where there is none)."""
    config = InspectConfig()
    for name, change in WITHOUT.items():
        yield name, len(clips), 0, sum(len(find_cuts(change(clip), config)) for clip in clips.values())
    for name, glue in WITH.items():
        found = wrong = tries = 0
        for one, other in permutations(clips.values(), 2):
            glued, at = glue(one, other)
            near = [abs(cut - at) <= 13 for cut in find_cuts(glued, config)]
            tries, found, wrong = tries + 1, found + any(near), wrong + len(near) - any(near)
        yield name, tries, found, wrong


def main(paths: list[str]) -> None:
    """Print the table in markdown."""
    clips = {path: thumbnails_of(Path(path)) for path in paths}
    print("| clip | tries | cuts found | wrong |\n|---|---:|---:|---:|")
    there = found = wrong = 0
    for name, tries, hits, misses in measure(clips):
        print(f"| {name} | {tries} | {hits if name in WITH else ''} | {misses} |", flush=True)
        there, found, wrong = there + tries * (name in WITH), found + hits, wrong + misses
    print(f"\nrecall {found / max(1, there):.3f}, precision {found / max(1, found + wrong):.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
