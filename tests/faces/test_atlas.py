from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from faces.atlas import SKIN_HEIGHT, Atlas, atlas_for
from faces.camera import Camera, to_camera
from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel
from faces.mouth import FACE_OVAL
from faces.raster import rasterize
from faces.rotation import rotvec_from_euler

SIZE = 512


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return MorphableModel.load()


@pytest.fixture(scope="module")
def atlas(model: MorphableModel) -> Atlas:
    return atlas_for(model)


def _charts(model: MorphableModel) -> dict[str, np.ndarray]:
    """(F,) members of each chart that must not touch another."""
    part, left = model.triangle_part, model.mean[model.triangles].mean(1)[:, 0] < 0
    return {
        "skin": part == SKIN, "right eye": (part == EYES) & left, "left eye": (part == EYES) & ~left,
        "teeth": part == TEETH, "tongue": part == TONGUE, "inner mouth": part == INNER_MOUTH,
    }  # fmt: skip


def _footprint(atlas: Atlas, members: np.ndarray) -> np.ndarray:
    chosen = np.nonzero(members & atlas.charted)[0]
    corners = np.column_stack([atlas.uv[chosen].reshape(-1, 2) * SIZE, np.ones(len(chosen) * 3)])
    return rasterize(corners, np.arange(len(corners)).reshape(-1, 3), (SIZE, SIZE)).triangle >= 0


def test_coordinates_lie_in_the_atlas(atlas: Atlas, model: MorphableModel) -> None:
    assert atlas.uv.shape == (len(model.triangles), 3, 2)
    assert np.isfinite(atlas.uv).all()
    used = atlas.uv[atlas.charted]
    assert used.min() >= 0
    assert used.max() <= 1
    assert (used[model.triangle_part[atlas.charted] == SKIN, :, 1] <= SKIN_HEIGHT).all()


def test_charts_of_different_parts_do_not_overlap(atlas: Atlas, model: MorphableModel) -> None:
    taken = np.zeros((SIZE, SIZE), int)
    for name, members in _charts(model).items():
        footprint = _footprint(atlas, members)
        assert footprint.sum() > 200, name
        taken += footprint
    assert taken.max() == 1


def test_upper_and_lower_teeth_have_their_own_texels(atlas: Atlas, model: MorphableModel) -> None:
    jaw = np.linalg.norm(model.expression_basis[..., model.expression_index("jawOpen")], axis=1)
    moves = jaw[model.triangles].mean(1)
    teeth = model.triangle_part == TEETH
    lower = teeth & (moves > (moves[teeth].min() + moves[teeth].max()) / 2)
    assert not (_footprint(atlas, lower) & _footprint(atlas, teeth & ~lower)).any()


def test_everything_inside_the_face_oval_is_charted(atlas: Atlas, model: MorphableModel) -> None:
    ring = model.landmark_points(model.mean)[list(FACE_OVAL), :2]
    centre = model.mean[model.triangles].mean(1)
    angle = np.arctan2(centre[:, 1] - ring[:, 1].mean(), centre[:, 0])
    ring_angle = np.arctan2(ring[:, 1] - ring[:, 1].mean(), ring[:, 0])
    ring_radius = np.hypot(ring[:, 0], ring[:, 1] - ring[:, 1].mean())
    reach = np.interp(angle, ring_angle, ring_radius, period=2 * np.pi)
    inside = np.hypot(centre[:, 0], centre[:, 1] - ring[:, 1].mean()) < reach
    face = inside & (centre[:, 2] > 40) & (model.triangle_part == SKIN)
    assert face.sum() > 1000
    assert atlas.charted[face].all()
    assert atlas.charted[model.landmark_triangles].all()


def test_what_faces_the_camera_inside_the_mouth_is_charted(atlas: Atlas, model: MorphableModel) -> None:
    for part in (TEETH, TONGUE, INNER_MOUTH):
        assert atlas.charted[model.triangle_part == part].all()


def test_the_face_is_not_mirrored_and_not_upside_down(atlas: Atlas, model: MorphableModel) -> None:
    where = (atlas.uv[model.landmark_triangles] * model.landmark_barycentric[:, :, None]).sum(1)  # (478, 2)
    assert where[33, 0] < where[1, 0] < where[263, 0]
    assert where[10, 1] < where[1, 1] < where[13, 1] < where[152, 1]
    assert where[1, 0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("jaw", "yaw", "part", "tolerated"),
    [(0.0, 0.0, SKIN, 0.01), (0.5, 25.0, SKIN, 0.015), (0.5, 0.0, TONGUE, 0.02), (0.5, 0.0, TEETH, 0.1)],
)
def test_no_texel_is_shared_by_two_places_that_are_seen(
    atlas: Atlas, model: MorphableModel, jaw: float, yaw: float, part: int, tolerated: float
) -> None:
    """What is folded over in the atlas (nostrils, behind the lids) must be what no camera sees."""
    expression = np.zeros((1, len(model.expression_names)))
    expression[0, model.expression_index("jawOpen")] = jaw
    shape = model.vertices(model.mean, expression)[0]
    placed = to_camera(shape, rotvec_from_euler(np.array([0.0, yaw, 0.0])), np.array([0, 0, 560.0]))
    pixels = np.column_stack([Camera.for_image(512, 512).project(placed), placed[:, 2]])
    fragments = rasterize(pixels, model.triangles, (512, 512))
    chosen = (fragments.triangle >= 0) & (model.triangle_part[fragments.triangle] == part)
    chosen &= atlas.charted[fragments.triangle]
    assert chosen.sum() > 50
    uv = fragments.interpolate(atlas.uv, model.triangles)[chosen]
    owner = atlas.texels(model, SIZE * 2).interpolate(model.mean, model.triangles)
    column, row = (uv * SIZE * 2).astype(int).clip(0, SIZE * 2 - 1).T
    apart = np.linalg.norm(
        owner[row, column] - fragments.interpolate(model.mean, model.triangles)[chosen], axis=1
    )
    assert (apart > 3.0).mean() < tolerated


def test_texels_know_their_triangle(atlas: Atlas, model: MorphableModel) -> None:
    texels = atlas.texels(model, 256)
    rows, columns = np.nonzero(texels.triangle >= 0)
    triangle = texels.triangle[rows, columns]
    assert len(rows) > 0.4 * 256**2
    assert atlas.charted[triangle].all()
    where = (atlas.uv[triangle] * texels.barycentric[rows, columns][:, :, None]).sum(1) * 256
    # Depth differs between corners by the chart's overlap rule only, so weights are affine to a texel.
    assert np.abs(where - np.column_stack([columns, rows]) - 0.5).max() < 0.6


def test_an_atlas_is_made_once(model: MorphableModel) -> None:
    assert atlas_for(model) is atlas_for(model)


def test_another_model_of_the_same_name_has_its_own_atlas(model: MorphableModel) -> None:
    """One that was imported anew, or is open twice."""
    taller = replace(model, mean=model.mean * np.float32([1.0, 1.1, 1.0]))
    assert taller.name == model.name
    before = atlas_for(model).uv
    assert not np.array_equal(atlas_for(taller).uv, before)
    assert atlas_for(model).uv is before
