"""Basel Face Model 2017 and 2019 from generated HDF5 files, honest and hostile."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from faces.adapters import bfm_h5
from faces.morphable import SKIN
from problems import InvalidPackage
from tests.faces.adapters.generated_models import EXPRESSIONS, IDENTITIES, head_parts, write_bfm_h5

SIZE = 3 * len(head_parts(SKIN).vertices)


def test_vertices_and_deviations_come_back(tmp_path: Path) -> None:
    head = head_parts(SKIN)
    read = bfm_h5.read(write_bfm_h5(tmp_path / "model2017-1_face12_nomouth.h5", head))
    assert np.abs(read.mean - head.vertices).max() < 0.05
    assert read.version.startswith("model2017-1_face12_nomouth")
    assert read.identity.shape[-1] == IDENTITIES
    assert read.expression.shape[-1] == EXPRESSIONS
    # A PCA turns the components among themselves; what they span and how far is the same.
    ours, theirs = (x.reshape(-1, IDENTITIES).astype(float) for x in (head.identity, read.identity))
    some = np.random.default_rng(0).choice(len(ours), 200, replace=False)
    assert np.abs(ours[some] @ ours[some].T - theirs[some] @ theirs[some].T).max() < 0.05
    assert read.triangles.tolist() == head.triangles.tolist()


def test_columns_that_are_scaled_already_are_not_scaled_again(tmp_path: Path) -> None:
    path = write_bfm_h5(tmp_path / "model.h5")
    plain = bfm_h5.read(path)
    with h5py.File(path, "a") as out:
        basis = out["shape/model/pcaBasis"][()] * np.sqrt(out["shape/model/pcaVariance"][()])
        out["shape/model/pcaBasis"][...] = basis
    assert np.abs(bfm_h5.read(path).identity - plain.identity).max() < 0.01


def damaged(path: Path, how: str) -> None:
    """Change a file into one of the hostile ones."""
    with h5py.File(path, "a") as out:
        if how == "missing":
            del out["shape/model/pcaBasis"]
        elif how == "nan":
            out["shape/model/mean"][5] = np.nan
        elif how == "variance":
            del out["shape/model/pcaVariance"]
            out["shape/model/pcaVariance"] = np.ones(3, "f4")
        elif how == "text":
            del out["shape/model/mean"]
            out["shape/model/mean"] = b"text"
        elif how == "external link":
            del out["shape/model/mean"]
            out["shape/model/mean"] = h5py.ExternalLink("/etc/passwd", "/x")
        elif how == "soft link":
            del out["shape/model/mean"]
            out["shape/model/mean"] = h5py.SoftLink("/color/model/mean")
        elif how == "external storage":
            del out["shape/model/mean"]
            out["shape/model"].create_dataset(
                "mean", (SIZE,), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
            )
        elif how == "bomb":
            del out["shape/model/pcaBasis"]
            out["shape/model"].create_dataset(
                "pcaBasis", (SIZE, 900), "f8", compression="gzip", chunks=(SIZE, 100), fillvalue=0
            )
        elif how == "absurd":
            del out["shape/model/mean"]
            out["shape/model"].create_dataset("mean", (10**12,), "f8", chunks=(1024,))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "pcaBasis is missing"),
        ("nan", "NaN"),
        ("variance", "pcaVariance has the shape"),
        ("text", "no numbers"),
        ("external link", "leads out of the file"),
        ("soft link", "leads out of the file"),
        ("external storage", "not stored in the file itself"),
        ("bomb", "from almost nothing"),
        ("absurd", "larger than any model"),
    ],
)
def test_hostile_files_are_refused(tmp_path: Path, how: str, message: str) -> None:
    path = write_bfm_h5(tmp_path / "model.h5")
    damaged(path, how)
    with pytest.raises(InvalidPackage, match=message):
        bfm_h5.read(path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = write_bfm_h5(tmp_path / "model.h5")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InvalidPackage, match=r"model\.h5"):
        bfm_h5.read(path)
