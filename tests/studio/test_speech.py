from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("espeakng_loader", reason="a tool for making data; pip install espeakng-loader==0.2.4")

from studio.speech import speak


def test_phonemes_cover_the_sound_in_order() -> None:
    speech = speak("Hello, my name is Robin.")
    assert speech.samples.dtype == np.float32
    assert 0.1 < np.abs(speech.samples).max() <= 1.0
    assert "".join(p.ipa for p in speech.phonemes).startswith("həl")
    for before, after in zip(speech.phonemes, speech.phonemes[1:], strict=False):
        assert before.start_s < before.end_s <= after.start_s + 1e-9
    assert speech.phonemes[-1].end_s <= len(speech.samples) / speech.sample_rate + 1e-6


def test_pauses_are_quiet_and_vowels_are_loud() -> None:
    speech = speak("Ah. Ah. Ah.")
    levels: dict[bool, list[float]] = {True: [], False: []}
    for phoneme in speech.phonemes:
        part = speech.samples[
            int(phoneme.start_s * speech.sample_rate) : int(phoneme.end_s * speech.sample_rate)
        ]
        levels[phoneme.ipa == ""].append(float(np.sqrt((part**2).mean())))
    assert np.mean(levels[False]) > 4 * np.mean(levels[True])


def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(ValueError, match="nobody"):
        speak("Hello.", voice="nobody-speaks-this")
