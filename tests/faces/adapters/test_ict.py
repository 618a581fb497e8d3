"""ICT-FaceKit from a generated folder of OBJs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faces.adapters import ict
from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel
from problems import InvalidPackage
from tests.faces.adapters.generated_models import head_parts, write_ict

PARTS = (SKIN, EYES, TEETH, TONGUE, INNER_MOUTH)


def test_vertices_parts_and_named_shapes_come_back(tmp_path: Path) -> None:
    head, model = head_parts(*PARTS), MorphableModel.load()
    read = ict.read(write_ict(tmp_path / "FaceXModel", head))
    assert np.abs(read.mean - head.vertices).max() < 0.05
    assert np.abs(read.identity - head.identity[..., :4]).max() < 0.05
    assert sorted(read.part.tolist()) == sorted(head.part.tolist())
    for name in ("jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp", "cheekPuff"):
        moved = read.expression[..., read.expression_names.index(name)]
        wanted = head.expression[..., model.expression_index(name)]
        middle = np.abs(head.vertices[:, 0] - 3.0) < 1e-3  # halves leave the very middle out
        assert np.abs(moved - wanted)[~middle].max() < 0.05, name


def test_quads_become_triangles_and_folders_are_found(tmp_path: Path) -> None:
    folder = write_ict(tmp_path / "FaceXModel", identities=0)
    neutral = folder / ict.NEUTRAL
    assert ict.neutral_of(tmp_path) == ict.neutral_of(folder) == ict.neutral_of(neutral) == neutral
    before = ict.read(tmp_path)
    neutral.write_text(neutral.read_text() + "usemtl face\nf 1/1 2/2 3/3 4/4\n")
    after = ict.read(neutral)
    assert len(after.triangles) == len(before.triangles) + 2
    assert any("identityNNN" in note for note in after.missing)


def test_layers_over_the_eyes_are_left_out(tmp_path: Path) -> None:
    folder = write_ict(tmp_path, identities=0)
    neutral = folder / ict.NEUTRAL
    before = ict.read(folder)
    neutral.write_text(neutral.read_text().replace("usemtl eyeball", "usemtl M_EyeLashes"))
    after = ict.read(folder)
    assert not (after.part == EYES).any()
    assert len(after.mean) < len(before.mean)  # their vertices go too


def test_ranges_of_the_published_mesh() -> None:
    corners = [(0, 1, 2), (12000, 12001, 12002), (13300, 13301, 13302), (15000, 15001, 15002), (18000, 18001, 18002),
               (22000, 22001, 22002), (26000, 26001, 26002)]  # fmt: skip
    parts = ict._parts_by_vertex(np.array(corners, np.int32))
    assert parts.tolist() == [SKIN, INNER_MOUTH, ict.LEFT_OUT, TONGUE, TEETH, EYES, ict.LEFT_OUT]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("jawOpen.obj", "v 0 0 0\n", "it has 1 vertices"),
        ("jawOpen.obj", "v a b c\n", "not three numbers"),
        ("generic_neutral_mesh.obj", "v 0 0 0\nv 20 0 0\nv 0 20 0\n", "no faces"),
        ("generic_neutral_mesh.obj", "v 0 0 0\nv 20 0 0\nv 0 20 0\nf 1 2 9\n", "names vertex"),
        ("generic_neutral_mesh.obj", "v 0 0 0\nv 20 0 0\nv 0 nan 0\nf 1 2 3\n", "NaN"),
        ("generic_neutral_mesh.obj", "\x00\xff", "not an OBJ"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = write_ict(tmp_path, identities=0)
    (folder / name).write_text(content, encoding="latin1")
    with pytest.raises(InvalidPackage, match=message):
        ict.read(folder)
