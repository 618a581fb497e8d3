"""What a file is, by its content."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from faces.adapters import formats
from faces.morphable import DEFAULT_MODEL
from problems import InvalidPackage
from tests.faces.adapters.generated_models import write_bfm2009, write_bfm_h5, write_flame, write_ict


def test_each_format_is_known_by_its_content(tmp_path: Path) -> None:
    model, expressions = write_bfm2009(tmp_path / "bfm")
    named = {
        "bfm2009": model.rename(tmp_path / "a"),
        "bfm-h5": write_bfm_h5(tmp_path / "b"),
        "flame": write_flame(tmp_path / "c"),
        "ict-facekit": write_ict(tmp_path / "d", identities=1),
        "likeness": Path(shutil.copy(DEFAULT_MODEL, tmp_path / "e")),
    }
    for key, path in named.items():
        report = formats.report(path, expressions if key == "bfm2009" else None)
        assert (report.format, report.loads, report.problem) == (key, True, ""), report
        assert report.vertices > 3000
        assert report.identity_components > 0
        assert report.expression_components > 0
    assert any("no teeth" in lack for lack in formats.report(named["flame"]).missing)


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 600, b"text", b"PK\x03\x04", b"MATLAB 5.0 MAT-file", b"\x89HDF\r\n"]
)
def test_other_files_are_named_as_such(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    report = formats.report(path)
    assert not report.loads
    assert "model.bin" in report.problem
    assert report.remedy


def test_parts_of_a_model_are_told_from_the_model(tmp_path: Path) -> None:
    write_bfm2009(tmp_path)
    report = formats.report(tmp_path / "BFM_exp_idx.mat")
    assert not report.loads
    assert "not the model itself" in report.problem
    assert "--expressions" in report.remedy


def test_a_missing_file_and_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage, match="not there"):
        formats.detect(tmp_path / "nothing.mat")
    with pytest.raises(InvalidPackage, match="without generic_neutral_mesh"):
        formats.detect(tmp_path)


def test_expressions_only_for_the_model_that_lacks_them(tmp_path: Path) -> None:
    path = write_bfm_h5(tmp_path / "model.h5")
    with pytest.raises(InvalidPackage, match="in its own file"):
        formats.read(path, tmp_path / "Exp_Pca.bin")
