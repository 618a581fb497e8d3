"""A motion at other frame rates."""

from __future__ import annotations

import numpy as np
import pytest

from faces.track import Motion
from motion.rate import at_rate


def some_motion(frames: int, seed: int = 0) -> Motion:
    """Smooth curves, as heads and mouths make them."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / 25
    waves = [np.sin(2 * np.pi * rng.uniform(0.3, 2.0, n) * t + rng.uniform(0, 6, n)) for n in (3, 3, 5, 2)]
    return Motion(0.2 * waves[0], 700 + 10 * waves[1], 0.5 + 0.4 * waves[2], 0.1 * waves[3])


def in_chunks(motion: Motion, sources: np.ndarray, size: int) -> list[tuple[Motion, np.ndarray]]:
    return [(motion[k : k + size], sources[k : k + size]) for k in range(0, len(motion), size)]


def joined(chunks: list[tuple[Motion, np.ndarray]]) -> tuple[Motion, np.ndarray]:
    return Motion.concatenate([m for m, _ in chunks]), np.concatenate([s for _, s in chunks])


@pytest.mark.parametrize("fps", [10.0, 24.0, 25.0, 29.97, 30.0, 50.0, 60.0])
@pytest.mark.parametrize("size", [1, 7, 250])
def test_pieces_equal_the_whole_and_the_length_is_kept(fps: float, size: int) -> None:
    motion, sources = some_motion(110), np.arange(110)
    whole, shown = joined(list(at_rate([(motion, sources)], fps)))
    pieces, also = joined(list(at_rate(in_chunks(motion, sources, size), fps)))
    assert len(whole) == len(shown) == int(np.ceil(110 * fps / 25 - 1e-6))
    for name in ("rotation", "translation", "expression", "gaze"):
        assert np.allclose(getattr(whole, name), getattr(pieces, name), atol=1e-4)
    assert np.array_equal(shown, also)
    # The source frame shown is the one whose time is nearest.
    assert np.abs(shown - np.arange(len(shown)) * 25 / fps).max() <= (1.0 if fps > 25 else 0.5) + 1e-6


def test_the_clocks_frames_stay_where_they_are() -> None:
    motion = some_motion(60)
    twice, _ = joined(list(at_rate([(motion, np.arange(60))], 50.0)))
    for name in ("rotation", "translation", "expression", "gaze"):
        assert np.allclose(getattr(twice, name)[::2], getattr(motion, name), atol=1e-4)


def test_between_frames_it_is_where_the_curve_is() -> None:
    fine = some_motion(400)
    coarse = fine[::4]  # the same curves, four times as fast
    again, _ = joined(list(at_rate([(coarse, np.arange(100))], 100.0)))
    error = np.abs(again.expression[8:-8] - fine.expression[8 : len(again) - 8]).max()
    straight = np.stack(
        [np.interp(np.arange(400) / 4, np.arange(100), coarse.expression[:, e]) for e in range(5)], 1
    )
    assert error < 0.5 * np.abs(straight[8:-8] - fine.expression[8:-8]).max()


def test_a_mouth_shut_for_one_frame_is_shut() -> None:
    """29.97 fps hits no frame of the clock's twice in a second; the closure must not be averaged away."""
    motion = some_motion(50)
    opening = np.full((50, 5), 0.5, np.float32)
    opening[20] = 0.0
    motion = Motion(motion.rotation, motion.translation, opening, motion.gaze)
    shown, _ = joined(list(at_rate([(motion, np.arange(50))], 30.0)))
    assert shown.expression[:, 0].min() < 0.02
    assert shown.expression.min() >= 0


def test_nothing_gives_nothing() -> None:
    assert list(at_rate([], 30.0)) == []
