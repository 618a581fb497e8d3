"""ICT-FaceKit: ``FaceXModel/`` with one OBJ a shape (Li et al., CVPR 2020; the light model is under the MIT licence).

generic_neutral_mesh.obj holds the mean in centimetres; identityNNN.obj the mean plus one standard deviation of a
component; the other OBJs the mean plus one expression, named as ARKit's with ``_L`` and ``_R`` for the person's left
and right. All share the neutral mesh's vertices.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.adapters.foreign import Checked, ForeignModel, outward
from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE

FORMAT = "ict-facekit"
TITLE = "ICT-FaceKit"
LICENCE = "USC Institute for Creative Technologies, ICT-FaceKit (light): MIT licence"
REMEDY = "give the folder FaceXModel of the ICT-FaceKit repository, or the generic_neutral_mesh.obj in it"
NEUTRAL = "generic_neutral_mesh.obj"
CENTIMETRES = 10.0
LEFT_OUT = 255
"""Part of what covers the eyes as a transparent layer, and of lashes: not drawn here."""
RANGES = (
    (11248, SKIN), (13294, INNER_MOUTH), (14062, LEFT_OUT), (17039, TONGUE), (21451, TEETH), (24591, EYES),
    (26719, LEFT_OUT),
)  # fmt: skip
"""First vertex after each part of the published 26719-vertex mesh (face and neck, mouth socket, eye sockets, gums and
tongue, teeth, eyeballs, then tears, lids' seams and lashes)."""
WORDS = (
    (r"lash|lacrimal|occlusion|blend|tear|eye_?socket", LEFT_OUT), (r"eyeball|sclera|iris", EYES), (r"teeth", TEETH),
    (r"gum|tongue", TONGUE), (r"mouth_?socket|inner_?mouth", INNER_MOUTH),
)  # fmt: skip
"""Words in a group's or material's name, for a mesh of another size."""
BOTH_SIDES = ("browInnerUp", "cheekPuff")
"""ARKit shapes that are one there and two here."""


def neutral_of(path: Path) -> Path | None:
    """The neutral mesh of a folder (or of the toolkit above it), or of a file in it; None if there is none."""
    for candidate in (path / NEUTRAL, path / "FaceXModel" / NEUTRAL, path):
        if candidate.name == NEUTRAL and candidate.is_file():
            return candidate
    return None


def read(path: Path) -> ForeignModel:
    """Read the model from its folder or its neutral mesh.

    Raises:
        InvalidPackage: damaged, or meshes that do not belong together.
    """
    neutral = neutral_of(path)
    check = Checked(path, REMEDY)
    if neutral is None:
        raise check.refuse(f"there is no {NEUTRAL}")
    text, check = _text(neutral), Checked(neutral, REMEDY)
    mean = _positions(text, check) * CENTIMETRES
    check.millimetres(mean)
    faces, part = _faces(text, len(mean), check)
    part = _parts_by_vertex(faces) if len(mean) == RANGES[-1][0] else part
    faces, part = faces[part != LEFT_OUT], part[part != LEFT_OUT]
    used = np.unique(faces)
    renumber = np.full(len(mean), -1)
    renumber[used] = np.arange(len(used))

    def moved(file: Path) -> NDArray[np.float32]:
        own = Checked(file, REMEDY)
        points = _positions(_text(file), own)
        if points.shape != mean.shape:
            raise own.refuse(f"it has {len(points)} vertices, and {NEUTRAL} has {len(mean)}")
        result: NDArray[np.float32] = (points[used] * CENTIMETRES - mean[used]).astype(np.float32)
        return result

    shapes = sorted(file for file in neutral.parent.glob("*.obj") if file.name != NEUTRAL)
    check.components("the folder", len(shapes))
    identities = [moved(file) for file in shapes if re.fullmatch(r"identity\d{3}", file.stem)]
    expressions: dict[str, NDArray[np.float32]] = {}
    for file in shapes:
        if not file.stem.startswith("identity"):
            name = re.sub(r"_R$", "Right", re.sub(r"_L$", "Left", file.stem))
            expressions[name] = moved(file)
    for name in BOTH_SIDES:
        if name not in expressions and {f"{name}Left", f"{name}Right"} <= expressions.keys():
            expressions[name] = expressions.pop(f"{name}Left") + expressions.pop(f"{name}Right")
    empty = np.zeros((len(used), 3, 0), np.float32)
    notes = () if identities else ("no identityNNN.obj: the mean can't be changed into other people",)
    triangles = renumber[faces].astype(np.int32)
    skin = part == SKIN
    turned = (
        outward(mean[used], triangles[skin])[0].tolist() != triangles[skin][0].tolist()
        if skin.any()
        else False
    )
    return ForeignModel(
        FORMAT, f"{len(mean)} vertices", mean[used].astype(np.float32),
        np.stack(identities, axis=-1) if identities else empty,
        np.ascontiguousarray(triangles[:, ::-1]) if turned else triangles, part,
        np.stack(list(expressions.values()), axis=-1) if expressions else empty,
        expression_names=tuple(expressions), licence=LICENCE, notes=notes,
    )  # fmt: skip


def _text(path: Path) -> str:
    check = Checked(path, REMEDY)
    check.size(path.name, (path.stat().st_size,), 8)
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise check.refuse(f"it is not an OBJ text file ({error})") from error


def _positions(text: str, check: Checked) -> NDArray[np.float64]:
    rows = [line.split()[1:4] for line in text.splitlines() if line.startswith("v ")]
    try:
        return check.numbers("the vertex list", np.array(rows, np.float64), None, 3)
    except ValueError as error:
        raise check.refuse(f"a vertex is not three numbers ({error})") from error


def _faces(text: str, vertices: int, check: Checked) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Polygons as fans of triangles (F, 3), and their parts (F,) by group and material names."""
    corners: list[tuple[int, int, int]] = []
    part: list[int] = []
    group = material = ""
    for line in text.splitlines():
        fields = line.split()
        if not fields:
            continue
        if fields[0] in ("g", "o"):
            group = " ".join(fields[1:])
        elif fields[0] == "usemtl":
            material = " ".join(fields[1:])
        elif fields[0] == "f":
            try:
                index = [int(field.split("/")[0]) - 1 for field in fields[1:]]
            except ValueError as error:
                raise check.refuse(f"a face is not a list of vertices ({line[:60]!r})") from error
            fan = [(index[0], b, c) for b, c in pairwise(index[1:])]
            own = _part_named(f"{group} {material}")
            corners += [t for t in fan if len(set(t)) == 3]
            part += [own for t in fan if len(set(t)) == 3]
    if not corners:
        raise check.refuse("it has no faces")
    return check.triangles(np.array(corners, np.float64), vertices), np.array(part, np.uint8)


def _part_named(name: str) -> int:
    for words, value in WORDS:
        if re.search(words, name, re.IGNORECASE):
            return value
    return SKIN


def _parts_by_vertex(faces: NDArray[np.int32]) -> NDArray[np.uint8]:
    bounds = np.array([bound for bound, _ in RANGES])
    values = np.array([value for _, value in RANGES], np.uint8)
    result: NDArray[np.uint8] = values[np.searchsorted(bounds, faces.max(1), side="right")]
    return result
