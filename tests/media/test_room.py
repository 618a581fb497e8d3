"""A temporary folder that is too small is named before the work begins."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from media import room
from media.frames import FrameStore
from media.room import require_room, room_for
from problems import OutOfDisk


def frames(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(count)]


def test_what_fits_is_let_through(tmp_path: Path) -> None:
    require_room(1, "a byte", folder=tmp_path)
    with room_for("a byte"):
        (tmp_path / "a").write_bytes(b"x")


def test_what_will_not_fit_is_refused_with_the_folder_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OutOfDisk, match=r"the frames will take about 953674316407 MiB") as caught:
        require_room(10**18, "the frames", folder=tmp_path)
    assert str(tmp_path) in caught.value.message
    assert "TMPDIR" in caught.value.remedy
    assert caught.value.details["folder"] == str(tmp_path)


def test_a_disk_that_fills_up_all_the_same_is_told_too() -> None:
    with pytest.raises(OutOfDisk, match="the frames did not fit") as caught, room_for("the frames"):
        Path("/dev/full").write_bytes(b"x")
    assert tempfile.gettempdir() in caught.value.message
    with pytest.raises(FileNotFoundError), room_for("the frames"):
        Path("/no/such/folder").read_bytes()


def test_frames_ask_for_room_before_the_first_is_spilled() -> None:
    """Of a clip that is known to be long, nothing is written to a folder that can't take it."""
    made = 0

    def long_clip():  # type: ignore[no-untyped-def]
        nonlocal made
        for image in frames(200):
            made += 1
            yield image

    with pytest.raises(OutOfDisk, match="the frames of the clip"):
        FrameStore(long_clip(), memory_mb=0, expected=10**12)
    assert made == 1
    assert len(FrameStore(frames(5), memory_mb=0, expected=5)) == 5
    assert len(FrameStore(frames(5), memory_mb=0)) == 5


def test_memory_is_enough_for_most_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_SPARE", 2**62)
    assert len(FrameStore(frames(5), expected=5)) == 5
