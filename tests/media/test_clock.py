"""One clock for picture and sound of a file: a flash and its click stay together, whatever the container does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.audio import read_wav
from media.clock import picture_start, recording_origin
from media.decode import read_frames
from media.encode import VideoWriter
from media.normalise import normalise_clip, normalise_recording
from media.probe import probe
from media.sound import read_sound
from tests.media.generated import RATE, click, click_time, flashing, tone, write_media

FPS = 25
FLASH = 25
"""The frame that flashes; the click comes with it."""


def _file(path: Path, picture_s: float, sound_s: float, **settings: object) -> Path:
    """Three seconds in which the picture begins at ``picture_s`` and the sound at ``sound_s``."""
    click_at = picture_s + FLASH / FPS
    times = [picture_s + index / FPS for index in range(75)]
    return write_media(
        path,
        flashing(FLASH),
        75,
        times=times if picture_s else None,  # MPEG-2 knows no other rates than its own
        sound=click(click_at - sound_s, 3.0 + picture_s - sound_s),
        sound_offset_s=sound_s,
        **settings,  # type: ignore[arg-type]
    )


CASES = [
    # suffix, codecs, where the picture and the sound begin
    ("mp4", "libx264", "aac", 0.0, 0.0),
    ("mp4", "libx264", "aac", 0.0, 0.476),
    ("mp4", "libx264", "aac", 0.4, 0.0),
    ("mov", "libx264", "pcm_s16le", 0.0, 0.476),
    ("mkv", "libx264", "flac", 5.0, 5.3),
    ("mkv", "libx264", "aac", 5.2, 5.0),
    ("webm", "libvpx", "libopus", 5.0, 5.24),
    ("ts", "libx264", "aac", 0.0, 0.3),
    ("ts", "libx264", "mp2", 10.3, 10.0),
    ("mpg", "mpeg2video", "mp2", 0.0, 0.3),
]


@pytest.mark.parametrize(("suffix", "codec", "sound_codec", "picture_s", "sound_s"), CASES)
def test_clip_recording_and_the_sound_of_a_video_are_on_one_clock(
    tmp_path: Path, suffix: str, codec: str, sound_codec: str, picture_s: float, sound_s: float
) -> None:
    # B-frames: the first packets are not the first frames.
    options = {"bf": "3"} if codec == "libx264" else {}
    clip = _file(
        tmp_path / f"clip.{suffix}", picture_s, sound_s, codec=codec, sound_codec=sound_codec, options=options
    )
    normalise_clip(clip, tmp_path / "out.mp4", tmp_path / "clip.wav")
    levels = [image.mean() for image in read_frames(tmp_path / "out.mp4")]
    flash = int(np.argmax(levels)) / FPS
    assert flash == pytest.approx(FLASH / FPS, abs=0.041)
    # Encoders shift what they frame by a sample or two, never by as much as half a frame.
    assert click_time(read_wav(tmp_path / "clip.wav"), 16000) == pytest.approx(flash, abs=0.019)
    normalise_recording(clip, tmp_path / "recording.wav")
    assert click_time(read_wav(tmp_path / "recording.wav"), 16000) == pytest.approx(flash, abs=0.019)
    with VideoWriter(tmp_path / "dub.mp4", 64, 48, FPS, audio=clip) as writer:
        for level in levels:
            writer.write(np.full((48, 64, 3), level, np.uint8))
    dubbed = np.concatenate(list(read_sound(tmp_path / "dub.mp4", rate=16000, origin_s=0.0)))
    assert click_time(dubbed, 16000) == pytest.approx(flash, abs=0.019)


def test_what_is_heard_long_before_the_picture_is_kept_unless_the_picture_leads(tmp_path: Path) -> None:
    clip = _file(tmp_path / "joined.mkv", 2.0, 0.0, codec="libx264", sound_codec="flac")
    assert recording_origin(clip, 1) is None
    assert normalise_recording(clip, tmp_path / "alone.wav") == pytest.approx(5.0, abs=0.05)
    assert click_time(read_wav(tmp_path / "alone.wav"), 16000) == pytest.approx(3.0, abs=0.005)
    origin = recording_origin(clip, 1, led=True)
    assert origin == pytest.approx(2.0, abs=0.001)
    assert normalise_recording(clip, tmp_path / "led.wav", led=True) == pytest.approx(3.0, abs=0.05)
    assert click_time(read_wav(tmp_path / "led.wav"), 16000) == pytest.approx(1.0, abs=0.005)


def test_sound_without_a_picture_begins_with_itself(tmp_path: Path) -> None:
    late = write_media(
        tmp_path / "late.webm", sound=click(1.0, 2.0), sound_codec="libopus", sound_offset_s=5.0
    )
    assert picture_start(late) is None
    assert normalise_recording(late, tmp_path / "late.wav") == pytest.approx(2.0, abs=0.05)
    assert click_time(read_wav(tmp_path / "late.wav"), 16000) == pytest.approx(1.0, abs=0.01)
    assert not probe(late, isolated=False).truncated


@pytest.mark.parametrize(("suffix", "codec"), [("mp3", "libmp3lame"), ("m4a", "aac"), ("opus", "libopus")])
def test_what_an_encoder_puts_in_front_is_not_heard(tmp_path: Path, suffix: str, codec: str) -> None:
    kind = {"m4a": "mp4", "opus": "ogg"}.get(suffix, suffix)
    made = write_media(tmp_path / f"a.{kind}", sound=click(0.5, 1.5), sound_codec=codec)
    recording = made.rename(tmp_path / f"voice.{suffix}")
    normalise_recording(recording, tmp_path / "a.wav")
    assert click_time(read_wav(tmp_path / "a.wav"), 16000) == pytest.approx(0.5, abs=0.005)


def test_a_clock_that_wraps_goes_on(tmp_path: Path) -> None:
    # 2**33 ticks of 90 kHz are 26.5 hours: transport streams begin anew after them.
    wrap = 2**33 / 90000
    clip = _file(tmp_path / "wrap.ts", wrap - 2.2, wrap - 2.2, codec="libx264", sound_codec="aac")
    info = probe(clip, isolated=False)
    assert info.duration_s == pytest.approx(3.0, abs=0.2)
    normalise_clip(clip, tmp_path / "out.mp4", tmp_path / "out.wav")
    levels = [image.mean() for image in read_frames(tmp_path / "out.mp4")]
    assert len(levels) == 75
    assert click_time(read_wav(tmp_path / "out.wav"), 16000) == pytest.approx(
        int(np.argmax(levels)) / FPS, abs=0.03
    )


def test_a_cover_is_no_clock(tmp_path: Path) -> None:
    from tests.media.generated import write_with_cover

    song = write_with_cover(tmp_path / "song.m4a", tone(1.0, RATE))
    assert picture_start(song) is None
    assert normalise_recording(song, tmp_path / "song.wav") == pytest.approx(1.0, abs=0.05)


def test_the_probe_says_when_the_sound_begins(tmp_path: Path) -> None:
    clip = _file(tmp_path / "clip.mp4", 0.0, 0.476, codec="libx264", sound_codec="aac")
    audio = probe(clip, isolated=False).audio
    assert audio is not None
    assert audio.start_s == pytest.approx(0.476, abs=0.03)
