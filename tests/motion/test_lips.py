"""The mouth that is shown: quiet in pauses, at rest in silence, shut at bilabials, as strong as asked."""

from __future__ import annotations

import numpy as np
import pytest

from motion.lips import shown_mouth
from tests.motion.conftest import Person, person  # noqa: F401

FRAMES = 300


@pytest.fixture
def deviation(person: Person) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = np.zeros((FRAMES, len(person.track.expression_names)), np.float32)
    values[:, person.track.expression_names.index("jawOpen")] = 0.1 * rng.standard_normal(FRAMES)
    return values


def show(person: Person, deviation: np.ndarray, speaking: np.ndarray, **options: object) -> np.ndarray:
    model = person.predictor.model
    settings: dict[str, object] = {"contact": None, "strength": 1.0, "smoothing": 0.0, **options}
    mean = model.mean[: deviation.shape[1]]
    return shown_mouth(deviation, mean, speaking, style=model.style, **settings)  # type: ignore[arg-type]


def speech_with_pause(pause: slice) -> np.ndarray:
    speaking = np.ones(FRAMES, np.float32)
    speaking[pause] = 0.0
    return speaking


def test_a_pause_follows_the_slow_part_only(person: Person, deviation: np.ndarray) -> None:
    names = person.track.expression_names
    jaw = names.index("jawOpen")
    deviation[140:170, jaw] += 0.15  # this pause is spent with the mouth open
    spoken = show(person, deviation, np.ones(FRAMES, np.float32))[:, jaw]
    paused = show(person, deviation, speech_with_pause(slice(140, 170)))[:, jaw]
    inside = slice(150, 161)
    assert np.abs(np.diff(paused[inside])).max() < 0.1 * np.abs(np.diff(spoken[inside])).mean()
    # The pause's own mouth, not the mean and not what was said before it.
    assert abs(paused[inside].mean() - spoken[140:170].mean()) < 0.04
    np.testing.assert_allclose(paused[:125], spoken[:125], atol=1e-4)


def test_a_long_silence_is_the_persons_rest(person: Person, deviation: np.ndarray) -> None:
    names = person.track.expression_names
    jaw = names.index("jawOpen")
    shown = show(person, deviation, speech_with_pause(slice(100, 300)))[:, jaw]
    np.testing.assert_allclose(shown[200:], person.predictor.model.style.rest[jaw], atol=1e-3)
    still = show(person, deviation, speech_with_pause(slice(100, 300)), strength=0.0)
    assert np.abs(np.diff(still, axis=0)).max() < 1e-6


def test_lips_meet_where_they_must(person: Person, deviation: np.ndarray) -> None:
    style = person.predictor.model.style
    contact = np.zeros(FRAMES, np.float32)
    contact[[50, 51, 200]] = 1.0
    speaking = np.ones(FRAMES, np.float32)
    deviation[[50, 51, 200], person.track.expression_names.index("jawOpen")] = 0.3
    opening = show(person, deviation, speaking, contact=contact) @ style.opening + style.opening_rest
    free = show(person, deviation, speaking) @ style.opening + style.opening_rest
    assert (free[[50, 51, 200]] > style.opening_closed + 0.02).all()
    assert (opening[[50, 51, 200]] < style.opening_closed + 0.01).all()
    np.testing.assert_allclose(opening[100:150], free[100:150], atol=1e-6)
    assert opening.min() > style.opening_floor - 0.01
