"""Basel Face Model 2009 from generated files in its own layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from faces.adapters import bfm2009
from faces.morphable import SKIN, MorphableModel
from problems import InvalidPackage
from tests.faces.adapters.generated_models import EXPRESSIONS, IDENTITIES, head_parts, write_bfm2009

SIZE = 3 * len(head_parts(SKIN).vertices)


def rewritten(path: Path, **changes: object) -> Path:
    """The model's file with some variables replaced; None leaves one out."""
    content = {n: v for n, v in loadmat(path).items() if not n.startswith("__")}
    savemat(path, {n: v for n, v in {**content, **changes}.items() if v is not None})
    return path


def test_vertices_components_and_triangles_come_back(tmp_path: Path) -> None:
    head = head_parts(SKIN)
    model, expressions = write_bfm2009(tmp_path, head)
    read = bfm2009.read(model, expressions)
    assert np.abs(read.mean - head.vertices).max() < 0.05
    assert np.abs(read.identity - head.identity).max() < 0.05
    assert read.identity.shape[-1] == IDENTITIES
    assert read.expression.shape[-1] == EXPRESSIONS
    assert read.triangles.tolist() == head.triangles.tolist()  # counted from 0 again, facing outwards again
    assert read.albedo is not None
    assert np.abs(read.albedo - head.albedo).max() < 0.01
    assert "no eyeballs, teeth, tongue, inner mouth" in " ".join(read.missing)


def test_expressions_span_the_heads_own(tmp_path: Path) -> None:
    head = head_parts(SKIN)
    read = bfm2009.read(*write_bfm2009(tmp_path, head, untrimmed=0))
    jaw = head.expression[..., MorphableModel.load().expression_index("jawOpen")].ravel()
    basis = read.expression.reshape(-1, EXPRESSIONS)
    left = jaw - basis @ np.linalg.lstsq(basis, jaw, rcond=None)[0]
    assert (left**2).sum() < 0.01 * (jaw**2).sum()


def test_trimmed_expressions_leave_the_other_vertices_still(tmp_path: Path) -> None:
    model, expressions = write_bfm2009(tmp_path, untrimmed=60)
    still = (np.abs(bfm2009.read(model, expressions).expression).max((1, 2)) == 0).sum()
    assert still >= 60
    (tmp_path / "BFM_exp_idx.mat").unlink()
    with pytest.raises(InvalidPackage, match="the list of them is missing") as caught:
        bfm2009.read(model, expressions)
    assert "BFM_exp_idx.mat" in caught.value.remedy


def test_expressions_of_3ddfa(tmp_path: Path) -> None:
    head = head_parts(SKIN)
    model, _ = write_bfm2009(tmp_path, head)
    basis = head.expression.reshape(-1, head.expression.shape[-1])[:, :8] * 1000
    np.save(tmp_path / "w_exp_sim.npy", basis.astype("f4"))
    assert (
        np.abs(bfm2009.read(model, tmp_path / "w_exp_sim.npy").expression - head.expression[..., :8]).max()
        < 0.05
    )
    parts = {
        "w_exp": basis / 500,
        "sigma_exp": np.full((8, 1), 500.0),
        "mu_exp": np.full((len(basis), 1), 2000.0),
    }
    savemat(tmp_path / "Model_Expression.mat", parts)
    read = bfm2009.read(model, tmp_path / "Model_Expression.mat")
    assert np.abs(read.expression - head.expression[..., :8]).max() < 0.05
    assert np.abs(read.mean - head.vertices - 2.0).max() < 0.05  # the mean expression is part of the mean


def test_expressions_cut_off(tmp_path: Path) -> None:
    model, expressions = write_bfm2009(tmp_path)
    expressions.write_bytes(expressions.read_bytes()[:-1000])
    with pytest.raises(InvalidPackage, match="cut off"):
        bfm2009.read(model, expressions)
    expressions.write_bytes(b"\xff\xff\xff\x7f" + bytes(400))
    with pytest.raises(InvalidPackage, match="components"):
        bfm2009.read(model, expressions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shapePC": None}, "shapePC is missing"),
        ({"shapeEV": np.ones((3, 1))}, "shapeEV has the shape"),
        ({"shapeMU": np.full((SIZE, 1), np.nan)}, "NaN"),
        ({"shapeMU": np.ones((SIZE + 1, 1))}, "not three for each vertex"),
        ({"tl": np.full((50, 3), 99999.0)}, "names vertex"),
        ({"tl": np.zeros((50, 3))}, "names vertex"),
        ({"shapeMU": np.array([["text"]], dtype=object)}, "no numbers"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = rewritten(write_bfm2009(tmp_path)[0], **changes)
    with pytest.raises(InvalidPackage, match=message) as caught:
        bfm2009.read(path)
    assert "01_MorphableModel.mat" in caught.value.message
    assert caught.value.remedy


def test_another_unit_is_refused(tmp_path: Path) -> None:
    path = write_bfm2009(tmp_path, head_parts(SKIN, scale=0.001))[0]
    with pytest.raises(InvalidPackage, match="mm large"):
        bfm2009.read(path)


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = write_bfm2009(tmp_path)[0]
    whole = path.read_bytes()
    for share in (0.02, 0.3, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InvalidPackage):
            bfm2009.read(path)


def test_an_absurd_size_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_bfm2009(tmp_path)[0]
    monkeypatch.setattr("faces.adapters.foreign.MAX_BYTES", 1 << 20)
    with pytest.raises(InvalidPackage, match="larger than any model"):
        bfm2009.read(path)
