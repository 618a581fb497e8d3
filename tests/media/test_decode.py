"""Frames out of files: rate, orientation, size, colour."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from media.decode import read_frames, video_origin
from problems import InvalidParameter, NoVideo, UnreadableMedia
from tests.media.generated import number_of, numbered, quadrants, tone, write_media


@pytest.mark.parametrize("fps", [24, 25, 30, 50, 60, 30000 / 1001])
def test_any_rate_becomes_25_with_the_right_frame_at_each_time(tmp_path: Path, fps: float) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, round(2 * fps), fps=fps)
    numbers = [number_of(image) for image in read_frames(clip)]
    assert abs(len(numbers) - 50) <= 1
    for k, number in enumerate(numbers):
        # The frame shown began by then, and its successor did not, within a quarter of an output frame.
        assert number / fps <= (k + 0.26) / 25
        assert (number + 1) / fps > k / 25 - 1e-6


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [("mp4", "libx264"), ("mov", "libx265"), ("webm", "libvpx-vp9"), ("mkv", "libx264"), ("webm", "libvpx")],
)
def test_each_frame_in_order_in_every_container(tmp_path: Path, suffix: str, codec: str) -> None:
    clip = write_media(tmp_path / f"clip.{suffix}", numbered, 40, codec=codec)
    assert [number_of(image) for image in read_frames(clip)] == list(range(40))


def test_variable_rate_is_read_by_time(tmp_path: Path) -> None:
    # Half a second at 50 fps, then a frame every fifth of a second.
    times = [index / 50 for index in range(25)] + [0.5 + index / 5 for index in range(6)]
    clip = write_media(tmp_path / "clip.mp4", numbered, times=times)
    numbers = [number_of(image) for image in read_frames(clip)]
    expected = [max(n for n, at in enumerate(times) if at <= k / 25 + 0.01) for k in range(len(numbers))]
    assert numbers == expected
    assert len(numbers) >= 38


def test_jitter_of_a_camera_neither_drops_nor_repeats(tmp_path: Path) -> None:
    jitter = np.random.default_rng(1).uniform(-0.004, 0.004, 50)
    jitter[0] = 0
    clip = write_media(tmp_path / "clip.mp4", numbered, times=(np.arange(50) / 25 + jitter).tolist())
    assert [number_of(image) for image in read_frames(clip)] == list(range(50))


def test_ranges_equal_the_whole(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, 90, fps=30, options={"g": "20", "bf": "3"})
    whole = list(read_frames(clip))
    for start, stop in ((0, 5), (17, 40), (60, None), (74, 75), (30, 30), (500, None)):
        part = list(read_frames(clip, start=start, stop=stop))
        expected = whole[start:stop]
        assert len(part) == len(expected)
        for ours, theirs in zip(part, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_repeated_frame_may_be_written_to(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, 10, fps=10)
    images = list(read_frames(clip))
    assert len(images) == 25
    images[0][:] = 0
    assert images[1].max() > 0


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_stand_upright(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    clip = write_media(tmp_path / "clip.mp4", lambda _: quadrants(), 2, rotation=rotation, mirrored=mirrored)
    image = next(read_frames(clip)).astype(float)
    expected = np.rot90(quadrants(), rotation // 90)
    expected = expected[:, ::-1] if mirrored else expected
    assert image.shape == expected.shape
    assert np.abs(image - expected).mean() < 6


def test_odd_sizes_and_square_pixels(tmp_path: Path) -> None:
    odd = write_media(tmp_path / "odd.mkv", lambda _: quadrants(97, 65), 2, pixels="yuv444p", codec="libx264")
    assert next(read_frames(odd)).shape == (65, 97, 3)
    wide = write_media(tmp_path / "wide.mp4", lambda _: quadrants(), 2, aspect=Fraction(4, 3))
    assert next(read_frames(wide)).shape == (64, 128, 3)
    tall = write_media(tmp_path / "tall.mp4", lambda _: quadrants(), 2, aspect=Fraction(3, 4), rotation=90)
    assert next(read_frames(tall)).shape == (96, 85, 3)


def test_large_pictures_are_shrunk(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", lambda _: quadrants(640, 360), 2, rotation=90)
    assert next(read_frames(clip, max_side=320)).shape == (320, 180, 3)
    assert next(read_frames(clip, max_side=5000)).shape == (640, 360, 3)


@pytest.mark.parametrize("colour", [(1, 1, 1), (6, 6, 6), (2, 2, 2)])
def test_colours_survive_whatever_the_matrix(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    clip = write_media(
        tmp_path / "clip.mp4", lambda _: quadrants(), 2, pixels="yuv444p", colour=colour, options={"crf": "1"}
    )
    image = next(read_frames(clip)).astype(float)
    assert np.abs(image - quadrants()).max() < 5


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.5806), (18, 0.75)])
def test_hdr_white_becomes_white_and_grey_stays_grey(tmp_path: Path, transfer: int, white: float) -> None:
    """203 nits is 58 % of PQ's signal and 75 % of HLG's (ITU-R BT.2408, table 1)."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :48] = round(255 * white)
    image[:, 48:] = round(255 * white * 0.6)
    clip = write_media(
        tmp_path / "clip.mp4",
        lambda _: image,
        2,
        pixels="yuv420p10le",
        codec="libx265",
        colour=(9, transfer, 9),
    )
    seen = next(read_frames(clip)).astype(float)
    bright, middle = seen[20:40, 10:30].mean((0, 1)), seen[20:40, 60:80].mean((0, 1))
    assert bright.min() > 235
    assert np.ptp(bright) < 3
    assert np.ptp(middle) < 3
    assert 60 < middle.mean() < 150


def test_an_offset_at_the_start_is_not_a_gap(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mkv", numbered, times=[1.0 + index / 25 for index in range(20)])
    assert video_origin(clip) == pytest.approx(1.0, abs=0.01)
    assert [number_of(image) for image in read_frames(clip)] == list(range(20))
    assert [number_of(image) for image in read_frames(clip, start=12)] == list(range(12, 20))


def test_damage_in_the_middle_is_skipped(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mkv", numbered, 100, codec="mjpeg", pixels="yuvj420p")
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    clip.write_bytes(data)
    numbers = [number_of(image) for image in read_frames(clip)]
    assert numbers[:30] == list(range(30))
    assert len(numbers) >= 90


def test_nothing_but_damage_is_refused(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", lambda i: quadrants(), 30)
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    clip.write_bytes(data)
    with pytest.raises(UnreadableMedia) as caught:
        list(read_frames(clip))
    assert caught.value.remedy


def test_sound_without_picture(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.m4a", sound=tone(0.5))
    with pytest.raises(NoVideo):
        next(read_frames(path))


def test_ranges_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter):
        next(read_frames(tmp_path / "clip.mp4", start=-1))
    with pytest.raises(InvalidParameter):
        next(read_frames(tmp_path / "clip.mp4", start=5, stop=2))
