"""Interlaced video: found by what is seen, made whole frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from media.decode import read_frames
from media.interlace import Fields, find_fields
from media.limits import ClipLimits
from media.normalise import normalise_clip
from media.survey import survey_clip
from tests.media.generated import quadrants, write_media

_SCENE = cv2.GaussianBlur(
    np.random.default_rng(0).integers(0, 255, (144, 400, 3)).astype(np.uint8), (0, 0), 1.2
)


def _moment(at: float) -> NDArray[np.uint8]:
    """A scene that moves sideways by 3 px in 1/50 s."""
    begin = round(3 * at) % 200
    return np.ascontiguousarray(_SCENE[:, begin : begin + 192])


def _woven(first: int) -> Callable[[int], NDArray[np.uint8]]:
    """Frames of two moments; the field ``first`` (0: the top one) is the earlier."""

    def picture(index: int) -> NDArray[np.uint8]:
        frame = _moment(2 * index).copy()
        frame[1 - first :: 2] = _moment(2 * index + 1)[1 - first :: 2]
        return frame

    return picture


def _combs(image: NDArray[np.uint8]) -> float:
    """How much neighbouring lines differ over how much lines of one field do; about 1 without combs."""
    grey = image.astype(float).mean(2)
    return float(np.abs(grey[1:] - grey[:-1]).mean() / np.abs(grey[2:] - grey[:-2]).mean())


def _write(path: Path, picture: Callable[[int], NDArray[np.uint8]], *, flagged: bool) -> Path:
    options = {"crf": "12", **({"x264-params": "interlaced=1"} if flagged else {})}
    return write_media(path, picture, 50, options=options)


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.parametrize(("first", "order"), [(0, "top"), (1, "bottom")])
def test_combs_are_found_whatever_the_flag_says_and_taken_out(
    tmp_path: Path, first: int, order: str, flagged: bool
) -> None:
    clip = _write(tmp_path / "clip.mp4", _woven(first), flagged=flagged)
    assert find_fields(clip) == Fields(order)  # type: ignore[arg-type]
    normalise_clip(clip, tmp_path / "out.mp4", tmp_path / "out.wav")
    before = [_combs(image) for image in read_frames(clip)]
    images = list(read_frames(tmp_path / "out.mp4"))
    assert len(images) == 50
    assert min(before) > 1.2
    assert max(_combs(image) for image in images) < 0.9
    # One frame a frame, each at its own moment: that of its first field.
    for index in (10, 25, 40):
        errors = [np.abs(images[index].astype(float) - _moment(2 * index + by)).mean() for by in range(-3, 4)]
        assert int(np.argmin(errors)) - 3 in (0, 1)


def test_whole_pictures_are_left_alone_also_when_flagged(tmp_path: Path) -> None:
    clip = _write(tmp_path / "clip.mp4", lambda index: _moment(2 * index), flagged=True)
    assert find_fields(clip) is None
    still = _write(tmp_path / "still.mp4", lambda _: quadrants(192, 144), flagged=False)
    assert find_fields(still) is None


def test_where_nothing_moves_the_flag_is_believed(tmp_path: Path) -> None:
    still = _write(tmp_path / "still.mp4", lambda _: quadrants(192, 144), flagged=True)
    assert find_fields(still) == Fields("as flagged")
    normalise_clip(still, tmp_path / "out.mp4", tmp_path / "out.wav")
    seen = next(read_frames(tmp_path / "out.mp4")).astype(float)
    assert np.abs(seen - quadrants(192, 144)).mean() < 6


def test_pictures_of_three_to_two_are_cleared(tmp_path: Path) -> None:
    """Film at 24 frames on video of 30: two of five frames are woven of two pictures, and none is flagged."""
    plan = [(0, 0), (1, 1), (1, 2), (2, 3), (3, 3)]

    def picture(index: int) -> NDArray[np.uint8]:
        above, below = (4 * (index // 5) + each for each in plan[index % 5])
        frame = _moment(2 * above).copy()
        frame[1::2] = _moment(2 * below)[1::2]
        return frame

    clip = _write(tmp_path / "film.mp4", picture, flagged=False)
    assert find_fields(clip) is not None
    normalise_clip(clip, tmp_path / "out.mp4", tmp_path / "out.wav")
    assert max(_combs(image) for image in read_frames(clip)) > 1.2
    assert max(_combs(image) for image in read_frames(tmp_path / "out.mp4")) < 0.9


def test_a_turned_interlaced_clip_keeps_its_turn(tmp_path: Path) -> None:
    clip = write_media(
        tmp_path / "clip.mp4", _woven(0), 30, rotation=90, options={"x264-params": "interlaced=1"}
    )
    info, *rest = survey_clip(clip, limits=ClipLimits(), samples=1, max_side=192)
    assert info.video.interlaced  # type: ignore[union-attr]
    assert rest[0].image.shape == (192, 144, 3)  # type: ignore[union-attr]


def test_real_clips_are_not_taken_for_interlaced(shared_clips: Path) -> None:
    for clip in [*shared_clips.glob("*.mp4"), *shared_clips.glob("grid/*.mpg")]:
        assert find_fields(clip) is None, clip.name
