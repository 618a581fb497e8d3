"""Basel Face Model 2017 and 2019: ``model2017-1_*.h5``, ``model2019_*.h5`` (Gerig et al., arXiv 1709.08398).

Scalismo's HDF5 layout: /shape, /expression and /color each with model/mean (3V), model/pcaBasis (3V, K) and
model/pcaVariance (K); /shape/representer/cells (3, F) from 0; millimetres. Only hard links to plain datasets inside
the file are followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.adapters.foreign import Checked, ForeignModel, outward, scaled_basis

FORMAT = "bfm-h5"
TITLE = "Basel Face Model (HDF5)"
LICENCE = "University of Basel, Basel Face Model: non-commercial research only; not to be passed on"
REMEDY = "use the .h5 file as the University of Basel sends it; docs/models.md says how to get it"
MAX_GROWTH = 200
"""A dataset may be at most this many times larger than what it takes in the file."""


def read(path: Path) -> ForeignModel:
    """Read the model.

    Raises:
        InvalidPackage: damaged, incomplete, or with links out of the file.
    """
    import h5py

    check = Checked(path, REMEDY)
    try:
        with h5py.File(path, "r") as content:
            return _read(content, check)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        raise check.refuse(f"it can't be read as an HDF5 model ({error})") from error


def _read(content: Any, check: Checked) -> ForeignModel:
    mean = check.numbers("shape/model/mean", _dataset(content, "shape/model/mean", check).ravel(), None)
    if len(mean) % 3:
        raise check.refuse(f"shape/model/mean has {len(mean)} values, not three for each vertex")
    vertices = len(mean) // 3
    identity = _basis(content, "shape", vertices, check)
    cells_at = "shape/representer/cells" if _has(content, "shape/representer/cells") else "representer/cells"
    cells = check.numbers(cells_at, _dataset(content, cells_at, check), None, None)
    cells = cells.T if len(cells) == 3 else cells
    if cells.shape[1] != 3:
        raise check.refuse(f"{cells_at} holds no triangles")
    triangles = check.triangles(cells, vertices)
    expression = np.zeros((vertices, 3, 0))
    if _has(content, "expression/model/pcaBasis"):
        expression = _basis(content, "expression", vertices, check)
        mean = mean + check.numbers(
            "expression/model/mean", _dataset(content, "expression/model/mean", check).ravel(), 3 * vertices
        )
    points = mean.reshape(-1, 3)
    check.millimetres(points)
    albedo = None
    if _has(content, "color/model/mean"):
        colour = check.numbers("color/model/mean", _dataset(content, "color/model/mean", check).ravel(), None)
        if len(colour) == 3 * vertices:
            albedo = (colour / (255 if colour.max() > 2 else 1)).clip(0, 1).reshape(-1, 3).astype(np.float32)
    major = _dataset(content, "version/majorVersion", check) if _has(content, "version/majorVersion") else ""
    version = f"{check.path.stem}" + (
        f" (layout {int(np.ravel(major)[0])})" if np.size(major) == 1 and major != "" else ""
    )
    return ForeignModel(
        FORMAT, version, points.astype(np.float32), identity.astype(np.float32), outward(points, triangles),
        np.zeros(len(triangles), np.uint8), expression.astype(np.float32), albedo=albedo, licence=LICENCE,
    )  # fmt: skip


def _basis(content: Any, group: str, vertices: int, check: Checked) -> NDArray[np.float64]:
    at = f"{group}/model/pcaBasis"
    basis = check.numbers(at, _dataset(content, at, check), 3 * vertices, None)
    check.components(at, basis.shape[1])
    variance_at = f"{group}/model/pcaVariance"
    variance = check.numbers(variance_at, _dataset(content, variance_at, check).ravel(), basis.shape[1])
    return scaled_basis(basis, np.sqrt(variance.clip(0))).reshape(vertices, 3, -1)


def _has(content: Any, at: str) -> bool:
    where = content
    for name in at.split("/"):
        if name not in where:
            return False
        where = (
            where[name] if where.get(name, getlink=True).__class__.__name__ == "HardLink" else {name: None}
        )
        if where is None:
            return True
    return True


def _dataset(content: Any, at: str, check: Checked) -> NDArray[Any]:
    import h5py

    where = content
    for name in at.split("/"):
        link = where.get(name, getlink=True) if isinstance(where, h5py.Group) and name in where else None
        if link is None:
            raise check.refuse(f"{at} is missing")
        if not isinstance(link, h5py.HardLink):
            raise check.refuse(f"{at} leads out of the file through a link")
        where = where[name]
    if not isinstance(where, h5py.Dataset) or where.is_virtual or where.external:
        raise check.refuse(f"{at} is not stored in the file itself")
    if where.dtype.kind not in "fiu":
        raise check.refuse(f"{at} holds no numbers (dtype {where.dtype})")
    check.size(at, where.shape)
    if where.nbytes > 1 << 20 and where.nbytes > MAX_GROWTH * max(where.id.get_storage_size(), 1):
        raise check.refuse(f"{at} would grow to {where.nbytes >> 20} MiB from almost nothing")
    result: NDArray[Any] = np.asarray(where[()])
    return result
