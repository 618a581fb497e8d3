"""Lips and voice: the bundled presenter's own, late, somebody else's, and none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.audio import read_wav
from media.normalise import normalise_recording
from motion.features import extract
from motion.lip_sync import expected_opening, lips_follow_voice

Array = np.ndarray


@pytest.fixture(scope="module")
def voices(
    tmp_path_factory: pytest.TempPathFactory, sample_clip: Path, sample_recording: Path
) -> list[Array]:
    """Seven seconds of the presenter's clip, and of the other sentence."""
    folder = tmp_path_factory.mktemp("voices")
    for name, path in (("clip", sample_clip), ("other", sample_recording)):
        normalise_recording(path, folder / f"{name}.wav")
    return [read_wav(folder / f"{name}.wav")[: 7 * 16000] for name in ("clip", "other")]


def noisy(opening: Array) -> Array:
    return opening + np.random.default_rng(1).normal(0, 0.5 * opening.std(), len(opening))


def test_lips_that_follow_late_are_found_with_their_lag(voices: list[Array]) -> None:
    lips = noisy(np.roll(expected_opening(extract(voices[0])), 3))
    sync = lips_follow_voice(voices[0], lips, np.ones(len(lips), bool))
    assert sync.lag == 3
    assert sync.correlation > 0.7
    assert 4 < sync.voiced_s < 7


def test_another_sentence_correlates_less(voices: list[Array]) -> None:
    lips = noisy(expected_opening(extract(voices[0])))
    valid = np.ones(len(lips), bool)
    own, strange = (lips_follow_voice(voice, lips, valid).correlation for voice in voices)
    assert own > 0.7
    assert strange < 0.3


def test_frames_without_a_mouth_say_nothing(voices: list[Array]) -> None:
    lips = noisy(expected_opening(extract(voices[0])))
    valid = np.ones(len(lips), bool)
    valid[40:60] = False
    sync = lips_follow_voice(voices[0], np.where(valid, lips, np.nan), valid)
    assert sync.correlation > 0.7
    wild = np.where(valid, lips, 100.0)
    assert lips_follow_voice(voices[0], wild, valid).correlation == pytest.approx(sync.correlation)


def test_silence_and_an_unseen_mouth_have_no_correlation(voices: list[Array]) -> None:
    lips = np.abs(np.sin(np.arange(175) / 3))
    silence = lips_follow_voice(np.zeros(7 * 16000, np.float32), lips, np.ones(175, bool))
    assert (silence.correlation, silence.voiced_s) == (0.0, 0.0)
    unseen = lips_follow_voice(voices[0], np.full(175, np.nan), np.zeros(175, bool))
    assert unseen.correlation == 0.0
    assert unseen.voiced_s > 4


def test_sound_shorter_than_the_picture_is_silence_at_its_end(voices: list[Array]) -> None:
    whole = np.pad(voices[0], (0, 50 * 640))
    lips = noisy(expected_opening(extract(whole)))
    assert lips_follow_voice(voices[0], lips, np.ones(len(lips), bool)).correlation > 0.7
