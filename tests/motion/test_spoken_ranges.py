"""Where sound is missing, and where lips and voice part."""

from __future__ import annotations

import numpy as np
import pytest

from motion.features import ACTIVITY, DIMENSION, VOICING
from motion.shift import shifted
from motion.sound_ranges import Hole, find_holes, heard_frames
from motion.spoken_ranges import find_ranges

FRAMES = 300
Array = np.ndarray


def hiss(seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.02, FRAMES * 640).astype(np.float32)


def without(samples: Array, first: int, last: int) -> Array:
    samples = samples.copy()
    samples[first * 640 : last * 640] = 0
    return samples


def voice(*silent: tuple[int, int]) -> Array:
    """Features of somebody who speaks but in some frames."""
    features = np.zeros((FRAMES, DIMENSION), np.float32)
    features[:, [ACTIVITY, VOICING]] = 1
    for first, last in silent:
        features[first:last, [ACTIVITY, VOICING]] = 0
    return features


def lips(*still: tuple[int, int]) -> Array:
    """A mouth that goes up and down but in some frames."""
    height = 0.3 + 0.06 * np.sin(np.arange(FRAMES) / 2)
    for first, last in still:
        height[first:last] = 0.26
    return np.stack([height, np.full(FRAMES, 0.5)], 1)


@pytest.mark.parametrize(
    ("first", "last", "place"), [(0, 50, "start"), (100, 300, "end"), (120, 150, "middle")]
)
def test_a_hole_is_found_where_it_is(first: int, last: int, place: str) -> None:
    samples = without(hiss(), first, last)
    [hole] = find_holes(samples, FRAMES)
    assert (hole.first, hole.last, hole.place) == (first, last, place)
    assert hole.seconds == (last - first) / 25
    heard = heard_frames(samples, FRAMES)
    assert not heard[first:last].any()
    assert heard.sum() == FRAMES - (last - first)


def test_short_gaps_and_quiet_sound_are_no_holes() -> None:
    assert find_holes(without(hiss(), 100, 110), FRAMES) == []
    assert find_holes(hiss() / 10, FRAMES) == []
    assert find_holes(np.zeros(0, np.float32), FRAMES) == [Hole(0, FRAMES, "start")]


def test_a_sound_shorter_than_the_picture_ends_early() -> None:
    [hole] = find_holes(hiss()[: 100 * 640], FRAMES)
    assert (hole.first, hole.last, hole.place) == (100, FRAMES, "end")


def test_a_drop_out_is_a_hole_only_while_the_lips_speak() -> None:
    samples, features = without(hiss(), 100, 140), voice((100, 140))
    speaks = find_ranges(samples, features, lips())
    assert [(hole.first, hole.last) for hole in speaks.holes] == [(100, 140)]
    assert not speaks.learnable(FRAMES)[100:140].any()
    gated = find_ranges(samples, features, lips((95, 145)))
    assert gated.holes == ()
    assert gated.learnable(FRAMES).all()


def test_a_hole_under_a_mouth_that_nobody_saw_is_not_learnt_from() -> None:
    samples, features = without(hiss(), 100, 140), voice((100, 140))
    assert len(find_ranges(samples, features, np.full((FRAMES, 2), np.nan)).holes) == 1


def test_lips_without_a_voice_and_a_voice_without_lips() -> None:
    unheard = find_ranges(hiss(), voice((100, 200)), lips())
    [(first, last)] = unheard.unvoiced
    assert first == pytest.approx(112, abs=13)
    assert last == pytest.approx(187, abs=13)
    assert unheard.unmoved == ()
    other = find_ranges(hiss(), voice(), lips((50, 180)))
    [(first, last)] = other.unmoved
    assert first == pytest.approx(62, abs=13)
    assert last == pytest.approx(167, abs=13)
    assert other.unvoiced == ()
    pause = find_ranges(hiss(), voice((100, 200)), lips((100, 200)))
    assert (pause.unvoiced, pause.unmoved) == ((), ())


def test_every_second_frame_gives_the_same_ranges() -> None:
    half = lips((50, 180))
    half[1::2] = np.nan
    assert len(find_ranges(hiss(), voice(), half).unmoved) == 1


def test_a_shift_moves_and_fills_with_silence() -> None:
    samples = hiss()
    assert np.array_equal(shifted(samples, 400)[:-6400], samples[6400:])
    assert not shifted(samples, 400)[-6400:].any()
    assert np.array_equal(shifted(samples, -1000)[16000:], samples[:-16000])
    assert not shifted(samples, -1000)[:16000].any()
    assert shifted(samples, 0) is samples
    assert not shifted(samples, 60000).any()
