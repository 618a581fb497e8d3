"""The sound track with the voice, and channels that do not cancel each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from media.audio import read_wav
from media.encode import VideoWriter
from media.normalise import normalise_clip, normalise_recording
from media.probe import probe
from media.sound import read_sound
from media.tracks import choose_sound
from problems import InvalidParameter, NoSound
from tests.media.generated import RATE, numbered, tone, write_media


def _spoken(seconds: float, pitch: float = 180.0) -> NDArray[np.float32]:
    """Syllables of a tone: loud and quiet in turn, as speech is."""
    time = np.arange(round(seconds * RATE)) / RATE
    voice = 0.3 * np.sin(2 * np.pi * pitch * time) * (np.sin(2 * np.pi * 2.5 * time) > 0)
    return voice.astype(np.float32)[:, None]


def _hiss(seconds: float, level: float = 0.05) -> NDArray[np.float32]:
    noise = np.random.default_rng(0).normal(0, level, (round(seconds * RATE), 1))
    return noise.astype(np.float32)


def _silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros((round(seconds * RATE), 1), np.float32)


def _pitch(samples: NDArray[np.float32], rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples.reshape(-1)))
    return float(np.argmax(spectrum)) * rate / samples.size


@pytest.mark.parametrize("first", [_silence, _hiss])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_voice_in_the_second_track_is_heard(tmp_path: Path, first: object, suffix: str) -> None:
    clip = write_media(
        tmp_path / f"clip.{suffix}",
        numbered,
        50,
        sound=first(2.0),  # type: ignore[operator]
        more_sounds=[_spoken(2.0)],
    )
    audio = probe(clip, isolated=False).audio
    assert audio is not None
    assert (audio.track, audio.tracks, audio.choice) == (2, 2, "voice")
    normalise_clip(clip, tmp_path / "out.mp4", tmp_path / "out.wav")
    normalise_recording(clip, tmp_path / "voice.wav")
    for wav in ("out.wav", "voice.wav"):
        assert _pitch(read_wav(tmp_path / wav), 16000) == pytest.approx(180, abs=2)
    with VideoWriter(tmp_path / "dub.mp4", 96, 64, audio=clip) as writer:
        for index in range(50):
            writer.write(numbered(index))
    sound = np.concatenate(list(read_sound(tmp_path / "dub.mp4", rate=16000)))
    assert _pitch(sound, 16000) == pytest.approx(180, abs=2)


def test_the_usual_track_is_kept_when_it_speaks_and_another_one_can_be_named(tmp_path: Path) -> None:
    clip = write_media(
        tmp_path / "clip.mkv", numbered, 50, sound=_spoken(2.0), more_sounds=[_spoken(2.0, 300)]
    )
    assert choose_sound(clip) is not None
    for track, pitch in ((None, 180), (1, 180), (2, 300)):
        normalise_recording(clip, tmp_path / "a.wav", audio_track=track)
        assert _pitch(read_wav(tmp_path / "a.wav"), 16000) == pytest.approx(pitch, abs=2)
        normalise_clip(clip, tmp_path / "a.mp4", tmp_path / "b.wav", audio_track=track)
        assert _pitch(read_wav(tmp_path / "b.wav"), 16000) == pytest.approx(pitch, abs=2)
    with VideoWriter(tmp_path / "dub.mp4", 96, 64, audio=clip, audio_track=2) as writer:
        for index in range(50):
            writer.write(numbered(index))
    sound = np.concatenate(list(read_sound(tmp_path / "dub.mp4", rate=16000)))
    assert _pitch(sound, 16000) == pytest.approx(300, abs=2)


def test_a_track_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mkv", numbered, 10, sound=tone(0.4))
    for attempt in (
        lambda: normalise_recording(clip, tmp_path / "a.wav", audio_track=3),
        lambda: normalise_clip(clip, tmp_path / "a.mp4", tmp_path / "a.wav", audio_track=3),
        lambda: probe(clip, audio_track=3),
        lambda: VideoWriter(tmp_path / "b.mp4", 96, 64, audio=clip, audio_track=3).__enter__(),
    ):
        with pytest.raises(InvalidParameter, match="1 sound track: there is no sound track 3") as caught:
            attempt()
        assert caught.value.details["field"] == "audio_track"
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize("weaker", [1.0, 0.5])
def test_channels_out_of_phase_do_not_cancel_each_other(tmp_path: Path, weaker: float) -> None:
    voice = _spoken(2.0)
    recording = write_media(
        tmp_path / "voice.flac", sound=np.hstack([voice, -weaker * voice]), sound_codec="flac"
    )
    audio = probe(recording, isolated=False).audio
    assert audio is not None
    assert audio.mix == "left"
    normalise_recording(recording, tmp_path / "voice.wav")
    heard = read_wav(tmp_path / "voice.wav")
    assert float(np.sqrt(np.mean(heard**2))) == pytest.approx(float(np.sqrt(np.mean(voice**2))), rel=0.05)
    # The video's sound is heard by telephones with one loudspeaker, too.
    with VideoWriter(tmp_path / "dub.mp4", 96, 64, audio=recording) as writer:
        for index in range(50):
            writer.write(numbered(index))
    both = np.concatenate(list(read_sound(tmp_path / "dub.mp4", rate=16000, channels=2)))
    assert float(np.abs(both.mean(1)).max()) > 0.25


def test_other_stereo_is_averaged(tmp_path: Path) -> None:
    left, right = _spoken(2.0), _spoken(2.0, 300)
    for sound in (np.hstack([left, left]), np.hstack([left, right]), np.hstack([left, 0 * left])):
        recording = write_media(tmp_path / "voice.flac", sound=sound, sound_codec="flac")
        choice = choose_sound(recording)
        assert choice is not None
        assert choice.mix == "mean"
        heard = np.concatenate(list(read_sound(recording, rate=RATE)))
        assert heard[:, 0] == pytest.approx(sound.mean(1), abs=1e-4)


def test_silence_in_all_tracks_stays_silence(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "clip.mkv", numbered, 25, sound=_silence(1.0), more_sounds=[_silence(1.0)])
    choice = choose_sound(clip)
    assert choice is not None
    assert (choice.track, choice.why) == (1, "default")
    with pytest.raises(NoSound, match="silent"):
        normalise_recording(clip, tmp_path / "a.wav")
