"""The shipped head written in other people's formats: same layouts, names, units and axes, of reduced size."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.io import savemat

from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel

Floats = NDArray[np.float64]
IDENTITIES, EXPRESSIONS = 20, 40


@dataclass(frozen=True)
class Head:
    """A head in no format yet."""

    vertices: Floats
    """(V, 3) millimetres."""
    identity: Floats
    """(V, 3, K) standard deviations."""
    expression: Floats
    """(V, 3, E) of all the shipped head's expressions."""
    triangles: NDArray[np.int64]
    part: NDArray[np.uint8]
    albedo: Floats
    order: NDArray[np.int64]
    """(V,) vertex of the shipped head."""


def head_parts(
    *parts: int,
    shuffle: bool = True,
    shift: tuple[float, float, float] = (3.0, -20.0, 31.0),
    scale: float = 1.0,
) -> Head:
    """Some parts of the shipped head, with other vertex numbers, moved and scaled."""
    model = MorphableModel.load()
    triangles = model.triangles[np.isin(model.triangle_part, parts)].astype(np.int64)
    part = model.triangle_part[np.isin(model.triangle_part, parts)]
    order = np.unique(triangles)
    if shuffle:
        order = np.random.default_rng(5).permutation(order)
    renumber = np.full(model.vertex_count, -1)
    renumber[order] = np.arange(len(order))
    return Head(
        scale * model.mean[order].astype(np.float64) + shift,
        scale * model.identity_basis[order][..., :IDENTITIES].astype(np.float64),
        scale * model.expression_basis[order].astype(np.float64),
        renumber[triangles], part, model.albedo[order].astype(np.float64), order,
    )  # fmt: skip


def components(basis: Floats) -> tuple[Floats, Floats]:
    """(V, 3, N) -> orthonormal (3V, N) columns and their (N,) lengths, as a PCA is stored."""
    left, sizes, _ = np.linalg.svd(basis.reshape(-1, basis.shape[-1]), full_matrices=False)
    return left, sizes


def unnamed_expressions(head: Head) -> tuple[Floats, Floats]:
    """A PCA of the head's expressions: (3V, EXPRESSIONS) columns and standard deviations in millimetres."""
    left, sizes = components(head.expression)
    return left[:, :EXPRESSIONS], sizes[:EXPRESSIONS] / 3


def write_bfm2009(folder: Path, head: Head | None = None, *, untrimmed: int = 60) -> tuple[Path, Path]:
    """01_MorphableModel.mat, and Exp_Pca.bin with the two files it needs; returns model and expressions.

    The expressions leave out ``untrimmed`` vertices, as the real ones do.
    """
    head = head or head_parts(SKIN)
    lengths = np.linalg.norm(head.identity.reshape(-1, IDENTITIES), axis=0)
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "01_MorphableModel.mat"
    savemat(model, {
        "shapeMU": (head.vertices.reshape(-1, 1) * 1000).astype("f4"),
        "shapePC": (head.identity.reshape(-1, IDENTITIES) / lengths).astype("f4"),
        "shapeEV": (lengths[:, None] * 1000).astype("f4"),
        "texMU": (head.albedo.reshape(-1, 1) * 255).astype("f4"),
        "texPC": np.zeros((head.vertices.size, 2), "f4"), "texEV": np.ones((2, 1), "f4"),
        "tl": (head.triangles[:, ::-1] + 1).astype("f8"),
        "segbin": np.ones((len(head.vertices), 4), "u1"),
    }, do_compression=True)  # fmt: skip
    keep = np.sort(np.argsort(head.vertices[:, 2])[untrimmed:])  # what is left out lies at the back
    columns, sizes = unnamed_expressions(head)
    rows = columns.reshape(-1, 3, EXPRESSIONS)[keep].reshape(-1, EXPRESSIONS)
    with open(folder / "Exp_Pca.bin", "wb") as stream:
        stream.write(struct.pack("<i", EXPRESSIONS))
        stream.write(np.zeros(3 * len(keep), "<f4").tobytes())
        stream.write(rows.T.astype("<f4").tobytes())
    (folder / "std_exp.txt").write_text(" ".join(f"{s * 1000:.6f}" for s in sizes))
    savemat(folder / "BFM_exp_idx.mat", {"trimIndex": (keep[:, None] + 1).astype("f8")})
    return model, folder / "Exp_Pca.bin"


def write_bfm_h5(path: Path, head: Head | None = None) -> Path:
    """model2017-1_face12_nomouth.h5 in Scalismo's layout."""
    import h5py

    head = head or head_parts(SKIN)
    left, sizes = components(head.identity)
    expressions, deviations = unnamed_expressions(head)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as out:
        for group, mean, basis, variance in (
            ("shape", head.vertices, left, sizes**2),
            ("expression", np.zeros_like(head.vertices), expressions, deviations**2),
            ("color", head.albedo, np.zeros((head.albedo.size, 2)), np.ones(2)),
        ):
            out[f"{group}/model/mean"] = mean.ravel().astype("f4")
            out[f"{group}/model/pcaBasis"] = basis.astype("f4")
            out[f"{group}/model/pcaVariance"] = variance.astype("f4")
            out[f"{group}/model/noiseVariance"] = np.float32(0)
            out[f"{group}/representer/points"] = head.vertices.T.astype("f4")
            out[f"{group}/representer/cells"] = head.triangles.T.astype("i4")
        out["version/majorVersion"], out["version/minorVersion"] = np.int32(0), np.int32(9)
        out["metadata/landmarks/json"] = [b"[]"]
    return path


def _chumpy() -> types.ModuleType:
    """A module that pickles like chumpy's arrays: an object with its array under ``x``."""
    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x: NDArray[Any]) -> None:
            self.__dict__.update(x=x, _dirty_vars=set(), _itr=None)

        def __getstate__(self) -> dict[str, Any]:
            return {"x": self.x, "_depends_on_deps": {}}  # type: ignore[attr-defined]

    Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"
    module.Ch = Ch  # type: ignore[attr-defined]
    return module


def write_flame(path: Path, head: Head | None = None, *, protocol: int = 2) -> Path:
    """generic_model.pkl: metres, 300 identity components, chumpy and scipy objects, five joints."""
    head = head or head_parts(SKIN, EYES)
    count = len(head.vertices)
    shapes = np.zeros((count, 3, 300 + EXPRESSIONS))
    shapes[..., :IDENTITIES] = head.identity
    columns, sizes = unnamed_expressions(head)
    shapes[..., 300:] = (columns * sizes).reshape(count, 3, -1)
    jaw = np.linalg.norm(head.expression[..., MorphableModel.load().expression_index("jawOpen")], axis=1)
    weights = np.zeros((count, 5))
    weights[:, 2] = np.clip(jaw / jaw.max(), 0, 1)
    weights[:, 0] = 1 - weights[:, 2]
    # The jaw turns about the line between its joints before the ears, of which the regressor gives the middle.
    beside = np.abs(head.vertices - (head.vertices.max(0) + head.vertices.min(0)) / 2) - [65, 0, 0]
    near = np.argsort(np.linalg.norm(beside, axis=1), kind="stable")[:6]
    regressor = np.zeros((5, count))
    regressor[:, near] = 1 / len(near)
    chumpy = _chumpy()
    content = {
        "v_template": chumpy.Ch(head.vertices / 1000), "shapedirs": chumpy.Ch(shapes / 1000),
        "f": head.triangles.astype(np.uint32), "posedirs": np.zeros((count, 3, 36)), "weights": weights,
        "J_regressor": sparse.csc_matrix(regressor), "bs_style": "lbs", "bs_type": "lrotmin",
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    modules = {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": chumpy}
    sys.modules.update(modules)
    try:
        buffer = io.BytesIO()
        pickle.dump(content, buffer, protocol=protocol)
    finally:
        for name in modules:
            del sys.modules[name]
    path.write_bytes(buffer.getvalue())
    return path


MATERIALS = {
    SKIN: "face",
    EYES: "eyeball",
    TEETH: "teeth",
    TONGUE: "gums_tongue",
    INNER_MOUTH: "mouth_socket",
}


def write_ict(folder: Path, head: Head | None = None, identities: int = 4) -> Path:
    """FaceXModel/: centimetres, one OBJ a shape, ``_L`` and ``_R``, both sides of browInnerUp and cheekPuff."""
    head = head or head_parts(SKIN, EYES, TEETH, TONGUE, INNER_MOUTH)
    folder.mkdir(parents=True, exist_ok=True)
    faces = []
    for part, name in MATERIALS.items():
        faces.append(f"usemtl {name}")
        faces += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in head.triangles[head.part == part] + 1]

    def write(name: str, points: Floats) -> None:
        rows = "\n".join(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in points / 10)
        (folder / f"{name}.obj").write_text(f"# mesh\n{rows}\n" + "\n".join(faces) + "\n")

    write("generic_neutral_mesh", head.vertices)
    for n in range(identities):
        write(f"identity{n:03d}", head.vertices + head.identity[..., n])
    for n, name in enumerate(MorphableModel.load().expression_names):
        if name.startswith("mh:") or name == "tongueOut":
            continue
        if name in ("browInnerUp", "cheekPuff"):
            for side, sign in (("_L", 1), ("_R", -1)):
                half = head.expression[..., n] * (sign * (head.vertices[:, :1] - 3.0) > 0)
                write(f"{name}{side}", head.vertices + half)
            continue
        write(name.replace("Left", "_L") if name.endswith("Left") else name.replace("Right", "_R")
              if name.endswith("Right") else name, head.vertices + head.expression[..., n])  # fmt: skip
    return folder
