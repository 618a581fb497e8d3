"""Foreign models made into the product's own: where landmarks, expressions and added parts end up.

The truth is known because each foreign model is the shipped head, or a person of it, in another format's clothes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from faces.adapters import formats
from faces.adapters.foreign import ForeignModel
from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel
from faces.mouth import LEFT_EYE, LIPS, RIGHT_EYE
from fitting.embed import Embedding, embed
from problems import InvalidPackage
from tests.faces.adapters.generated_models import (
    Head,
    head_parts,
    write_bfm2009,
    write_bfm_h5,
    write_flame,
    write_ict,
)


@lru_cache(maxsize=1)
def bfm() -> tuple[ForeignModel, Embedding]:
    """The shipped head's skin as a BFM 2009 with expressions."""
    with TemporaryDirectory() as folder:
        foreign = formats.read(*write_bfm2009(Path(folder)))
    return foreign, embed(foreign, "bfm2009")


def landmark_errors(model: MorphableModel) -> np.ndarray:
    head = MorphableModel.load()
    return np.linalg.norm(model.landmark_points(model.mean) - head.landmark_points(head.mean), axis=1)


def test_vertices_come_back_in_head_axes() -> None:
    head, order = MorphableModel.load(), head_parts(SKIN).order
    model = bfm()[1].model
    assert np.abs(model.mean[: len(order)] - head.mean[order]).max() < 0.05
    assert np.abs(model.identity_basis[: len(order)] - head.identity_basis[order][..., :20]).max() < 0.05


def test_landmarks_lie_where_the_shipped_heads_do() -> None:
    error = landmark_errors(bfm()[1].model)
    assert error.mean() < 0.6
    assert error[list(LIPS)].max() < 1.5
    assert error[[*RIGHT_EYE, *LEFT_EYE]].max() < 1.0
    assert error[468:].max() < 1.0  # irises, on eyeballs that the file did not have


def test_the_detector_is_expected_where_it_is_on_the_shipped_head() -> None:
    head, (_, made) = MorphableModel.load(), bfm()
    assert head.landmark_bias is not None
    assert made.model.landmark_bias is not None
    np.testing.assert_allclose(
        made.model.landmark_bias, made.registration.scale * head.landmark_bias, atol=1e-5
    )
    unmeasured = embed(bfm()[0], "unmeasured", head=replace(head, landmark_bias=None))
    assert unmeasured.model.landmark_bias is None


def test_the_shipped_head_is_laid_over_without_folds() -> None:
    head = MorphableModel.load()
    skin = head.triangles[head.triangle_part == SKIN]

    def normals(vertices: np.ndarray) -> np.ndarray:
        a, b, c = (vertices[skin[:, k]].astype(np.float64) for k in range(3))
        return np.cross(b - a, c - a)

    folded = (normals(bfm()[1].registration.shipped) * normals(head.mean)).sum(1) < 0
    assert folded.sum() < 10  # 0 measured; 175 where lips and lids are no stiffer than the coarse cheeks


def test_expressions_move_as_the_shipped_heads_do() -> None:
    head, model = MorphableModel.load(), bfm()[1].model
    assert model.expression_names == head.expression_names
    ours, theirs = head.landmark_rows(head.expression_basis), model.landmark_rows(model.expression_basis)
    for name in (
        "jawOpen",
        "eyeBlinkLeft",
        "mouthSmileRight",
        "mouthPucker",
        "mouthUpperUpLeft",
        "browDownLeft",
    ):
        k = head.expression_index(name)
        error = np.linalg.norm(ours[..., k] - theirs[..., k], axis=1)
        assert np.sqrt((error**2).mean()) < 0.25 * np.sqrt((ours[..., k] ** 2).sum(1).mean()), name
    own = bfm()[1].own_expressions
    assert "jawOpen" in own
    assert "tongueOut" not in own


def test_the_lips_come_apart_and_nothing_is_torn() -> None:
    model = bfm()[1].model
    opened = model.expression_basis[..., model.expression_index("jawOpen")]
    points = model.landmark_points(model.mean + opened) - model.landmark_points(model.mean)
    assert points[14, 1] < -25
    assert abs(points[13, 1]) < 3
    skin = model.triangles[model.triangle_part == SKIN]
    head = MorphableModel.load()
    ours = head.expression_basis[..., head.expression_index("jawOpen")][
        head.triangles[head.triangle_part == SKIN]
    ]
    assert np.ptp(opened[skin], axis=1).max() < 1.3 * np.ptp(ours, axis=1).max()


def test_missing_parts_are_added_and_joined_to_the_lips() -> None:
    made = bfm()[1]
    model = made.model
    assert set(made.added) == {"inner mouth", "eyeballs", "teeth", "tongue"}
    assert {SKIN, EYES, TEETH, TONGUE, INNER_MOUTH} == set(model.triangle_part.tolist())
    head = MorphableModel.load()
    assert np.abs(model.eye_centres - head.eye_centres).max() < 1.0
    assert all(len(ours) == len(theirs) for ours, theirs in zip(model.eyeballs, head.eyeballs, strict=True))
    inner = np.unique(model.triangles[model.triangle_part == INNER_MOUTH])
    shared = np.intersect1d(inner, model.triangles[model.triangle_part == SKIN])
    assert len(shared) > 30  # one surface with the lips: no gap opens between them
    person = model.neutral(np.full(20, 0.7))
    eyes = [person[e].mean(0) - model.mean[e].mean(0) for e in model.eyeballs]
    lids = model.landmark_points(person) - model.landmark_points(model.mean)
    for eye, ring in zip(eyes, (RIGHT_EYE, LEFT_EYE), strict=True):
        assert np.linalg.norm(eye - lids[list(ring)].mean(0)) < 0.2


def test_named_shapes_and_own_parts_are_kept(tmp_path: Path) -> None:
    made = embed(formats.read(write_ict(tmp_path, identities=1)), "ict")
    head = MorphableModel.load()
    order = head_parts(SKIN, EYES, TEETH, TONGUE, INNER_MOUTH).order
    assert made.added == ()
    assert len(made.own_expressions) == 51
    k = head.expression_index("jawOpen")
    assert np.abs(made.model.expression_basis[..., k] - head.expression_basis[order][..., k]).max() < 0.05
    assert landmark_errors(made.model).mean() < 0.6


def other_person(seed: int, tilt_degrees: float) -> Head:
    """Someone else's head, looking down a little, as a model's mean."""
    head = head_parts(SKIN, scale=0.95)
    identity = np.random.default_rng(seed).normal(0, 0.6, head.identity.shape[-1])
    x = np.radians(tilt_degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return replace(
        head, vertices=(head.vertices + head.identity @ identity) @ turn.T,
        identity=np.einsum("ij,vjk->vik", turn, head.identity),
        expression=np.einsum("ij,vje->vie", turn, head.expression),
    )  # fmt: skip


def test_another_persons_mean_without_colours_or_expressions(tmp_path: Path) -> None:
    person = other_person(4, 6.0)
    foreign = replace(formats.read(write_bfm2009(tmp_path, person)[0]), albedo=None)
    made = embed(foreign, "other")
    assert made.own_expressions == ()
    assert abs(made.registration.scale - 0.95) < 0.04
    head = MorphableModel.load()
    renumber = np.full(head.vertex_count, -1)
    renumber[person.order] = np.arange(len(person.order))
    corners = renumber[head.triangles[head.landmark_triangles[:468]]]
    truth = np.einsum("lk,lkd->ld", head.landmark_barycentric[:468], made.model.mean[corners])
    error = np.linalg.norm(made.model.landmark_points(made.model.mean)[:468] - truth, axis=1)
    assert error[list(LIPS)].mean() < 1.5
    assert error[[*RIGHT_EYE, *LEFT_EYE]].mean() < 1.2
    assert error.mean() < 2.5


def test_eyes_closed_by_painted_skin_are_opened(tmp_path: Path) -> None:
    head = head_parts(SKIN, EYES)
    painted = replace(head, part=np.zeros(len(head.triangles), np.uint8))
    made = embed(formats.read(write_bfm2009(tmp_path, painted)[0]), "painted")
    assert made.opened > 50
    assert "eyeballs" in made.added
    assert bfm()[1].opened == 0
    assert landmark_errors(made.model)[[*RIGHT_EYE, *LEFT_EYE]].mean() < 1.5


def test_a_head_in_which_no_face_is_seen() -> None:
    foreign = bfm()[0]
    black = replace(foreign, albedo=np.zeros_like(foreign.mean))
    made = embed(black, "black")
    assert not made.registration.detected  # the tip of the nose and the surfaces are enough
    assert landmark_errors(made.model).mean() < 0.6


def test_what_is_no_head_is_refused() -> None:
    foreign = bfm()[0]
    flat = replace(foreign, mean=foreign.mean * np.array([1, 1, 0.05], np.float32))
    with pytest.raises(InvalidPackage, match="does not look like a head"):
        embed(flat, "flat")
    with pytest.raises(InvalidPackage, match="triangles of skin"):
        embed(replace(foreign, triangles=foreign.triangles[:100], part=foreign.part[:100]), "few")


@pytest.mark.slow
def test_flame_and_the_hdf5_models_too(tmp_path: Path) -> None:
    for path, parts in (
        (write_bfm_h5(tmp_path / "model.h5"), (SKIN,)),
        (write_flame(tmp_path / "generic_model.pkl"), (SKIN, EYES)),
    ):
        made, order = embed(formats.read(path), path.stem), head_parts(*parts).order
        assert np.abs(made.model.mean[: len(order)] - MorphableModel.load().mean[order]).max() < 0.05
        assert landmark_errors(made.model).mean() < 0.6
        assert "jawOpen" in made.own_expressions
