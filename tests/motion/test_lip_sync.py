"""Lips and voice: the bundled presenter's own, late by known times, somebody else's, and none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faces.mouth import lip_shape
from media.audio import read_wav
from media.normalise import normalise_recording
from motion.features import extract
from motion.lip_sync import FURTHEST, expected_lips, follow, lips_follow_voice
from motion.shift import shifted
from motion.sound_ranges import heard_frames

Array = np.ndarray


@pytest.fixture(scope="module")
def voices(
    tmp_path_factory: pytest.TempPathFactory, sample_clip: Path, sample_recording: Path
) -> list[Array]:
    """Twelve seconds of the presenter's clip, and of the other sentence, which is shorter."""
    folder = tmp_path_factory.mktemp("voices")
    for name, path in (("clip", sample_clip), ("other", sample_recording)):
        normalise_recording(path, folder / f"{name}.wav")
    return [read_wav(folder / f"{name}.wav")[: 12 * 16000] for name in ("clip", "other")]


@pytest.fixture(scope="module")
def mouth(voices: list[Array]) -> Array:
    """A mouth that says what the clip's voice says, as the general model has it, and as much again of noise."""
    lips = expected_lips(extract(voices[0]))
    noise = np.random.default_rng(1).normal(0, 1, lips.shape)
    return np.array([0.3, 0.5]) + lips + noise * lips.std(0)


def everywhere(lips: Array) -> Array:
    return np.ones(len(lips), bool)


def test_a_mouth_and_its_own_voice_belong_together(voices: list[Array], mouth: Array) -> None:
    sync = lips_follow_voice(voices[0], mouth, everywhere(mouth))
    assert sync.verdict == "together"
    assert sync.correlation > 0.5
    assert abs(sync.sound_late_ms) <= 20
    assert sync.z > sync.power
    assert len(sync.windows) == 3
    assert all(r > 0.4 for _, r in sync.windows)


@pytest.mark.parametrize("late_ms", [-1000, -610, -150, 95, 400, 1000])
def test_the_lag_of_a_sound_is_found_to_a_part_of_a_frame(
    voices: list[Array], mouth: Array, late_ms: int
) -> None:
    sync = lips_follow_voice(shifted(voices[0], -late_ms), mouth, everywhere(mouth))
    assert sync.verdict == "shifted"
    assert sync.sound_late_ms == pytest.approx(late_ms, abs=25)
    assert sync.lag == round(-sync.sound_late_ms / 40)


def test_a_lag_that_people_have_is_no_fault(voices: list[Array], mouth: Array) -> None:
    sync = lips_follow_voice(shifted(voices[0], -40), mouth, everywhere(mouth))
    assert sync.verdict == "together"
    assert sync.sound_late_ms == pytest.approx(40, abs=20)


def test_a_voice_that_says_something_else_is_strange(voices: list[Array], mouth: Array) -> None:
    other = np.resize(voices[1], len(voices[0]))
    sync = lips_follow_voice(other, mouth, everywhere(mouth))
    assert sync.verdict == "strange"
    assert sync.z < 3 < sync.power


def test_a_voice_played_backwards_is_strange(voices: list[Array], mouth: Array) -> None:
    assert lips_follow_voice(voices[0][::-1].copy(), mouth, everywhere(mouth)).verdict == "strange"


def test_a_smaller_reach_finds_no_lag_beyond_it(voices: list[Array], mouth: Array) -> None:
    late = shifted(voices[0], -600)
    assert lips_follow_voice(late, mouth, everywhere(mouth)).verdict == "shifted"
    assert lips_follow_voice(late, mouth, everywhere(mouth), furthest=7).verdict == "strange"


def test_every_second_frame_says_as_much(voices: list[Array], mouth: Array) -> None:
    every = lips_follow_voice(voices[0], mouth, everywhere(mouth))
    valid = np.arange(len(mouth)) % 2 == 0
    half = lips_follow_voice(voices[0], np.where(valid[:, None], mouth, np.nan), valid)
    assert half.verdict == "together"
    assert half.frames >= every.frames - 1
    assert half.z > 0.7 * every.z


def test_frames_without_a_mouth_say_nothing(voices: list[Array], mouth: Array) -> None:
    valid = everywhere(mouth)
    valid[40:60] = False
    sync = lips_follow_voice(voices[0], np.where(valid[:, None], mouth, np.nan), valid)
    assert sync.verdict == "together"
    assert sync.frames == len(mouth) - 20
    wild = np.where(valid[:, None], mouth, 100.0)
    assert lips_follow_voice(voices[0], wild, valid).correlation == pytest.approx(sync.correlation)


def test_frames_without_sound_can_be_left_out(voices: list[Array], mouth: Array) -> None:
    cut = np.pad(voices[0][: 4 * 16000], (0, len(voices[0]) - 4 * 16000))
    against = lips_follow_voice(cut, mouth, everywhere(mouth))
    heard = heard_frames(cut, len(mouth))
    sync = follow(extract(cut), mouth, heard)
    assert sync.frames == heard.sum() == pytest.approx(100, abs=2)
    assert sync.correlation > max(0.5, against.correlation + 0.1)
    assert abs(sync.sound_late_ms) <= 40


def test_too_little_to_tell(voices: list[Array], mouth: Array) -> None:
    silence = lips_follow_voice(np.zeros_like(voices[0]), mouth, everywhere(mouth))
    assert (silence.verdict, silence.correlation, silence.voiced_s) == ("unheard", 0.0, 0.0)
    unseen = lips_follow_voice(voices[0], np.full_like(mouth, np.nan), np.zeros(len(mouth), bool))
    assert unseen.verdict == "unheard"
    assert unseen.voiced_s > 4
    short = lips_follow_voice(voices[0], mouth[:40], everywhere(mouth[:40]))
    assert short.verdict == "unheard"


def test_a_still_mouth_and_a_hum_are_not_taken_for_agreement(voices: list[Array], mouth: Array) -> None:
    still = lips_follow_voice(voices[0], np.full_like(mouth, 0.4), everywhere(mouth))
    assert still.z == pytest.approx(0, abs=1e-6)
    hum = 0.2 * np.sin(2 * np.pi * 140 * np.arange(len(voices[0])) / 16000)
    assert lips_follow_voice(hum.astype(np.float32), mouth, everywhere(mouth)).verdict in (
        "strange",
        "unsure",
    )


def test_chance_stays_below_the_lines(voices: list[Array]) -> None:
    """Mouths that know nothing of the voice: slow noise, as slow as speech."""
    rng = np.random.default_rng(5)
    frames = len(voices[0]) // 640
    kernel = np.hanning(9)
    verdicts = []
    for _ in range(30):
        lips = np.stack([np.convolve(rng.normal(0, 1, frames + 8), kernel, "valid") for _ in range(2)], 1)
        verdicts.append(lips_follow_voice(voices[0], lips, everywhere(lips)).verdict)
    assert "shifted" not in verdicts
    assert verdicts.count("together") <= 1
    assert verdicts.count("strange") >= 20


def test_the_bundled_presenter(voices: list[Array], sample_clip: Path) -> None:
    from fitting.landmarks import FaceLandmarker
    from media.decode import read_frames

    with FaceLandmarker() as landmarker:
        lips = lip_shape(landmarker.track(read_frames(sample_clip, max_side=320, stop=200)).points)
    valid = np.isfinite(lips).all(1)
    sync = lips_follow_voice(voices[0], lips, valid)
    assert sync.verdict == "together"
    assert sync.z > 6
    late = lips_follow_voice(shifted(voices[0], 400), lips, valid)
    assert late.sound_late_ms == pytest.approx(sync.sound_late_ms - 400, abs=20)
    assert FURTHEST * 40 >= 1000
