"""Models by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from faces import registry
from faces.morphable import MorphableModel
from problems import Conflict, InvalidPackage, InvalidParameter, NotFound


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models."""
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def test_an_installed_model_is_found_by_name_and_unchanged(folder: Path) -> None:
    shipped = MorphableModel.load()
    path = registry.install_model(replace(shipped, name="mine"), "a licence")
    assert path == folder / "mine.npz"
    assert list(registry.installed_models()) == [shipped.name, "mine"]
    found = registry.model_named("mine")
    assert found.name == "mine"
    assert np.abs(found.mean - shipped.mean).max() == 0
    assert np.abs(found.identity_basis - shipped.identity_basis).max() == 0  # half floats already
    assert (found.triangle_part == shipped.triangle_part).all()
    assert (found.landmark_triangles == shipped.landmark_triangles).all()
    np.testing.assert_array_equal(found.landmark_bias, shipped.landmark_bias)
    assert [p.name for p in folder.iterdir()] == ["mine.npz"]


def test_the_shipped_head_needs_no_folder(folder: Path) -> None:
    assert (
        registry.model_named(None) is registry.model_named(registry.shipped_name()) is MorphableModel.load()
    )
    assert not folder.exists()


def test_a_model_that_is_not_installed() -> None:
    with pytest.raises(NotFound, match="'bfm' is not installed") as caught:
        registry.model_named("bfm")
    assert "likeness models import" in caught.value.remedy


def test_a_taken_name_is_refused_unless_replaced() -> None:
    model = replace(MorphableModel.load(), name="mine")
    registry.install_model(model, "")
    with pytest.raises(Conflict):
        registry.install_model(model, "")
    registry.install_model(model, "", replace=True)
    with pytest.raises(Conflict):  # the shipped name never
        registry.install_model(MorphableModel.load(), "", replace=True)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a" * 65, "a b", "x\n"])
def test_names_never_leave_the_folder(name: str) -> None:
    with pytest.raises(InvalidParameter):
        registry.check_name(name)
    with pytest.raises(NotFound):
        registry.model_named(name)


def test_a_damaged_file_says_what_to_do(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine.npz").write_bytes(b"PK")
    with pytest.raises(InvalidPackage) as caught:
        registry.model_named("mine")
    assert "likeness models import FILE --name mine" in caught.value.remedy


def test_a_renamed_file_is_not_taken_for_another_model(folder: Path) -> None:
    registry.install_model(replace(MorphableModel.load(), name="mine"), "").rename(folder / "yours.npz")
    with pytest.raises(InvalidPackage, match="holds the model 'mine'"):
        registry.model_named("yours")
