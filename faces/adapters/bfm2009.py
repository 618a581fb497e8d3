"""Basel Face Model 2009: ``01_MorphableModel.mat`` (Paysan et al., AVSS 2009), with expressions from another file.

MATLAB 5 arrays: shapeMU (3V, 1) and shapePC (3V, K) in micrometres, shapeEV (K, 1) standard deviations, texMU (3V, 1)
in 0..255, tl (F, 3) triangles from 1. The model has no expressions; three files that give them are read:

- ``Exp_Pca.bin`` (Guo et al., 3DFace): int32 count E, float32 mean (3N), float32 basis (E, 3N), of the N = 53215
  vertices that ``trimIndex`` (in BFM_exp_idx.mat or model_info.mat beside it) lists; deviations in std_exp.txt;
- ``Model_Expression.mat`` (3DDFA): mu_exp, w_exp (3N, E), sigma_exp;
- ``w_exp_sim.npy`` (3DDFA): (3N, E).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from faces.adapters.foreign import Checked, ForeignModel, outward
from problems import InvalidPackage

FORMAT = "bfm2009"
TITLE = "Basel Face Model 2009"
LICENCE = "University of Basel, Basel Face Model 2009: non-commercial research only; not to be passed on"
MICROMETRES = 1e-3
REMEDY = "use 01_MorphableModel.mat as the University of Basel sends it; docs/models.md says how to get it"
WANTED = ("shapeMU", "shapePC", "shapeEV", "tl")


def recognises(names: set[str]) -> bool:
    """Whether a MATLAB file's variables are this model's."""
    return {"shapeMU", "shapePC", "tl"} <= names


def variables(path: Path, check: Checked) -> dict[str, tuple[int, ...]]:
    """Names and shapes in a MATLAB 5 file, without reading the arrays."""
    try:
        return {name: shape for name, shape, _ in whosmat(str(path))}
    except NotImplementedError as error:
        raise check.refuse("this is a MATLAB 7.3 file") from error
    except Exception as error:  # scipy's reader raises anything on a damaged file
        raise check.refuse(f"it can't be read as a MATLAB file ({error})") from error


def load_arrays(path: Path, wanted: tuple[str, ...], check: Checked) -> dict[str, NDArray[Any]]:
    """The wanted variables, after their claimed sizes were checked."""
    found = variables(path, check)
    names = [name for name in wanted if name in found]
    for name in names:
        check.size(name, found[name])
    try:
        content = loadmat(str(path), variable_names=names)
    except Exception as error:  # as above; MemoryError too: a lying tag
        raise check.refuse(f"it is damaged or cut off ({error})") from error
    return {name: content[name] for name in names if name in content}


def read(path: Path, expressions: Path | None = None) -> ForeignModel:
    """Read the model, and its expressions where a file is given.

    Raises:
        InvalidPackage: damaged, incomplete, or not this format.
    """
    check = Checked(path, REMEDY)
    data = load_arrays(path, (*WANTED, "texMU"), check)
    for name in WANTED:
        if name not in data:
            raise check.refuse(f"{name} is missing")
    mean = check.numbers("shapeMU", data["shapeMU"].ravel(), None)
    if len(mean) % 3:
        raise check.refuse(f"shapeMU has {len(mean)} values, not three for each vertex")
    vertices = len(mean) // 3
    basis = check.numbers("shapePC", data["shapePC"], 3 * vertices, None)
    check.components("shapePC", basis.shape[1])
    deviation = check.numbers("shapeEV", data["shapeEV"].ravel(), basis.shape[1])
    points = mean.reshape(-1, 3) * MICROMETRES
    check.millimetres(points)
    triangles = check.triangles(check.numbers("tl", data["tl"], None, 3) - 1, vertices)
    albedo = None
    if "texMU" in data:
        albedo = (check.numbers("texMU", data["texMU"].ravel(), 3 * vertices) / 255).clip(0, 1).reshape(-1, 3)
    identity = (basis * (deviation * MICROMETRES)).reshape(vertices, 3, -1)
    expression = np.zeros((vertices, 3, 0))
    if expressions is not None:
        expression, mean_expression = read_expressions(expressions, vertices)
        points = points + mean_expression
    return ForeignModel(
        FORMAT, "2009", points.astype(np.float32), identity.astype(np.float32), outward(points, triangles),
        np.zeros(len(triangles), np.uint8), expression.astype(np.float32),
        albedo=None if albedo is None else albedo.astype(np.float32), licence=LICENCE,
    )  # fmt: skip


def read_expressions(path: Path, vertices: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expressions for a model of V vertices: (V, 3, E) millimetres per standard deviation, and their mean (V, 3).

    Raises:
        InvalidPackage: damaged, of another vertex count, or the list of vertices is missing.
    """
    check = Checked(path, "use Exp_Pca.bin, Model_Expression.mat or w_exp_sim.npy with the files beside it")
    if not path.is_file():
        raise InvalidPackage(f"there is no file {path}", remedy=check.remedy)
    if path.suffix == ".bin":
        mean, basis = _exp_pca(path, check)
    elif path.suffix == ".npy":
        try:
            basis = check.numbers("w_exp", np.load(path, allow_pickle=False, mmap_mode="r"), None, None)
        except (OSError, ValueError, EOFError) as error:
            raise check.refuse(f"it can't be read ({error})") from error
        mean = np.zeros(len(basis))
    else:
        data = load_arrays(path, ("mu_exp", "w_exp", "sigma_exp"), check)
        if "w_exp" not in data:
            raise check.refuse("w_exp is missing")
        basis = check.numbers("w_exp", data["w_exp"], None, None)
        mean = check.numbers("mu_exp", data.get("mu_exp", np.zeros(len(basis))).ravel(), len(basis))
        if "sigma_exp" in data:
            basis = basis * check.numbers("sigma_exp", data["sigma_exp"].ravel(), basis.shape[1])
    check.components(path.name, basis.shape[1])
    if len(basis) % 3:
        raise check.refuse(f"it has {len(basis)} rows, not three for each vertex")
    count = len(basis) // 3
    index = np.arange(vertices) if count == vertices else _trim_index(path, count, vertices, check)
    full, shift = np.zeros((vertices, 3, basis.shape[1])), np.zeros((vertices, 3))
    full[index] = basis.reshape(count, 3, -1) * MICROMETRES
    shift[index] = mean.reshape(count, 3) * MICROMETRES
    if full.size and np.abs(full).max() > 300:
        raise check.refuse(f"a standard deviation moves a vertex by {np.abs(full).max():.0f} mm")
    return full, shift


def _exp_pca(path: Path, check: Checked) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    check.size(path.name, (path.stat().st_size,), 2)
    content = path.read_bytes()
    count = int(np.frombuffer(content[:4], "<i4")[0]) if len(content) >= 4 else 0
    values = np.frombuffer(content[4 : max(len(content) // 4 * 4, 4)], "<f4")
    check.components(path.name, count)
    if count < 1 or len(values) % (3 * (count + 1)) or (len(content) - 4) % 4:
        raise check.refuse(f"{len(content)} bytes can't be {count} components; it is cut off or another file")
    numbers = check.numbers(path.name, values, None).reshape(count + 1, -1)
    basis = numbers[1:].T
    beside = path.with_name("std_exp.txt")
    if beside.is_file():
        try:
            deviation = check.numbers(beside.name, np.array(beside.read_text().split(), float), None)
        except ValueError as error:
            raise check.refuse(f"{beside.name} holds something that is no number ({error})") from error
        if len(deviation) < count:
            raise check.refuse(f"{beside.name} has {len(deviation)} values for {count} components")
        basis = basis * deviation[:count]
    return numbers[0], basis


def _trim_index(path: Path, count: int, vertices: int, check: Checked) -> NDArray[np.int64]:
    for name in ("BFM_exp_idx.mat", "model_info.mat"):
        beside = path.with_name(name)
        if beside.is_file():
            data = load_arrays(beside, ("trimIndex",), Checked(beside, check.remedy))
            if "trimIndex" in data:
                index = check.numbers("trimIndex", data["trimIndex"].ravel(), count).astype(np.int64) - 1
                if index.min() < 0 or index.max() >= vertices:
                    raise check.refuse(f"{name} names vertices that the model does not have")
                return index
    raise InvalidPackage(
        f"{path.name} is for {count} of the model's {vertices} vertices, and the list of them is missing",
        remedy="put BFM_exp_idx.mat or model_info.mat (with trimIndex) beside it",
    )
