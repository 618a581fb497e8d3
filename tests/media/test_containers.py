"""Containers, codecs and colours beyond the usual ones are read, or named."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from media.audio import read_wav
from media.decode import ToRgb, read_frames
from media.normalise import normalise_clip, normalise_recording
from media.probe import probe
from problems import NoSound, NoVideo, UnreadableMedia
from tests.media.generated import (
    click,
    click_time,
    number_of,
    numbered,
    quadrants,
    tone,
    write_media,
)


@pytest.mark.parametrize(
    ("suffix", "codec", "sound_codec", "size"),
    [
        ("mpg", "mpeg1video", "mp2", (96, 64)),
        ("vob", "mpeg2video", "ac3", (96, 64)),
        ("mxf", "mpeg2video", "pcm_s16le", (96, 64)),
        ("dv", "dvvideo", "pcm_s16le", (720, 576)),
        ("avi", "mjpeg", "pcm_s16le", (96, 64)),
    ],
)
def test_videos_of_cameras_and_editors(
    tmp_path: Path, suffix: str, codec: str, sound_codec: str, size: tuple[int, int]
) -> None:
    clip = write_media(
        tmp_path / f"clip.{suffix}",
        lambda index: numbered(index, *size),
        50,
        codec=codec,
        pixels="yuvj420p" if codec == "mjpeg" else "yuv420p",
        sound=tone(2.0, channels=2 if suffix == "dv" else 1),
        sound_codec=sound_codec,
    )
    info = normalise_clip(clip, tmp_path / "out.mp4", tmp_path / "out.wav")
    assert info.video is not None
    assert 49 <= info.video.frames_estimate <= 51
    assert info.audio is not None
    seen = [number_of(image) for image in read_frames(tmp_path / "out.mp4")]
    assert seen[10:40] == list(range(10, 40))
    assert float(np.abs(read_wav(tmp_path / "out.wav")).max()) > 0.2


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("au", "pcm_s16be"),
        ("wv", "wavpack"),
        ("ac3", "ac3"),
        ("eac3", "eac3"),
        ("mp2", "mp2"),
        ("tta", "tta"),
        ("aiff", "pcm_s16be"),
        ("caf", "pcm_s16le"),
        ("voc", "pcm_u8"),
        ("w64", "pcm_s24le"),
        ("adts", "aac"),
    ],
)
def test_recordings_of_rarer_kinds(tmp_path: Path, suffix: str, codec: str) -> None:
    recording = write_media(tmp_path / f"voice.{suffix}", sound=click(0.5, 1.5), sound_codec=codec)
    assert normalise_recording(recording, tmp_path / "voice.wav") == pytest.approx(1.5, abs=0.1)
    # Frames of raw AC3 and AAC say nothing of their encoder's delay.
    assert click_time(read_wav(tmp_path / "voice.wav"), 16000) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"GIF89a" + bytes(60), "a GIF"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20) + b"acTL" + bytes(60), "an animated PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "a PNG picture"),
        (b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\x02" + bytes(60), "an animated WebP"),
        (b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0" + bytes(60), "a WebP picture"),
        (b"\0\0\0\x18ftypheic" + bytes(60), "a HEIC picture"),
        (b".RMF" + bytes(60), "a RealMedia file"),
        (b"MThd" + bytes(60), "a MIDI file"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "a playlist"),
        (b"<?xml version='1.0'?><MPD>" + bytes(60), "an XML file"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(60), "a 7z archive"),
    ],
)
def test_what_is_not_read_is_called_by_its_name(tmp_path: Path, head: bytes, name: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(head)
    with pytest.raises(UnreadableMedia, match=f"clip.mp4 is {name}") as caught:
        probe(path)
    assert "mp4" in caught.value.remedy


def test_a_pattern_of_pictures_opens_nothing(tmp_path: Path) -> None:
    for index in range(3):
        write_media(
            tmp_path / f"frame{index}.jpg", lambda _: quadrants(), 1, codec="mjpeg", pixels="yuvj420p"
        )
    named = tmp_path / "frame%d.jpg"
    named.write_bytes(b"nothing")
    with pytest.raises(UnreadableMedia):
        probe(named)


def test_sound_alone_and_picture_alone_are_told(tmp_path: Path) -> None:
    sound = write_media(tmp_path / "voice.mp3", sound=tone(1.0), sound_codec="libmp3lame")
    with pytest.raises(NoVideo, match=r"voice\.mp3 has no video, only sound"):
        normalise_clip(sound, tmp_path / "a.mp4", tmp_path / "a.wav")
    picture = write_media(tmp_path / "clip.mp4", numbered, 25)
    with pytest.raises(NoSound, match=r"clip\.mp4 has no sound"):
        normalise_recording(picture, tmp_path / "a.wav")


_SPACES = [space for space in range(18) if space not in (8, 11, 14, 15, 16, 17)]


def _frame(pixels: str) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(quadrants(), format="rgb24").reformat(format=pixels)


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p10le", "yuva420p", "gbrp", "nv12", "yuvj422p"])
def test_any_colour_tag_that_can_be_undone_is_read(pixels: str) -> None:
    for space in _SPACES:
        for span in (0, 1, 2):
            frame = _frame(pixels)
            frame.colorspace, frame.color_range = space, span
            with ToRgb() as to_rgb:
                image = to_rgb(frame, SimpleNamespace(sample_aspect_ratio=None))
            assert np.abs(image.astype(int) - quadrants()).mean() < 30, (space, span)


@pytest.mark.parametrize(("space", "name"), [(8, "YCgCo"), (14, "ICtCp")])
def test_colours_that_can_not_be_undone_are_named(space: int, name: str) -> None:
    frame = _frame("yuv444p")
    frame.colorspace = space
    with ToRgb() as to_rgb, pytest.raises(UnreadableMedia, match=name):
        to_rgb(frame, SimpleNamespace(sample_aspect_ratio=None))


@pytest.mark.parametrize("folder", ["a:b", "a'b", "a\\b", "a,b;c[d]", " a b ", "ä ü=1", "100%d"])
def test_any_temporary_folder_will_do_for_hdr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    place = tmp_path / folder
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    clip = write_media(
        place / "clip.mp4",
        lambda _: quadrants(),
        5,
        codec="libx265",
        pixels="yuv420p10le",
        colour=(9, 18, 9),
        sound=tone(0.2),
    )
    info = normalise_clip(clip, place / "out.mp4", place / "out.wav")
    assert info.video is not None
    assert info.video.frames_estimate == 5


def test_a_name_with_a_colon_is_written_from_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = write_media(tmp_path / "clip.mp4", numbered, 5)
    normalise_clip(clip, Path("a:b.mp4"), Path("a:b.wav"))
    assert probe(Path("a:b.mp4")).video is not None


def test_the_picture_is_the_one_that_moves(tmp_path: Path) -> None:
    """A file may have a thumbnail as its first video stream."""
    path = tmp_path / "two.mov"
    with av.open(str(path), "w") as container:
        still = container.add_stream("mjpeg", rate=25)
        still.width, still.height, still.pix_fmt = 32, 32, "yuvj420p"
        moving = container.add_stream("libx264", rate=25)
        moving.width, moving.height, moving.pix_fmt = 96, 64, "yuv420p"
        for index in range(10):
            for stream, size in ((still, (32, 32)), (moving, (96, 64))):
                if stream is still and index:
                    continue
                frame = av.VideoFrame.from_ndarray(numbered(index, *size), format="rgb24")
                frame = frame.reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                for packet in stream.encode(frame):
                    container.mux(packet)
        for stream in (still, moving):
            for packet in stream.encode(None):
                container.mux(packet)
    info = probe(path, isolated=False)
    assert info.video is not None
    assert (info.video.codec, info.video.width) == ("h264", 96)
