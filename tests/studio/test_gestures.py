from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import MorphableModel
from studio.gestures import FPS, VISEMES, blinks, gaze, mouth, perform, sides, viseme_of, wander
from studio.speech import Phoneme

NAMES = MorphableModel.load().expression_names
JAW, PRESS = NAMES.index("jawOpen"), NAMES.index("mouthPressLeft")


def sounds(*symbols: str, each_s: float = 0.12) -> tuple[Phoneme, ...]:
    return tuple(Phoneme(ipa, n * each_s, (n + 1) * each_s) for n, ipa in enumerate(symbols))


def test_every_viseme_names_expressions_the_head_has() -> None:
    for viseme in VISEMES.values():
        for name in viseme.target:
            assert set(sides(name)) <= set(NAMES)


def test_a_symbol_belongs_to_one_viseme() -> None:
    symbols = "".join(VISEMES)
    assert len(symbols) == len(set(symbols))


@pytest.mark.parametrize(("ipa", "shapes"), [("p", 1), ("ˈaɪ", 2), ("ɑː", 1), ("", 1), ("?!", 1)])
def test_a_diphthong_has_two_shapes(ipa: str, shapes: int) -> None:
    assert len(viseme_of(ipa)) == shapes


def test_lips_close_between_open_vowels() -> None:
    value = mouth(sounds("", "ɑː", "ɑː", "p", "ɑː", "ɑː", ""), 21, NAMES)
    closed = int((3 + 0.5) * 0.12 * FPS)
    assert value[closed, JAW] < 0.45 * max(value[closed - 3, JAW], value[closed + 3, JAW])
    assert value[closed, PRESS] > 2 * value[closed - 3, PRESS]
    assert value.min() >= 0
    assert value.max() <= 1


def test_the_mouth_opens_on_the_vowel_and_rests_in_silence() -> None:
    value = mouth(sounds("", "", "", "", "æ", "", "", "", ""), 27, NAMES)
    assert abs(int(value[:, JAW].argmax()) - int(4.5 * 0.12 * FPS)) <= 1
    assert value[0, JAW] < 0.02
    assert value[-1, JAW] < 0.02


def test_a_sound_shapes_its_neighbours() -> None:
    pucker = NAMES.index("mouthPucker")
    before_u = mouth(sounds("", "t", "uː", ""), 12, NAMES)[4, pucker]
    before_i = mouth(sounds("", "t", "iː", ""), 12, NAMES)[4, pucker]
    assert before_u > before_i + 0.05


def test_blinks_close_fully_and_are_rare() -> None:
    closure = blinks(np.random.default_rng(0), 1500)
    count = int(((closure[1:] == 1) & (closure[:-1] < 1)).sum())
    assert 12 <= count <= 32  # in a minute
    assert (closure > 0.4).mean() < 0.12


def test_gaze_rests_and_jumps() -> None:
    moves = np.linalg.norm(np.diff(gaze(np.random.default_rng(0), 1000), axis=0), axis=1)
    assert np.median(moves) < 1e-3
    assert moves.max() > 0.02


def test_wandering_is_smooth_and_of_unit_size() -> None:
    noise = wander(np.random.default_rng(0), 5000, 1.0)
    assert 0.7 < noise.std() < 1.3
    assert np.abs(np.diff(noise)).max() < 0.4


def test_a_performance_is_a_motion_of_its_length_and_repeats_with_its_seed() -> None:
    phonemes = sounds("h", "ə", "l", "ˈoʊ", "")
    first, again, other = (
        perform(phonemes, 15, NAMES, distance_mm=800.0, rise_mm=30.0, seed=seed) for seed in (1, 1, 2)
    )
    assert len(first) == 15
    assert np.array_equal(first.rotation, again.rotation)
    assert not np.array_equal(first.rotation, other.rotation)
    assert np.abs(first.translation[:, 2] - 800.0).max() < 40.0
    assert first.expression.min() >= 0
    assert first.expression.max() <= 1
