"""Which format a file has, by what it holds and not by its name; and what ``likeness models check`` reports of it."""

from __future__ import annotations

import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faces.adapters import bfm2009, bfm_h5, flame, ict
from faces.adapters.foreign import Checked, ForeignModel
from faces.morphable import MorphableModel
from problems import InvalidPackage, Problem

OWN = "likeness"
"""The product's own .npz, as an import writes it."""
TITLES = {
    OWN: "Likeness model", bfm2009.FORMAT: bfm2009.TITLE, bfm_h5.FORMAT: bfm_h5.TITLE, flame.FORMAT: flame.TITLE,
    ict.FORMAT: ict.TITLE,
}  # fmt: skip
KNOWN = (
    "01_MorphableModel.mat (BFM 2009), model2017-1_*.h5 or model2019_*.h5 (BFM), generic_model.pkl (FLAME), "
    "the FaceXModel folder of ICT-FaceKit"
)


@dataclass(frozen=True)
class Report:
    """What a file is."""

    file: str
    format: str
    """One of ``TITLES``, or empty if it is none of them."""
    title: str
    version: str = ""
    vertices: int = 0
    triangles: int = 0
    identity_components: int = 0
    expression_components: int = 0
    missing: tuple[str, ...] = ()
    """What it lacks and what is taken instead."""
    licence: str = ""
    loads: bool = False
    problem: str = ""
    """Why it does not load."""
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "missing": list(self.missing)}


def detect(path: Path) -> str:
    """The format's key in ``TITLES``.

    Raises:
        InvalidPackage: there is no such file, or it is none of the known formats.
    """
    remedy = f"known are {KNOWN}"
    if ict.neutral_of(path) is not None:
        return ict.FORMAT
    if not path.is_file():
        what = "a folder without generic_neutral_mesh.obj" if path.is_dir() else "not there"
        raise InvalidPackage(f"{path} is {what}", remedy=remedy)
    with open(path, "rb") as stream:
        start = stream.read(512)
    if not start:
        raise InvalidPackage(f"{path.name} is empty", remedy="download or copy it again")
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return bfm_h5.FORMAT
    if start.startswith(b"MATLAB 5.0"):
        names = set(bfm2009.variables(path, Checked(path, bfm2009.REMEDY)))
        if bfm2009.recognises(names):
            return bfm2009.FORMAT
        if names & {"w_exp", "trimIndex"}:
            raise InvalidPackage(
                f"{path.name} belongs to a Basel Face Model 2009 but is not the model itself",
                remedy="check 01_MorphableModel.mat, and import it with --expressions",
            )
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if "landmark_barycentric.npy" in archive.namelist():
                return OWN
    if start[:1] == b"\x80" or start.startswith((b"(dp", b"c", b"(")):
        return flame.FORMAT
    raise InvalidPackage(f"{path.name} is none of the known morphable models", remedy=remedy)


def read(path: Path, expressions: Path | None = None) -> ForeignModel:
    """Read a model of any known format but the product's own.

    Raises:
        InvalidPackage: unknown, damaged or incomplete; or expressions for a format that has its own.
    """
    found = detect(path)
    if found == bfm2009.FORMAT:
        return bfm2009.read(path, expressions)
    if expressions is not None:
        raise InvalidPackage(
            f"{TITLES[found]} has its expressions in its own file", remedy="leave --expressions out"
        )
    readers = {bfm_h5.FORMAT: bfm_h5.read, flame.FORMAT: flame.read, ict.FORMAT: ict.read}
    if found not in readers:
        raise InvalidPackage(
            f"{path.name} is already a Likeness model",
            remedy="copy it into the models folder (docs/models.md)",
        )
    return readers[found](path)


def report(path: Path, expressions: Path | None = None) -> Report:
    """What ``path`` is and whether it loads; never raises a problem of the file's."""
    found = ""
    try:
        found = detect(path)
        if found == OWN:
            own = MorphableModel.load(path)
            return Report(
                path.name, OWN, TITLES[OWN], own.name, own.vertex_count, len(own.triangles),
                own.identity_basis.shape[-1], len(own.expression_names), loads=True,
            )  # fmt: skip
        model = read(path, expressions)
    except Problem as problem:
        return Report(
            path.name, found, TITLES.get(found, "unknown"), problem=problem.message, remedy=problem.remedy
        )
    return Report(
        path.name, found, TITLES[found], model.version, len(model.mean), len(model.triangles),
        model.identity.shape[-1], model.expression.shape[-1], model.missing, model.licence, loads=True,
    )  # fmt: skip
