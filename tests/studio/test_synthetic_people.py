from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from faces.morphable import EYES, MorphableModel
from faces.track import Motion
from studio.face_region import face_region
from studio.synthetic_people import SyntheticPerson, unmodelled_shape

MODEL = MorphableModel.load()


@pytest.fixture(scope="module")
def person() -> SyntheticPerson:
    return SyntheticPerson.invent(5)


def still(**expression: float) -> Motion:
    row = np.zeros((1, len(MODEL.expression_names)), np.float32)
    for name, amount in expression.items():
        row[0, MODEL.expression_index(name)] = amount
    return Motion(np.zeros((1, 3)), np.zeros((1, 3)), row, np.zeros((1, 2)))


def test_no_identity_of_the_model_can_say_the_added_shape() -> None:
    field = unmodelled_shape(np.random.default_rng(1), MODEL, 1.0)
    face = face_region(MODEL)
    assert np.sqrt((field[face] ** 2).sum(1).mean()) == pytest.approx(1.0, abs=0.05)
    basis = MODEL.identity_basis[face].reshape(-1, MODEL.identity_basis.shape[-1])
    target = field[face].ravel()
    # Within three deviations: the smallest components, .002 mm each, could say a little more at twenty.
    said = lsq_linear(basis.astype(np.float64), target.astype(np.float64), (-3.0, 3.0)).x
    left = np.linalg.norm(target - basis @ said) / np.linalg.norm(target)
    assert left > 0.75  # .80 to .90 measured on five people; .2 to .3 where nothing is taken out
    assert np.linalg.norm(field, axis=1).max() < 12, "no spikes where no face holds it"


def test_eyeballs_stay_round(person: SyntheticPerson) -> None:
    for ball in MODEL.eyeballs:
        span = np.ptp(person.neutral[ball], axis=0)
        assert span.max() / span.min() < 1.15 * (
            np.ptp(MODEL.mean[ball], axis=0).max() / np.ptp(MODEL.mean[ball], axis=0).min()
        )


def test_lids_just_meet(person: SyntheticPerson) -> None:
    shut = still(eyeBlinkLeft=person.shut, eyeBlinkRight=person.shut, eyeSquintLeft=0.3, eyeSquintRight=0.3)
    points = MODEL.landmark_points(person.vertices(shut))[0]
    gap = points[[159, 386], 1] - points[[145, 374], 1]
    assert np.abs(gap).max() < 2.0


def test_expressions_move_this_person_a_little_differently(person: SyntheticPerson) -> None:
    opened = person.vertices(still(jawOpen=0.6))[0]
    plain = MODEL.vertices(person.neutral, still(jawOpen=0.6).expression)[0]
    moved = np.linalg.norm(plain - person.neutral, axis=1)
    off = np.linalg.norm(opened - plain, axis=1)
    assert 0.01 < off[moved > 2].mean() / moved[moved > 2].mean() < 0.3
    assert off[MODEL.vertex_part == EYES].max() < 1e-5


def test_the_same_seed_is_the_same_person(person: SyntheticPerson) -> None:
    again = SyntheticPerson.invent(5)
    np.testing.assert_array_equal(again.neutral, person.neutral)
    np.testing.assert_array_equal(again.albedo, person.albedo)
    assert again.look == person.look
