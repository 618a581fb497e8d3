"""Frames and sound into mp4 files."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from media.decode import read_frames
from media.encode import Container, Encoding, VideoWriter
from media.probe import probe
from media.sound import read_sound
from problems import InvalidParameter, NoSound, TooShort, UnreadableMedia
from tests.media.generated import (
    click,
    click_time,
    flashing,
    number_of,
    numbered,
    quadrants,
    tone,
    write_media,
)


def _write(path: Path, frames: int, audio: Path | None = None, fps: float = 25.0) -> None:
    with VideoWriter(path, 96, 64, fps, audio=audio) as writer:
        for index in range(frames):
            writer.write(numbered(index % 256))


@pytest.mark.parametrize(
    ("seconds", "sound_s"),
    [(0.1, 0.1), (0.1, 7.0), (0.5, 0.05), (1.0, 1.0), (1.0, 31.0), (7.77, 7.77), (7.77, 0.5), (30.0, 29.0)],
)
def test_the_video_is_as_long_as_its_frames_whatever_the_sound(
    tmp_path: Path, seconds: float, sound_s: float
) -> None:
    soundfile.write(tmp_path / "r.wav", tone(sound_s, 16000), 16000)
    frames = int(np.ceil(seconds * 25))
    _write(tmp_path / "out.mp4", frames, tmp_path / "r.wav")
    info = probe(tmp_path / "out.mp4", isolated=False)
    assert info.video is not None
    assert info.audio is not None
    assert info.video.frames_estimate == frames
    assert info.video.duration_s == pytest.approx(frames / 25, abs=1e-3)
    assert abs(info.duration_s - frames / 25) <= 1 / 25
    assert abs(info.audio.duration_s - frames / 25) <= 1 / 25
    heard = sum(len(piece) for piece in read_sound(tmp_path / "out.mp4", rate=16000))
    assert abs(heard / 16000 - frames / 25) <= 1 / 25


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (48000, 1), (8000, 1), (192000, 2)])
def test_a_click_stays_on_its_frame(tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "r.wav", click(1.2, 2.0, rate, channels), rate)
    picture = flashing(30)
    with VideoWriter(tmp_path / "out.mp4", 64, 48, audio=tmp_path / "r.wav") as writer:
        for index in range(50):
            writer.write(picture(index))
    levels = [image.mean() for image in read_frames(tmp_path / "out.mp4")]
    sound = np.concatenate(list(read_sound(tmp_path / "out.mp4", rate=48000)))
    assert int(np.argmax(levels)) == 30
    assert click_time(sound, 48000) == pytest.approx(1.2, abs=0.005)
    info = probe(tmp_path / "out.mp4", isolated=False)
    assert info.audio is not None
    assert (info.audio.codec, info.audio.channels) == ("aac", channels)


@pytest.mark.parametrize("kind", ["mp3", "ogg", "mp4"])
def test_the_recordings_own_file_is_the_sound(tmp_path: Path, kind: str) -> None:
    codec = {"mp3": "libmp3lame", "ogg": "libopus", "mp4": "aac"}[kind]
    recording = write_media(
        tmp_path / f"r.{kind}",
        numbered if kind == "mp4" else None,
        25,
        sound=click(0.5, 1.0),
        sound_codec=codec,
    )
    _write(tmp_path / "out.mp4", 25, recording)
    sound = np.concatenate(list(read_sound(tmp_path / "out.mp4", rate=48000)))
    assert click_time(sound, 48000) == pytest.approx(0.5, abs=0.03)


def test_frames_come_back_in_order_and_colour(tmp_path: Path) -> None:
    _write(tmp_path / "out.mp4", 60)
    assert [number_of(image) for image in read_frames(tmp_path / "out.mp4")] == list(range(60))
    with VideoWriter(tmp_path / "colours.mp4", 96, 64, crf=2) as writer:
        writer.write(quadrants())
    seen = next(read_frames(tmp_path / "colours.mp4")).astype(float)
    inner = np.s_[8:24, 8:40]
    assert np.abs(seen[inner] - quadrants()[inner]).max() <= 4
    assert np.abs((seen - quadrants()).mean((0, 1))).max() < 1


def test_the_index_stands_in_front(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "r.wav", tone(1.0), 48000)
    for name, audio in (("with.mp4", tmp_path / "r.wav"), ("without.mp4", None)):
        _write(tmp_path / name, 25, audio)
        data = (tmp_path / name).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")


def test_other_rates_and_odd_sizes(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 97, 65, fps=29.97) as writer:
        for _ in range(30):
            writer.write(quadrants(97, 65))
    video = probe(tmp_path / "out.mp4", isolated=False).video
    assert video is not None
    assert (video.width, video.height, video.frames_estimate) == (98, 66, 30)
    assert video.fps == pytest.approx(29.97, abs=0.01)


def test_an_error_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("the earlier one")
    with pytest.raises(ZeroDivisionError):
        with VideoWriter(out, 96, 64) as writer:
            writer.write(numbered(0))
            raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["out.mp4"]
    assert out.read_text() == "the earlier one"


def test_nothing_appears_before_the_end(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 96, 64) as writer:
        writer.write(numbered(0))
        assert not (tmp_path / "out.mp4").exists()
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_bad_sound_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    mute = write_media(tmp_path / "mute.mp4", numbered, 5)
    before = sorted(os.listdir(tmp_path))
    for path, kind in ((tmp_path / "text.wav", UnreadableMedia), (mute, NoSound)):
        with pytest.raises(kind):
            VideoWriter(tmp_path / "out.mp4", 96, 64, audio=path).__enter__()
    assert sorted(os.listdir(tmp_path)) == before


def test_wrong_frames_and_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter) as caught:
        with VideoWriter(tmp_path / "out.mp4", 96, 64) as writer:
            writer.write(numbered(0))
            writer.write(numbered(1, 48, 32))
    assert caught.value.details["frames"] == [1]
    with pytest.raises(TooShort):
        with VideoWriter(tmp_path / "out.mp4", 96, 64):
            pass
    with pytest.raises(InvalidParameter):
        VideoWriter(tmp_path / "out.mp4", 0, 64)
    assert os.listdir(tmp_path) == []


def test_transparency_survives(tmp_path: Path) -> None:
    """A webm whose left half is see-through, read back with libvpx, which knows of transparency."""
    soundfile.write(tmp_path / "r.wav", tone(0.5, 16000), 16000)
    picture = np.zeros((64, 96, 4), np.uint8)
    picture[:, 48:] = (200, 60, 30, 255)
    path = tmp_path / "out.webm"
    with VideoWriter(path, 96, 64, audio=tmp_path / "r.wav", alpha=True) as writer:
        for _ in range(25):
            writer.write(picture)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert "vp9" in stream.codec_context.name
        assert container.streams.audio[0].codec_context.name in ("opus", "libopus")
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        frames = []
        for packet in container.demux(stream):
            if packet.size:
                frames += decoder.decode(packet)
    assert len(frames) == 25
    shown = frames[12].to_ndarray(format="rgba")
    assert shown[:, :40, 3].max() < 20
    assert shown[:, 56:, 3].min() > 235
    assert np.abs(shown[:, 56:, :3].astype(int) - (200, 60, 30)).mean() < 8
    info = probe(path, isolated=False)
    assert info.duration_s == pytest.approx(1.0, abs=0.05)


def test_transparency_needs_four_channels(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidParameter, match=r"\(64, 96, 4\)"),
        VideoWriter(tmp_path / "out.webm", 96, 64, alpha=True) as writer,
    ):
        writer.write(numbered(0))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("container", "alpha", "codec", "pixels", "sound"),
    [
        ("webm", False, "vp9", "yuv420p", "opus"),
        ("mov", False, "prores", "yuv422p10le", "pcm_s16le"),
        ("mov", True, "prores", "yuva444p10le", "pcm_s16le"),
    ],
)
def test_other_containers(
    tmp_path: Path, container: Container, alpha: bool, codec: str, pixels: str, sound: str
) -> None:
    soundfile.write(tmp_path / "r.wav", tone(0.5, 44100), 44100)
    picture = quadrants(96, 64)
    if alpha:
        clear = np.full((64, 96, 1), 255, np.uint8)
        clear[:, :48] = 0
        picture = np.concatenate([picture, clear], axis=2)
    path = tmp_path / f"out.{container}"
    with VideoWriter(path, 96, 64, 50, audio=tmp_path / "r.wav", alpha=alpha, container=container) as writer:
        for _ in range(25):
            writer.write(picture)
    assert sorted(os.listdir(tmp_path)) == [path.name, "r.wav"]
    with av.open(str(path)) as opened:
        stream, heard = opened.streams.video[0], opened.streams.audio[0]
        assert codec in stream.codec_context.name
        assert sound in heard.codec_context.name
        assert stream.average_rate == 50
        frames = list(opened.decode(stream))
    assert len(frames) == 25
    assert frames[0].format.name == pixels
    shown = frames[12].to_ndarray(format="rgba")
    # ProRes is near lossless; VP9 is not, and halves the colours.
    where = shown[8:24, 56:88, :3].astype(int)
    assert np.abs(where - picture[8:24, 56:88, :3]).mean() < (3 if codec == "prores" else 8)
    if alpha:
        assert shown[:, :40, 3].max() < 4
        assert shown[:, 56:, 3].min() > 251
    assert probe(path, isolated=False).duration_s == pytest.approx(0.5, abs=0.03)


def test_an_mp4_holds_no_transparency(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="transparency"):
        VideoWriter(tmp_path / "out.mp4", 96, 64, alpha=True, container="mp4")


@pytest.mark.parametrize(
    ("height", "expected"), [(None, (1281, 721)), (360, (640, 360)), (361, (640, 360)), (1080, (1918, 1080))]
)
def test_a_height_keeps_the_shape_and_even_sides(height: int | None, expected: tuple[int, int]) -> None:
    assert Encoding(height=height).size(1281, 721) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"container": "avi"}, {"height": 63}, {"height": 2161}, {"fps": 9.9}, {"fps": 61}, {"crf": 9},
        {"crf": 36},
    ],
)  # fmt: skip
def test_encodings_out_of_range_are_named(wrong: dict) -> None:
    with pytest.raises(InvalidParameter) as caught:
        Encoding(**wrong)
    field = next(iter(wrong)).replace("container", "format")
    assert caught.value.details["field"] == f"output.{field}"
