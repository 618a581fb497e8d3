"""Clips and recordings onto the inner clock."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from media.audio import read_wav
from media.decode import read_frames
from media.limits import ClipLimits, DecodeBudget, RecordingLimits
from media.normalise import normalise_clip, normalise_recording
from media.probe import probe
from problems import (
    Cancelled,
    DecodeTimeout,
    MediaTooLarge,
    NoSound,
    NotFound,
    NoVideo,
    TooShort,
    UnreadableMedia,
)
from tests.media.generated import (
    RATE,
    click,
    click_time,
    flashing,
    number_of,
    numbered,
    quadrants,
    tone,
    write_media,
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def _normalise(clip: Path, work: Path, **settings: object) -> object:
    return normalise_clip(clip, work / "clip.mp4", work / "audio.wav", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suffix", "codec", "sound_codec", "fps", "channels", "rate"),
    [
        ("mp4", "libx264", "aac", 30, 2, 44100),
        ("mov", "libx265", "pcm_s16le", 60, 1, 192000),
        ("webm", "libvpx-vp9", "libopus", 24, 2, 48000),
        ("mkv", "libx264", "flac", 25, 1, 8000),
        ("mkv", "libx264", "libmp3lame", 50, 2, 48000),
    ],
)
def test_a_flash_and_its_click_stay_together(
    tmp_path: Path, work: Path, suffix: str, codec: str, sound_codec: str, fps: int, channels: int, rate: int
) -> None:
    at = 0.8
    clip = write_media(
        tmp_path / f"clip.{suffix}",
        flashing(round(at * fps)),
        2 * fps,
        fps=fps,
        codec=codec,
        sound=click(at, 2.0, rate, channels),
        sound_codec=sound_codec,
        rate=rate,
    )
    info = normalise_clip(clip, work / "clip.mp4", work / "audio.wav")
    levels = [image.mean() for image in read_frames(work / "clip.mp4")]
    samples = read_wav(work / "audio.wav")
    assert len(levels) == 50
    assert len(samples) == 50 * 640
    assert info.video is not None
    assert info.audio is not None
    assert info.audio.duration_s == pytest.approx(2.0)
    assert abs(int(np.argmax(levels)) - at * 25) <= 1
    assert click_time(samples, 16000) == pytest.approx(at, abs=0.01)


def test_sound_that_starts_later_or_earlier_keeps_its_place(tmp_path: Path, work: Path) -> None:
    later = write_media(
        tmp_path / "later.mkv",
        flashing(20),
        50,
        sound=click(0.3, 1.5),
        sound_codec="flac",
        sound_offset_s=0.5,
    )
    _normalise(later, work)
    assert click_time(read_wav(work / "audio.wav"), 16000) == pytest.approx(0.8, abs=0.005)
    times = [0.4 + index / 25 for index in range(50)]
    earlier = write_media(
        tmp_path / "earlier.mp4", flashing(20), times=times, sound=click(1.2, 2.4), sound_codec="aac"
    )
    _normalise(earlier, work)
    levels = [image.mean() for image in read_frames(work / "clip.mp4")]
    assert int(np.argmax(levels)) == 20
    assert click_time(read_wav(work / "audio.wav"), 16000) == pytest.approx(0.8, abs=0.01)


def test_the_clip_is_upright_even_constant_and_easy_to_seek(tmp_path: Path, work: Path) -> None:
    clip = write_media(
        tmp_path / "clip.mkv",
        lambda _: quadrants(97, 65),
        60,
        fps=60,
        pixels="yuv444p",
        rotation=0,
        sound=tone(1.0),
    )
    info = normalise_clip(clip, work / "clip.mp4", work / "audio.wav")
    assert info.video is not None
    assert (info.video.width, info.video.height) == (96, 64)
    assert (info.video.codec, info.video.fps, info.video.frames_estimate) == ("h264", 25.0, 25)
    assert not info.video.variable_fps
    assert probe(work / "clip.mp4").audio is None
    import av

    with av.open(str(work / "clip.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert [packet.is_keyframe for packet in packets] == [index % 12 == 0 for index in range(25)]
        assert all(packet.pts == packet.dts for packet in packets)
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert int(container.streams.video[0].codec_context.colorspace) == 1


def test_pictures_are_nearly_lossless_and_turned(tmp_path: Path, work: Path) -> None:
    clip = write_media(tmp_path / "clip.mov", lambda _: quadrants(), 10, rotation=90, options={"crf": "5"})
    _normalise(clip, work)
    seen = next(read_frames(work / "clip.mp4")).astype(float)
    source = next(read_frames(clip)).astype(float)
    assert seen.shape == (96, 64, 3)
    assert 10 * np.log10(255**2 / np.mean((seen - source) ** 2)) > 36


def test_only_the_first_part_is_kept_when_asked(tmp_path: Path, work: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, 100, sound=tone(4.0))
    info = normalise_clip(
        clip, work / "clip.mp4", work / "audio.wav", limits=ClipLimits(max_seconds=1.2, max_side=48)
    )
    assert info.video is not None
    assert info.video.frames_estimate == 30
    assert (info.video.width, info.video.height) == (48, 32)
    assert len(read_wav(work / "audio.wav")) == 30 * 640
    assert [number_of(image) for image in read_frames(work / "clip.mp4")] == list(range(30))


def test_sound_shorter_than_the_picture_is_padded(tmp_path: Path, work: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, 50, sound=tone(0.5))
    _normalise(clip, work)
    samples = read_wav(work / "audio.wav")
    assert len(samples) == 50 * 640
    assert np.abs(samples[:7000]).max() > 0.2
    assert np.abs(samples[10000:]).max() == 0


def test_no_sound_leaves_no_wav(tmp_path: Path, work: Path) -> None:
    (work / "audio.wav").write_text("from an earlier run")
    clip = write_media(tmp_path / "clip.mp4", numbered, 25)
    info = normalise_clip(clip, work / "clip.mp4", work / "audio.wav")
    assert info.audio is None
    assert os.listdir(work) == ["clip.mp4"]


def test_progress_is_reported_and_may_cancel(tmp_path: Path, work: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, 50)
    ticks: list[tuple[int, int]] = []
    _normalise(clip, work, progress=lambda done, total: ticks.append((done, total)))
    assert ticks[-1] == (50, 50)
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
    (work / "clip.mp4").unlink()

    def cancel(done: int, total: int) -> None:
        raise Cancelled("stopped", remedy="start again")

    with pytest.raises(Cancelled):
        _normalise(clip, work, progress=cancel)
    assert os.listdir(work) == []


def _sound_only(path: Path) -> None:
    write_media(path, sound=tone(1.0))


def _one_frame(path: Path) -> None:
    write_media(path, numbered, 1)


def _text(path: Path) -> None:
    path.write_text("not a video")


def _empty(path: Path) -> None:
    path.touch()


def _cut_off(path: Path) -> None:
    noise = np.random.default_rng(0)
    write_media(path, lambda _: noise.integers(0, 255, (64, 96, 3), np.uint8), 100, movflags="+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _huge(path: Path) -> None:
    black = np.zeros((2880, 5120, 3), np.uint8)
    write_media(path, lambda _: black, 2, options={"preset": "ultrafast"})


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (_sound_only, NoVideo),
        (_one_frame, TooShort),
        (_text, UnreadableMedia),
        (_empty, UnreadableMedia),
        (_cut_off, UnreadableMedia),
        (_huge, MediaTooLarge),
    ],
)
def test_bad_clips_leave_nothing_behind(tmp_path: Path, work: Path, make: object, kind: type) -> None:
    clip = tmp_path / "clip.mp4"
    make(clip)  # type: ignore[operator]
    with pytest.raises(kind) as caught:
        _normalise(clip, work)
    assert caught.value.remedy
    assert os.listdir(work) == []


@pytest.mark.parametrize(
    ("limits", "kind", "words"),
    [
        (ClipLimits(max_bytes=100), MediaTooLarge, "MB"),
        (ClipLimits(max_duration_s=0.5), MediaTooLarge, "lasts"),
        (ClipLimits(max_pixels=5000), MediaTooLarge, "frames are 96x64"),
        (ClipLimits(max_frame_rate=20), MediaTooLarge, "frames a second"),
        (ClipLimits(budget=DecodeBudget(wall_s=0.05)), DecodeTimeout, "more than"),
    ],
)
def test_limits(tmp_path: Path, work: Path, limits: ClipLimits, kind: type, words: str) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, 25, sound=tone(1.0))
    with pytest.raises(kind, match=words) as caught:
        _normalise(clip, work, limits=limits)
    assert caught.value.remedy
    assert os.listdir(work) == []


def test_frames_that_need_too_much_memory(tmp_path: Path, work: Path) -> None:
    """Enough for the decoder to start in, and far too little for its pictures: what is hardly enough for its libraries
    ends in many ways."""
    clip = write_media(tmp_path / "clip.mp4", lambda index: numbered(index, 2560, 1600), 12, sound=tone(0.5))
    with pytest.raises(MediaTooLarge, match="memory") as caught:
        _normalise(clip, work, limits=ClipLimits(budget=DecodeBudget(memory_mb=400)))
    assert caught.value.remedy
    assert os.listdir(work) == []


def test_a_missing_clip(work: Path) -> None:
    with pytest.raises(NotFound):
        _normalise(work / "nothing.mp4", work)


@pytest.mark.parametrize(
    ("suffix", "codec", "rate", "channels"),
    [
        ("wav", "pcm_s16le", 192000, 2),
        ("wav", "pcm_f32le", 8000, 1),
        ("mp3", "libmp3lame", 44100, 2),
        ("m4a", "aac", 48000, 1),
        ("ogg", "libopus", 48000, 2),
        ("flac", "flac", 96000, 1),
        ("webm", "libopus", 48000, 1),
    ],
)
def test_recordings_of_every_kind(tmp_path: Path, suffix: str, codec: str, rate: int, channels: int) -> None:
    recording = write_media(
        tmp_path / f"r.{suffix}", sound=click(1.0, 1.7, rate, channels), sound_codec=codec, rate=rate
    )
    seconds = normalise_recording(recording, tmp_path / "out.wav")
    samples = read_wav(tmp_path / "out.wav")
    assert len(samples) == round(seconds * 16000)
    assert seconds == pytest.approx(1.7, abs=0.06)
    assert click_time(samples, 16000) == pytest.approx(1.0, abs=0.03)
    assert soundfile.info(str(tmp_path / "out.wav")).samplerate == 16000


def test_the_sound_of_a_video_is_a_recording(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mp4", numbered, 50, sound=click(1.0, 2.0))
    assert normalise_recording(clip, tmp_path / "out.wav") == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("seconds", [0.1, 0.33, 1.0, 7.77, 30.0])
def test_lengths_of_recordings_are_exact(tmp_path: Path, seconds: float) -> None:
    soundfile.write(tmp_path / "r.wav", tone(seconds, 44100), 44100)
    assert normalise_recording(tmp_path / "r.wav", tmp_path / "out.wav") == pytest.approx(seconds, abs=0.001)


def _no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 16000)


def _silence(path: Path) -> None:
    soundfile.write(path, np.zeros(16000), 16000)


def _mute_video(path: Path) -> None:
    write_media(path.with_suffix(".mp4"), numbered, 25).rename(path)


def _blip(path: Path) -> None:
    soundfile.write(path, tone(0.02), RATE)


@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (_no_samples, (TooShort, UnreadableMedia)),
        (_blip, (TooShort,)),
        (_silence, (NoSound,)),
        (_mute_video, (NoSound,)),
        (_text, (UnreadableMedia,)),
        (_empty, (UnreadableMedia,)),
    ],
)
def test_bad_recordings_leave_nothing_behind(
    tmp_path: Path, work: Path, make: object, kinds: tuple[type[Exception], ...]
) -> None:
    make(tmp_path / "r.wav")  # type: ignore[operator]
    with pytest.raises(kinds) as caught:
        normalise_recording(tmp_path / "r.wav", work / "out.wav")
    assert caught.value.remedy  # type: ignore[attr-defined]
    assert os.listdir(work) == []


def test_a_recording_over_the_limit(tmp_path: Path, work: Path) -> None:
    soundfile.write(tmp_path / "r.wav", tone(3.0, 8000), 8000)
    with pytest.raises(MediaTooLarge, match="limit"):
        normalise_recording(tmp_path / "r.wav", work / "out.wav", limits=RecordingLimits(max_seconds=1.0))
    assert os.listdir(work) == []


def test_an_hour_of_sound_in_flat_memory(tmp_path: Path) -> None:
    """An hour at 48 kHz is 691 MB as float32: it could not pass if it were held."""
    hour, rate = 3600, 8000
    with soundfile.SoundFile(tmp_path / "hour.flac", "w", rate, 1, "PCM_16") as file:
        minute = tone(60.0, rate)
        for _ in range(hour // 60):
            file.write(minute)
    flat = RecordingLimits(budget=DecodeBudget(memory_mb=600, cpu_s=120, wall_s=120))
    assert normalise_recording(tmp_path / "hour.flac", tmp_path / "out.wav", limits=flat) == hour
    assert soundfile.info(str(tmp_path / "out.wav")).frames == hour * 16000
