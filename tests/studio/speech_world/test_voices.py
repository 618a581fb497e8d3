"""Texts and voices: enough of them, and none on both sides."""

from __future__ import annotations

import numpy as np

from studio.speech_world.voices import (
    HELD_OUT_LANGUAGES,
    HELD_OUT_VARIANTS,
    VARIANTS,
    draw_text,
    draw_voice,
    sentences,
)


def test_there_are_many_languages_and_voices() -> None:
    texts = sentences()
    assert len(set(texts) - set(HELD_OUT_LANGUAGES)) >= 12
    assert set(HELD_OUT_LANGUAGES) <= set(texts)
    assert all(len(set(lines)) >= 8 for lines in texts.values())
    assert len(set(VARIANTS)) >= 30
    assert not set(VARIANTS) & set(HELD_OUT_VARIANTS)


def test_held_out_voices_are_never_drawn_for_training() -> None:
    rng = np.random.default_rng(0)
    trained = [draw_voice(rng, "train") for _ in range(400)]
    unheard = [draw_voice(rng, "held-out") for _ in range(400)]
    assert not {v.language for v in trained} & set(HELD_OUT_LANGUAGES)
    assert not {v.variant for v in trained} & {v.variant for v in unheard}
    assert {v.language for v in unheard} > set(HELD_OUT_LANGUAGES)
    assert len({v.name for v in trained}) > 200


def test_texts_hardly_repeat_and_are_spelt_like_the_language() -> None:
    for language in sentences():
        rng = np.random.default_rng(1)
        drawn = [draw_text(rng, language) for _ in range(200)]
        assert all(text.strip(" .,!?") for text in drawn)
        assert len(set(drawn)) > 140
        known = set("".join(sentences()[language]).lower())
        assert set("".join(drawn).lower()) <= known | set(" .,!?")
