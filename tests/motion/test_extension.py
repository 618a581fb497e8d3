"""What comes after a motion's last frame."""

from __future__ import annotations

import numpy as np
import pytest

from motion.extension import EXTENSIONS, SEAM, Extension, extended, extension_named, followed, ping_pong
from problems import InvalidParameter

LENGTH = 40
MOTION = np.stack([np.linspace(0, 1, LENGTH), np.sin(np.arange(LENGTH) / 5)], axis=1).astype(np.float32)


def test_ping_pong() -> None:
    assert ping_pong(np.arange(8), 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert ping_pong(np.arange(3), 1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("how", EXTENSIONS)
def test_the_motion_itself_comes_first_and_pieces_equal_the_whole(how: Extension) -> None:
    whole = extended(MOTION, 0, 150, how)
    assert np.array_equal(whole[:LENGTH], MOTION)
    pieces = [extended(MOTION, start, min(23, 150 - start), how) for start in range(0, 150, 23)]
    assert np.array_equal(np.concatenate(pieces), whole)
    assert whole.dtype == np.float32


def test_each_goes_on_in_its_own_way() -> None:
    bounce, loop, hold = (extended(MOTION, 0, 3 * LENGTH, how) for how in EXTENSIONS)
    assert np.array_equal(bounce[LENGTH : LENGTH + 5], MOTION[-2:-7:-1])
    assert np.array_equal(loop[LENGTH + SEAM : 2 * LENGTH], MOTION[SEAM:])
    assert np.array_equal(hold[LENGTH:], np.repeat(MOTION[-1:], 2 * LENGTH, axis=0))


@pytest.mark.parametrize("how", EXTENSIONS)
def test_nothing_jumps(how: Extension) -> None:
    # The ramp falls from 1 to 0 within the seam; without one it would in a single frame.
    steps = np.abs(np.diff(extended(MOTION, 0, 5 * LENGTH, how), axis=0)).max()
    assert steps < 0.25


@pytest.mark.parametrize("how", EXTENSIONS)
def test_a_single_frame_can_be_extended(how: Extension) -> None:
    assert np.array_equal(extended(MOTION[:1], 0, 30, how), np.repeat(MOTION[:1], 30, axis=0))


def test_only_a_held_motion_stops_leading() -> None:
    assert followed(0, 100, LENGTH, "loop").min() == 1
    led = followed(0, 100, LENGTH, "hold")[:, 0]
    assert led[:LENGTH].min() == 1
    assert led[LENGTH - 1 + SEAM :].max() == 0
    assert np.all(np.diff(led) <= 0)


def test_names() -> None:
    assert extension_named("loop") == "loop"
    with pytest.raises(InvalidParameter, match="rewind") as caught:
        extension_named("rewind")
    assert caught.value.details["field"] == "length_mismatch"
