from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faces.camera import HEAD_TO_CAMERA, Camera, to_camera
from faces.morphable import (
    DEFAULT_MODEL,
    EYES,
    INNER_MOUTH,
    SKIN,
    TEETH,
    TONGUE,
    MorphableModel,
    gaze_matrices,
)
from faces.mouth import LEFT_EYE, LEFT_IRIS, LIPS_INNER, RIGHT_EYE, RIGHT_IRIS
from faces.raster import rasterize
from problems import InvalidPackage

ARKIT_TEXT = """
browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight
eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft
eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft
mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight
mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft
mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft
noseSneerRight tongueOut
"""
ARKIT = ARKIT_TEXT.split()
UPPER_LIDS = (*RIGHT_EYE[1:8], *LEFT_EYE[1:8])
LOWER_LIDS = (*RIGHT_EYE[9:], *LEFT_EYE[9:])


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


def _expression(model: MorphableModel, **amounts: float) -> np.ndarray:
    row = np.zeros((1, len(model.expression_names)))
    for name, amount in amounts.items():
        row[0, model.expression_index(name)] = amount
    return row


def _landmarks(model: MorphableModel, gaze: tuple[float, float] = (0, 0), **amounts: float) -> np.ndarray:
    vertices = model.vertices(model.mean, _expression(model, **amounts), np.array([gaze]))
    return model.landmark_points(vertices)[0]


def test_arrays_fit_together(model: MorphableModel) -> None:
    count, identities, expressions = (
        model.vertex_count,
        model.identity_basis.shape[-1],
        len(model.expression_names),
    )
    assert model.identity_basis.shape == (count, 3, identities)
    assert model.expression_basis.shape == (count, 3, expressions)
    assert model.triangles.min() == 0
    assert model.triangles.max() == count - 1
    assert set(np.unique(model.triangle_part)) == {SKIN, EYES, TEETH, TONGUE, INNER_MOUTH}
    assert 0 <= model.albedo.min() < model.albedo.max() <= 1
    assert model.landmark_triangles.shape == (478,)
    np.testing.assert_allclose(model.landmark_barycentric.sum(1), 1.0, atol=1e-4)
    assert model.landmark_barycentric.min() >= -1e-6
    for value in (model.mean, model.identity_basis, model.expression_basis):
        assert np.isfinite(value).all()


def test_expressions_are_arkit_then_makehuman(model: MorphableModel) -> None:
    assert len(ARKIT) == 52
    assert set(model.expression_names[:52]) == set(ARKIT)
    assert len(set(model.expression_names)) == len(model.expression_names)
    assert len(model.expression_names) > 52
    assert all(name.startswith("mh:") for name in model.expression_names[52:])


def test_each_expression_moves_something(model: MorphableModel) -> None:
    largest = np.linalg.norm(model.expression_basis, axis=1).max(0)  # (E,) mm
    assert largest.min() > 0.3, dict(zip(model.expression_names, largest.round(2), strict=True))
    assert largest.max() < 60


def test_the_licence_lies_beside_the_model() -> None:
    text = (DEFAULT_MODEL.parent / "LICENSE.md").read_text()
    assert "CC0" in text
    assert DEFAULT_MODEL.stat().st_size < 16 * 2**20


def test_a_head_is_a_head_in_millimetres_and_faces_outwards(model: MorphableModel) -> None:
    points = _landmarks(model)
    assert 75 < np.linalg.norm(points[33] - points[263]) < 105  # outer eye corners of an adult
    assert 100 < points[10, 1] - points[152, 1] < 200  # forehead to chin, y up
    assert points[1, 2] > points[[33, 263], 2].max()  # the nose comes out
    placed = to_camera(model.mean, np.zeros(3), np.array([0, 0, 600.0]))
    pixels = np.column_stack([Camera.for_image(256, 256).project(placed), placed[:, 2]])
    everything = rasterize(pixels, model.triangles, (256, 256)).triangle
    outside = rasterize(pixels, model.triangles, (256, 256), cull_backfaces=True).triangle
    assert (everything >= 0).mean() > 0.1
    assert (everything == outside).mean() > 0.999  # a closed surface: what is seen faces outwards


def test_landmarks_are_mirror_images(model: MorphableModel) -> None:
    points = _landmarks(model).astype(np.float64)
    mirrored = points * [-1, 1, 1]
    partner = np.linalg.norm(mirrored[:, None] - points[None], axis=-1).min(1)
    assert np.percentile(partner, 95) < 1.5
    assert partner.max() < 3.0
    for right, left in ((33, 263), (133, 362), (61, 291), (78, 308), (468, 473), (234, 454), (159, 386)):
        assert np.linalg.norm(mirrored[right] - points[left]) < 2.0, (right, left)
    assert np.abs(points[[1, 10, 13, 14, 152, 168], 0]).max() < 1.5  # the midline


def test_upper_lids_follow_a_blink_and_lower_lids_hardly(model: MorphableModel) -> None:
    rest, shut = _landmarks(model), _landmarks(model, eyeBlinkLeft=1, eyeBlinkRight=1)
    fall = rest[:, 1] - shut[:, 1]
    assert fall[list(UPPER_LIDS)].min() > 1.0
    assert fall[[159, 386]].min() > 5.0
    assert np.abs(fall[list(LOWER_LIDS)]).mean() < 0.4 * fall[list(UPPER_LIDS)].mean()
    # The lids meet: what is left between them is under a quarter of the open eye.
    assert (shut[159, 1] - shut[145, 1]) < 0.25 * (rest[159, 1] - rest[145, 1])


def test_left_and_right_are_the_persons_own(model: MorphableModel) -> None:
    rest, wink = _landmarks(model), _landmarks(model, eyeBlinkLeft=1)
    moved = np.linalg.norm(wink - rest, axis=1)
    assert rest[386, 0] > 0  # the person's left is at the image's right
    assert moved[386] > 5 > 0.1 > moved[159]


def test_inner_lips_part_as_the_jaw_opens(model: MorphableModel) -> None:
    rest, half, wide = (_landmarks(model, jawOpen=a) for a in (0.0, 0.5, 1.0))
    gap = [p[13, 1] - p[14, 1] for p in (rest, half, wide)]
    assert 0 <= gap[0] < 4.0  # on the red of the lips, just off the line where they meet
    assert gap[1] > 8
    assert gap[2] == pytest.approx(gap[0] + 2 * (gap[1] - gap[0]), rel=0.01)  # linear
    upper = list(LIPS_INNER[2:9])
    assert np.linalg.norm(wide[upper] - rest[upper], axis=1).mean() < 0.3 * (gap[2] - gap[0])


@pytest.mark.parametrize("yaw", [-0.4, 0.4])
def test_gaze_turns_the_irises_to_the_documented_side(model: MorphableModel, yaw: float) -> None:
    rest, aside = _landmarks(model), _landmarks(model, gaze=(yaw, 0))
    shift = (aside - rest)[[*RIGHT_IRIS, *LEFT_IRIS]]
    assert (np.sign(shift[:, 0]) == np.sign(yaw)).all()  # x > 0 is the image's right
    assert np.abs(shift[:, 0]).min() > 2.0
    assert np.abs(shift[:, 1]).max() < 1.0
    assert HEAD_TO_CAMERA[0, 0] == 1.0  # head x is image x


@pytest.mark.parametrize("pitch", [-0.3, 0.3])
def test_gaze_up_lifts_the_irises(model: MorphableModel, pitch: float) -> None:
    shift = (_landmarks(model, gaze=(0, pitch)) - _landmarks(model))[[RIGHT_IRIS[0], LEFT_IRIS[0]]]
    assert (np.sign(shift[:, 1]) == np.sign(pitch)).all()
    assert np.abs(shift[:, 1]).min() > 2.0
    assert np.abs(shift[:, 0]).max() < 1.0


def test_gaze_leaves_everything_but_the_eyeballs_and_keeps_them_round(model: MorphableModel) -> None:
    rest, aside = (
        model.vertices(model.mean, _expression(model), np.array([g]))[0] for g in ((0, 0), (0.4, 0.2))
    )
    eyes = model.vertex_part == EYES
    np.testing.assert_array_equal(aside[~eyes], rest[~eyes])
    assert np.linalg.norm(aside[eyes] - rest[eyes], axis=1).max() > 2.0
    for eye, centre in zip(model.eyeballs, model.eye_centres, strict=True):
        middle = (rest[eye].min(0) + rest[eye].max(0)) / 2
        assert np.linalg.norm(middle - centre) < 3.0
        before, after = (np.linalg.norm(v[eye] - middle, axis=1) for v in (rest, aside))
        np.testing.assert_allclose(after, before, atol=1e-3)


def test_gaze_matrices_point_where_they_say() -> None:
    look = gaze_matrices(np.array([[0.3, 0.0], [0.0, 0.3], [0.3, 0.2]])) @ [0, 0, 1]
    np.testing.assert_allclose(look[0], [np.sin(0.3), 0, np.cos(0.3)], atol=1e-12)
    np.testing.assert_allclose(look[1], [0, np.sin(0.3), np.cos(0.3)], atol=1e-12)
    assert np.arctan2(look[2, 0], look[2, 2]) == pytest.approx(0.3)
    assert np.arcsin(look[2, 1]) == pytest.approx(0.2)


def test_identity_and_offsets_add_up(model: MorphableModel) -> None:
    rng = np.random.default_rng(0)
    identity = rng.normal(size=model.identity_basis.shape[-1])
    offsets = rng.normal(size=model.mean.shape)
    expected = model.mean + np.einsum("vdk,k->vd", model.identity_basis.astype(np.float64), identity)
    np.testing.assert_allclose(model.neutral(identity), expected, atol=1e-3)
    np.testing.assert_allclose(model.neutral(identity, offsets) - model.neutral(identity), offsets, atol=1e-4)


def test_several_frames_equal_one_by_one(model: MorphableModel) -> None:
    rng = np.random.default_rng(1)
    expression = rng.uniform(0, 1, (3, len(model.expression_names)))
    gaze = rng.normal(0, 0.2, (3, 2))
    together = model.vertices(model.mean, expression, gaze)
    assert together.shape == (3, model.vertex_count, 3)
    for t in range(3):
        alone = model.vertices(model.mean, expression[t : t + 1], gaze[t : t + 1])[0]
        np.testing.assert_allclose(together[t], alone, atol=1e-3)
        linear = model.mean + np.einsum("vde,e->vd", model.expression_basis, expression[t])
        skin = model.vertex_part == SKIN
        np.testing.assert_allclose(together[t][skin], linear[skin], atol=1e-3)


def test_landmark_rows_give_the_landmarks_of_a_displaced_head(model: MorphableModel) -> None:
    rows = model.landmark_rows(model.identity_basis)
    identity = np.random.default_rng(2).normal(size=rows.shape[-1])
    direct = model.landmark_points(model.neutral(identity)) - model.landmark_points(model.mean)
    np.testing.assert_allclose(rows @ identity, direct, atol=2e-3)


def test_a_missing_or_damaged_model_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "head.npz"
    with pytest.raises(InvalidPackage, match=r"head\.npz"):
        MorphableModel.load(tmp_path / "none" / "head.npz")
    broken.write_bytes(DEFAULT_MODEL.read_bytes()[:5000])
    with pytest.raises(InvalidPackage, match="damaged"):
        MorphableModel.load(broken)
    np.savez(tmp_path / "poor.npz", mean=np.zeros((3, 3)))
    with pytest.raises(InvalidPackage):
        MorphableModel.load(tmp_path / "poor.npz")
