"""Where morphable models are found by name: the shipped head, and those that the user has imported.

An imported model is one .npz in the user's folder (``$LIKENESS_MODELS``, else ~/.local/share/likeness/models). Tracks
hold the name only; the model itself never goes into a person file.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from faces.morphable import DEFAULT_MODEL, MorphableModel
from problems import Conflict, InvalidPackage, InvalidParameter, NotFound

VARIABLE = "LIKENESS_MODELS"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def models_folder() -> Path:
    """The folder of imported models; it need not exist."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "likeness" / "models"


def installed_models() -> dict[str, Path]:
    """Names and files, the shipped head first."""
    found = {p.stem: p for p in sorted(models_folder().glob("*.npz")) if NAME.fullmatch(p.stem)}
    return {shipped_name(): DEFAULT_MODEL, **found}


@lru_cache(maxsize=1)
def shipped_name() -> str:
    """The name of the head that ships."""
    return MorphableModel.load().name


def model_named(name: str | None) -> MorphableModel:
    """The installed model of a name; None is the shipped head.

    Raises:
        NotFound: no such model is installed here.
        InvalidPackage: its file is damaged.
    """
    if name is None or name == shipped_name():
        return MorphableModel.load()
    path = installed_models().get(name)
    if path is None:
        raise NotFound(
            f"the morphable model {name!r} is not installed here",
            remedy="import it on this machine: likeness models import FILE --name NAME",
        )
    try:
        model = MorphableModel.load(path)
    except InvalidPackage as problem:
        raise InvalidPackage(
            problem.message, remedy=f"delete it and run: likeness models import FILE --name {name}"
        ) from problem
    if model.name != name:
        raise InvalidPackage(
            f"{path.name} holds the model {model.name!r}", remedy=f"name the file {model.name}.npz again"
        )
    return model


def check_name(name: str) -> str:
    """``name``, if it can be a model's.

    Raises:
        InvalidParameter: it can't.
    """
    if not NAME.fullmatch(name):
        raise InvalidParameter(
            f"{name!r} can't be a model's name",
            remedy="use up to 64 letters, digits, dots, dashes, underscores",
        )
    return name


def require_free(name: str, *, replace: bool = False) -> Path:
    """The file that a model of this name goes into.

    Raises:
        InvalidParameter: ``name`` can't be a model's.
        Conflict: the name is taken; tracks refer to models by name.
    """
    path = models_folder() / f"{check_name(name)}.npz"
    if name == shipped_name() or (path.exists() and not replace):
        raise Conflict(
            f"a model named {name!r} is installed already, and tracks may refer to it",
            remedy="choose another name with --name"
            + ("" if name == shipped_name() else ", or replace it with --replace"),
        )
    return path


def install_model(model: MorphableModel, licence: str, *, replace: bool = False) -> Path:
    """Write a model into the user's folder, atomically.

    Raises:
        Conflict: the name is taken.
    """
    path = require_free(model.name, replace=replace)
    bias = {} if model.landmark_bias is None else {"landmark_bias": model.landmark_bias}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            np.savez_compressed(
                stream,
                name=np.array(model.name),
                mean=model.mean,
                identity=model.identity_basis.astype(np.float16),
                expression=model.expression_basis.astype(np.float16),
                expression_names=np.array(model.expression_names),
                triangles=model.triangles,
                triangle_part=model.triangle_part,
                albedo=model.albedo.astype(np.float16),
                inside_mouth=np.zeros(model.vertex_count, np.uint8),
                eye_centres=model.eye_centres,
                landmark_triangles=model.landmark_triangles.astype(np.int32),
                landmark_barycentric=model.landmark_barycentric,
                licence=np.array(licence),
                **bias,
            )
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
