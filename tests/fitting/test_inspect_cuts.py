"""Cuts and what only looks like them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fitting.inspect import InspectConfig, find_cuts
from media.limits import ClipLimits
from media.survey import Survey, survey_clip
from studio.cut_detection import WITH, WITHOUT, Clip

CONFIG = InspectConfig()


def _scene(seed: int, frames: int = 100, speed: float = 0.0) -> Clip:
    """A textured place with somebody before it who sways; with ``speed`` an arm of a third of the picture's width
    sweeps through it, px a frame."""
    generator = np.random.default_rng(seed)
    place = cv2.resize(generator.integers(20, 235, (12, 18)).astype(np.float32), (96, 64))
    face = cv2.resize(generator.integers(40, 220, (7, 5)).astype(np.float32), (26, 36))
    arm = cv2.resize(generator.integers(60, 250, (3, 4)).astype(np.float32), (32, 14))
    out = []
    for index in range(frames):
        picture = place.copy()
        x = 34 + round(4 * np.sin(index / 9))
        picture[18:54, x : x + 26] = face
        if speed:
            left = round((index * speed) % 192) - 32
            low, high = max(0, left), min(96, left + 32)
            if high > low:
                picture[44:58, low:high] = arm[:, low - left : high - left]
        out.append(picture + generator.normal(0, 1.5, picture.shape))
    return np.clip(np.stack(out), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", list(WITHOUT))
def test_what_is_no_cut(name: str) -> None:
    assert find_cuts(WITHOUT[name](_scene(0)), CONFIG) == ()


@pytest.mark.parametrize("speed", [6.0, 15.0, 31.0])
@pytest.mark.parametrize(
    "change", [lambda clip: clip, WITHOUT["15 frames a second"], WITHOUT["5 frames a second"]]
)
def test_a_fast_arm_is_no_cut(speed: float, change: Callable[[Clip], Clip]) -> None:
    assert find_cuts(change(_scene(3, speed=speed)), CONFIG) == ()


@pytest.mark.parametrize("name", list(WITH))
@pytest.mark.parametrize("seeds", [(0, 1), (2, 5)])
def test_what_is_a_cut(name: str, seeds: tuple[int, int]) -> None:
    glued, at = WITH[name](*(_scene(seed) for seed in seeds))
    found = find_cuts(glued, CONFIG)
    assert len(found) == 1
    assert abs(found[0] - at) <= (13 if "dissolve" in name or "fade" in name else 5)


def test_every_cut_of_several_is_found_at_its_frame() -> None:
    shots = [_scene(seed, 30) for seed in range(4)]
    assert find_cuts(np.concatenate(shots), CONFIG) == (30, 60, 90)


def test_a_glitch_is_no_cut() -> None:
    clip, other = _scene(0).copy(), _scene(1)
    clip[50:52] = other[50:52]
    assert find_cuts(clip, CONFIG) == ()


def _thumbnails(path: Path) -> NDArray[np.uint8]:
    *_, survey = survey_clip(path, limits=ClipLimits(), samples=1, max_side=320)
    assert isinstance(survey, Survey)
    return survey.thumbnails


@pytest.mark.slow
def test_real_clips_have_none_and_their_seams_are_found(shared_clips: Path, sample_clip: Path) -> None:
    clips = [_thumbnails(path) for path in [*sorted(shared_clips.glob("*.mp4")), sample_clip]]
    for clip in clips:
        assert find_cuts(clip, CONFIG) == ()
    for one, other in zip(clips, [*clips[1:], clips[0]], strict=True):
        glued, at = WITH["a cut"](one, other)
        assert find_cuts(glued, CONFIG) == (at,)
