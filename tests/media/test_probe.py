"""What a file says about itself."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from media.probe import MediaInfo, probe
from problems import NotFound, UnreadableMedia
from tests.media.generated import numbered, quadrants, tone, write_media, write_with_cover


@pytest.mark.parametrize(
    ("suffix", "codec", "sound_codec", "found"),
    [
        ("mp4", "libx264", "aac", "h264"),
        ("mov", "libx265", "aac", "hevc"),
        ("webm", "libvpx-vp9", "libopus", "vp9"),
        ("mkv", "libx264", "flac", "h264"),
        ("mkv", "mjpeg", "pcm_s16le", "mjpeg"),
        ("mp4", "libsvtav1", "libmp3lame", "av1"),
    ],
)
def test_containers_and_codecs(tmp_path: Path, suffix: str, codec: str, sound_codec: str, found: str) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = write_media(
        tmp_path / f"clip.{suffix}",
        numbered,
        30,
        fps=30,
        codec=codec,
        pixels=pixels,
        options={"preset": "12"} if codec == "libsvtav1" else {},
        sound=tone(1.0, channels=2),
        sound_codec=sound_codec,
    )
    info = probe(clip, isolated=False)
    assert info.video is not None
    assert info.audio is not None
    assert info.video.codec == found
    assert (info.video.width, info.video.height) == (96, 64)
    assert info.video.fps == pytest.approx(30, rel=0.02)
    assert not info.video.variable_fps
    assert info.video.frames_estimate == 30
    assert info.video.duration_s == pytest.approx(1.0, abs=0.05)
    assert info.audio.channels == 2
    assert info.audio.sample_rate == 48000
    assert not info.truncated


@pytest.mark.parametrize(("counterclockwise", "clockwise"), [(0, 0), (90, 270), (180, 180), (270, 90)])
def test_rotation_tag(tmp_path: Path, counterclockwise: int, clockwise: int) -> None:
    clip = write_media(tmp_path / "clip.mp4", lambda _: quadrants(), 3, rotation=counterclockwise)
    video = probe(clip, isolated=False).video
    assert video is not None
    assert video.rotation_deg == clockwise
    assert (video.width, video.height) == ((64, 96) if clockwise in (90, 270) else (96, 64))
    assert (video.coded_width, video.coded_height) == (96, 64)


def test_variable_frame_rate(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    times = np.cumsum(generator.choice([1 / 30, 1 / 20, 1 / 15], 60)).tolist()
    clip = write_media(tmp_path / "clip.mp4", numbered, times=times)
    video = probe(clip, isolated=False).video
    assert video is not None
    assert video.variable_fps
    assert 15 < video.fps < 30


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", lambda _: quadrants(), 3, aspect=Fraction(4, 3))
    video = probe(clip, isolated=False).video
    assert video is not None
    assert (video.width, video.height) == (128, 64)


def test_sound_alone(tmp_path: Path) -> None:
    info = probe(write_media(tmp_path / "a.mp3", sound=tone(2.0), sound_codec="libmp3lame"), isolated=False)
    assert info.video is None
    assert info.audio is not None
    assert info.duration_s == pytest.approx(2.0, abs=0.1)


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = write_with_cover(tmp_path / "song.mp4", tone(1.0))
    info = probe(path, isolated=False)
    assert info.video is None
    assert info.audio is not None


def test_a_file_cut_off_is_known_by_its_header(tmp_path: Path) -> None:
    clip = write_media(
        tmp_path / "clip.mp4",
        lambda i: np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8),
        100,
        sound=tone(4.0),
        movflags="+faststart",
    )
    assert not probe(clip, isolated=False).truncated
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    info = probe(clip, isolated=False)
    assert info.truncated
    with pytest.raises(UnreadableMedia, match="cut off"):
        info.check_complete("clip.mp4")


def test_isolated_and_direct_agree_and_survive_json(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, 10, sound=tone(0.4))
    info = probe(clip)
    assert info == probe(clip, isolated=False)
    assert MediaInfo.from_dict(info.as_dict()) == info


def _text(path: Path) -> None:
    path.write_text("This is not a video.\n" * 100)


def _empty(path: Path) -> None:
    path.touch()


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).integers(0, 255, 5000, np.uint8).tobytes())


def _beginning(path: Path) -> None:
    write_media(path, numbered, 50)
    path.write_bytes(path.read_bytes()[:200])  # the index of an mp4 is at its end


def _picture(path: Path) -> None:
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))


def _playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")


def _list_of_files(path: Path) -> None:
    path.write_text("ffconcat version 1.0\nfile /etc/passwd\n")


@pytest.mark.parametrize("make", [_text, _empty, _noise, _beginning, _picture, _playlist, _list_of_files])
def test_what_is_no_media_is_refused_with_a_remedy(tmp_path: Path, make: object) -> None:
    path = tmp_path / "clip.mp4"
    make(path)  # type: ignore[operator]
    with pytest.raises(UnreadableMedia) as caught:
        probe(path)
    assert "clip.mp4" in caught.value.message
    assert caught.value.remedy


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        probe(tmp_path / "nothing.mp4")


def test_a_file_named_like_a_protocol_is_a_file(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "plain.mp4", numbered, 5).rename(tmp_path / "concat:x|y.mp4")
    assert probe(clip).video is not None
