from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import EYES, MorphableModel
from studio.head_corrections import FrontView, mirrored_name, rest_tongue, soften, symmetric_units


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


def test_names_of_the_other_side() -> None:
    assert mirrored_name("eyeBlinkLeft") == "eyeBlinkRight"
    assert mirrored_name("jawRight") == "jawLeft"
    assert mirrored_name("mouthPucker") == "mouthPucker"


def test_left_units_become_mirror_images_of_right_ones() -> None:
    rng = np.random.default_rng(0)
    names, partner = ["aLeft", "aRight", "b"], np.array([1, 0, 2])
    units = symmetric_units(names, rng.normal(size=(3, 3, 3)), partner)
    np.testing.assert_allclose(units[partner][..., 0] * [-1, 1, 1], units[..., 1])
    np.testing.assert_allclose(units[partner][..., 2] * [-1, 1, 1], units[..., 2])


def test_softening_spreads_a_border_only_where_it_may() -> None:
    strip = np.array([[n, n + 1, n + 2] for n in range(18)])
    step = np.where(np.arange(20) < 10, 1.0, 0.0)[:, None, None] * np.ones((20, 3, 1))
    soft = soften(step, strip, np.where(np.arange(20) >= 5, 1.0, 0.0))
    np.testing.assert_array_equal(soft[:5], step[:5])
    assert np.abs(np.diff(soft[:, 0, 0])).max() < 0.3
    assert (np.diff(soft[:, 0, 0]) <= 1e-9).all()


def test_a_front_view_measures_in_millimetres() -> None:
    square = np.array([[-2.0, -1, 5], [2, -1, 5], [2, 1, 5], [-2, 1, 5]])
    view = FrontView(np.array([[0, 1, 2], [0, 2, 3]]), (-4, 4), (-4, 4))
    ids, weights = view.shown(square)
    assert (ids >= 0).sum() / 20.0**2 == pytest.approx(8.0, rel=0.02)
    row, column = view.row(0.5), view.column(1.0)
    where = (square[view.triangles[ids[row, column]]] * weights[row, column][:, None]).sum(0)
    np.testing.assert_allclose(where, [1.0, 0.5, 5.0], atol=0.06)


def test_a_resting_tongue_is_lower_towards_the_throat() -> None:
    tongue = np.array([[0.0, 10, 40], [0, 10, 0], [0, 0, 40]])
    np.testing.assert_allclose(rest_tongue(tongue, 0.0, 0.5, 0.1)[:, 1], [5, 1, 0])


def _opening(model: MorphableModel, side: int, amount: float) -> np.ndarray:
    row = np.zeros((1, len(model.expression_names)))
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        row[0, model.expression_index(name)] = amount
    eye = model.eye_centres[side].astype(float)
    view = FrontView(model.triangles.astype(np.int64), (eye[0] - 18, eye[0] + 18), (eye[1] - 15, eye[1] + 15))
    shape = model.vertices(model.mean, row)[0].astype(np.float64)
    shape[:, 2] -= model.recess
    ids, _ = view.shown(shape)
    return ((ids >= 0) & (model.triangle_part[np.maximum(ids, 0)] == EYES)).sum(0) / 20.0


@pytest.mark.parametrize("side", [0, 1])
def test_a_whole_blink_shuts_the_eye_and_half_a_blink_half(model: MorphableModel, side: int) -> None:
    rest, half, shut = (_opening(model, side, amount).max() for amount in (0.0, 0.5, 1.0))
    assert rest > 6.0
    assert half == pytest.approx(rest / 2, rel=0.2)
    assert shut < 0.35


def test_units_of_the_shipped_head_are_mirror_images(model: MorphableModel) -> None:
    flipped = model.mean * np.array([-1, 1, 1], np.float32)
    partner = np.array([np.linalg.norm(model.mean - p, axis=1).argmin() for p in flipped[::40]])
    assert np.linalg.norm(model.mean[partner] - flipped[::40], axis=1).max() < 1e-3
    left, right = (
        model.expression_basis[..., model.expression_index(f"mouthSmile{s}")] for s in ("Left", "Right")
    )
    np.testing.assert_allclose(left[::40] * [-1, 1, 1], right[partner], atol=0.02)
