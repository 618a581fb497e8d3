"""A file is cut off only where its own picture or sound ends early."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest

from media.audio import read_wav
from media.normalise import normalise_clip, normalise_recording
from media.packets import is_whole
from media.probe import probe
from problems import UnreadableMedia
from tests.media.generated import click, numbered, tone, write_media


def _noise(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, (64, 96, 3), np.uint8)


def _with_subtitle(path: Path, seconds: float, shown_s: float) -> Path:
    """Sound of ``seconds`` beside a subtitle that stays for ``shown_s``."""
    words = path.with_suffix(".srt")
    words.write_text(f"1\n00:00:00,000 --> 00:00:{shown_s:02.0f},000\na long line\n")
    voice = write_media(path.with_suffix(".voice.mkv"), sound=tone(seconds), sound_codec="libopus")
    with av.open(str(path), "w") as container, av.open(str(voice)) as heard, av.open(str(words)) as read:
        streams = (read.streams.subtitles[0], heard.streams.audio[0])
        copies = [container.add_stream_from_template(stream) for stream in streams]
        for stream, copy, file in zip(streams, copies, (read, heard), strict=True):
            for packet in file.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    container.mux(packet)
    return path


def test_a_long_subtitle_cuts_nothing_off(tmp_path: Path) -> None:
    recording = _with_subtitle(tmp_path / "voice.mkv", 2.0, 59.0)
    info = probe(recording, isolated=False)
    assert info.declared_s > 50  # what the container says
    assert info.audio is not None
    assert info.audio.duration_s == pytest.approx(2.0, abs=0.1)
    assert not info.truncated
    assert normalise_recording(recording, tmp_path / "voice.wav") == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_longer_second_track_cuts_nothing_off(tmp_path: Path, suffix: str) -> None:
    clip = write_media(
        tmp_path / f"clip.{suffix}", numbered, 50, sound=tone(2.0), more_sounds=[tone(20.0, level=0.2)]
    )
    assert not probe(clip, isolated=False).truncated
    info = normalise_clip(clip, tmp_path / "out.mp4", tmp_path / "out.wav")
    assert info.video is not None
    assert info.video.frames_estimate == 50


@pytest.mark.parametrize("suffix", ["webm", "mkv"])
def test_time_stamps_that_start_late_cut_nothing_off(tmp_path: Path, suffix: str) -> None:
    recording = write_media(
        tmp_path / f"late.{suffix}", sound=click(1.0, 4.0), sound_codec="libopus", sound_offset_s=20.0
    )
    info = probe(recording, isolated=False)
    assert info.declared_s > 20
    assert not info.truncated
    assert normalise_recording(recording, tmp_path / "late.wav") == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(
    ("suffix", "offset_s"), [("mp4", 0.0), ("mov", 0.0), ("mkv", 0.0), ("mkv", 10.0), ("webm", 10.0)]
)
def test_what_is_cut_off_is_told_also_when_it_starts_late(
    tmp_path: Path, suffix: str, offset_s: float
) -> None:
    clip = write_media(
        tmp_path / f"clip.{suffix}",
        _noise,
        times=[offset_s + index / 25 for index in range(100)],
        codec="libvpx" if suffix == "webm" else "libx264",
        sound=tone(4.0),
        sound_codec="libopus" if suffix == "webm" else "aac",
        sound_offset_s=offset_s,
        movflags="+faststart" if suffix in ("mp4", "mov") else None,
    )
    assert is_whole(clip, "mov" if suffix in ("mp4", "mov") else "matroska")
    assert not probe(clip, isolated=False).truncated
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    info = probe(clip, isolated=False)
    assert not info.whole
    assert info.truncated
    with pytest.raises(UnreadableMedia, match=r"its picture ends after .* s of 4\.0 s"):
        info.check_complete("clip")
    with pytest.raises(UnreadableMedia, match="cut off"):
        normalise_clip(clip, tmp_path / "out.mp4", tmp_path / "out.wav")


def test_a_header_that_promises_too_much_is_not_believed_over_the_bytes(tmp_path: Path) -> None:
    recording = write_media(tmp_path / "voice.mkv", sound=tone(3.0), sound_codec="flac")
    data = bytearray(recording.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # the segment's duration: an eight-byte float, in milliseconds
    data[at : at + 8] = struct.pack(">d", 90_000.0)
    recording.write_bytes(bytes(data).replace(b"00:00:03.", b"00:01:30."))
    info = probe(recording, isolated=False)
    assert info.declared_s == pytest.approx(90.0)
    assert info.whole
    assert not info.truncated
    assert normalise_recording(recording, tmp_path / "voice.wav") == pytest.approx(3.0, abs=0.05)
    assert len(read_wav(tmp_path / "voice.wav")) == pytest.approx(48000, abs=800)


def test_only_the_sound_of_a_recording_must_be_whole(tmp_path: Path) -> None:
    info = probe(write_media(tmp_path / "a.mp4", numbered, 50, sound=tone(2.0)), isolated=False)
    from dataclasses import replace

    assert info.video is not None
    short = replace(info, whole=False, video=replace(info.video, declared_s=30.0))
    short.check_complete("a.mp4", sound_only=True)
    with pytest.raises(UnreadableMedia, match="picture"):
        short.check_complete("a.mp4")
