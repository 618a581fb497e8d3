"""Known words are found in another voice's recording, on time."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

pytest.importorskip("espeakng_loader")

from studio.speech import Speech, speak
from studio.speech_world.alignment import RATE, align

TEXTS = {
    "en-us": "Please press the button, and wait for the mother of the boy.",
    "de": "Der Bäcker öffnet um sieben Uhr seinen Laden im Dorf.",
    "it": "La mamma porta la bambina alla spiaggia ogni domenica.",
}


def sound(speech: Speech) -> np.ndarray:
    return np.asarray(soxr.resample(speech.samples, speech.sample_rate, RATE), np.float32)


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("rate", [120, 200])
def test_another_voice_is_aligned_within_a_frame(language: str, rate: int) -> None:
    heard = speak(TEXTS[language], voice=f"{language}+m7", words_per_minute=rate, pitch=30)
    result = align(sound(heard), speak(TEXTS[language], voice=f"{language}+f3", words_per_minute=155))
    true = [p for p in heard.phonemes if p.ipa]
    found = [p for p in result.phonemes if p.ipa]
    if [p.ipa for p in true] == [p.ipa for p in found]:  # espeak may reduce a vowel at another rate
        errors = np.array([a.start_s - b.start_s for a, b in zip(found, true, strict=True)])
        assert np.median(np.abs(errors)) < 0.015
        assert abs(np.median(errors)) < 0.008
        assert np.percentile(np.abs(errors), 90) < 0.04
    else:
        assert language != "en-us"
    assert result.misfit < 0.55
    ends = [p.end_s for p in result.phonemes]
    starts = [p.start_s for p in result.phonemes]
    assert starts[0] == 0
    np.testing.assert_allclose(starts[1:], ends[:-1])
    assert ends[-1] == pytest.approx(len(sound(heard)) / RATE)


def test_other_words_do_not_fit() -> None:
    heard = sound(speak(TEXTS["en-us"], voice="en-us+m7"))
    right = align(heard, speak(TEXTS["en-us"], voice="en-us+f3")).misfit
    wrong = align(heard, speak("Nobody knew how many apples were left in there.", voice="en-us+f3")).misfit
    assert wrong > right + 0.15
    assert wrong > 0.62 > right


def test_leading_silence_is_a_pause() -> None:
    speech = speak(TEXTS["en-us"], voice="en-us+m7")
    late = np.concatenate([np.zeros(int(0.4 * RATE), np.float32), sound(speech)])
    first = next(p for p in align(late, speak(TEXTS["en-us"], voice="en-us+f3")).phonemes if p.ipa)
    expected = next(p.start_s for p in speech.phonemes if p.ipa) + 0.4
    assert abs(first.start_s - expected) < 0.04


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be aligned"):
        align(np.zeros(9 * RATE, np.float32), speak("Hello.", voice="en-us"))
