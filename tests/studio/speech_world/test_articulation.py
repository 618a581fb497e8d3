"""Mouths that speak: contacts in every style, alignment, rest."""

from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import MorphableModel
from motion.targets import head_geometry
from studio.babble import babble
from studio.speech import Phoneme
from studio.speech_world.articulation import BITE_OPENING, ArticulationStyle, articulate
from studio.speech_world.articulators import BILABIALS, GESTURES, gestures_of

MODEL = MorphableModel.load()
NAMES = MODEL.expression_names
GEOMETRY = head_geometry(MODEL, NAMES, MODEL.mean)


def style(seed: int) -> ArticulationStyle:
    return ArticulationStyle.draw(np.random.default_rng(seed), NAMES)


@pytest.mark.parametrize("seed", range(12))
def test_bilabials_close_and_labiodentals_touch_in_every_style(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phonemes = babble(rng, 20.0)
    manner = style(seed)
    spoken = articulate(phonemes, 500, manner, NAMES, GEOMETRY, np.zeros(500), rng)
    assert spoken.expression.min() >= 0
    assert spoken.expression.max() <= 1
    for phoneme in phonemes:
        contact = {symbol in BILABIALS for symbol in gestures_of(phoneme.ipa) if symbol in "pbmfv"}
        if len(contact) != 1:
            continue
        middle = ((phoneme.start_s + 0.35 * (phoneme.end_s - phoneme.start_s)) - manner.lead_s) * 25 - 0.5
        near = spoken.opening[max(0, round(middle) - 1) : round(middle) + 2]
        assert near.min() < (0.003 if contact == {True} else BITE_OPENING + 0.003), phoneme


def test_the_mouth_moves_when_the_sound_does() -> None:
    """A vowel from 1.0 to 1.2 s: the opening peaks at its middle, ahead by the person's lead; never a frame off."""
    phonemes = (Phoneme("", 0, 1.0), Phoneme("ˈɑː", 1.0, 1.2), Phoneme("", 1.2, 2.0))
    for seed in range(8):
        manner = style(seed)
        spoken = articulate(phonemes, 50, manner, NAMES, GEOMETRY, np.zeros(50), np.random.default_rng(0))
        times = (np.arange(50) + 0.5) / 25 + manner.lead_s
        window = (times > 0.7) & (times < 1.5)
        wide = spoken.opening - spoken.opening[:12].mean()
        wide = np.where(window, np.clip(wide, 0, None), 0)
        centre = float((wide * times).sum() / wide.sum())
        assert abs(centre - 1.1) < 0.05


def test_silence_is_the_persons_rest_mouth_and_not_speech() -> None:
    phonemes = (*babble(np.random.default_rng(1), 4.0), Phoneme("", 4.0, 10.0))
    openings = []
    for seed in range(20):
        spoken = articulate(
            phonemes, 250, style(seed), NAMES, GEOMETRY, np.zeros(250), np.random.default_rng(seed)
        )
        quiet = np.abs(np.diff(spoken.opening[115:235])).mean()
        loud = np.abs(np.diff(spoken.opening[:95])).mean()
        assert quiet < 0.2 * loud
        openings.append(float(spoken.opening[120:220].mean()))
    # Some people rest with open lips and some with closed ones.
    assert min(openings) < 0.01
    assert max(openings) > 0.03


def test_vowels_and_rounding_are_told_apart() -> None:
    def held(ipa: str) -> np.ndarray:
        spoken = articulate(
            (Phoneme(ipa, 0, 2.0),), 50, style(3), NAMES, GEOMETRY, np.zeros(50), np.random.default_rng(0)
        )
        return spoken.expression[20:30].mean(0)

    jaw, pucker = NAMES.index("jawOpen"), NAMES.index("mouthPucker")
    assert held("a")[jaw] > 1.5 * held("i")[jaw]
    assert held("u")[pucker] > held("i")[pucker] + 0.1
    assert {"p", "a", "ʃ", "y", "ʁ"} <= set(GESTURES)


def test_people_differ_and_repeat() -> None:
    phonemes = babble(np.random.default_rng(5), 8.0)
    once, again, other = (
        articulate(
            phonemes, 200, style(seed), NAMES, GEOMETRY, np.zeros(200), np.random.default_rng(0)
        ).opening
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, again)
    r = np.corrcoef(once, other)[0, 1]
    assert 0.4 < r < 0.99


def test_more_effort_is_a_wider_mouth() -> None:
    phonemes = babble(np.random.default_rng(6), 8.0)
    effort = np.where(np.arange(200) < 100, -1.0, 1.0)
    spoken = articulate(phonemes, 200, style(1), NAMES, GEOMETRY, effort, np.random.default_rng(0))
    even = articulate(phonemes, 200, style(1), NAMES, GEOMETRY, np.zeros(200), np.random.default_rng(0))
    assert spoken.opening[:95].std() < even.opening[:95].std()
    assert spoken.opening[105:].std() > even.opening[105:].std()
