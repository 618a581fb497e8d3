"""``likeness models`` at the terminal."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from faces.morphable import SKIN, MorphableModel
from faces.registry import VARIABLE, model_named
from tests.faces.adapters.generated_models import head_parts, write_bfm2009, write_bfm_h5


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


def test_check_says_what_a_file_is(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["models", "check", str(write_bfm_h5(tmp_path / "model2017-1_face12_nomouth.h5"))]
    )
    assert result.exit_code == 0, result.output
    assert "Basel Face Model (HDF5), model2017-1_face12_nomouth" in result.stdout
    assert f"{len(head_parts(SKIN).vertices)} vertices" in result.stdout
    assert "20 identity, 40 expression" in result.stdout
    assert "no eyeballs" in result.stdout
    assert "non-commercial" in result.stdout
    assert "verdict: loads" in result.stdout


def test_check_in_json_of_expressions_that_lack_a_file(tmp_path: Path) -> None:
    model, expressions = write_bfm2009(tmp_path)
    (tmp_path / "BFM_exp_idx.mat").unlink()
    result = CliRunner().invoke(
        app, ["models", "check", str(model), "--expressions", str(expressions), "--json"]
    )
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert report["format"] == "bfm2009"
    assert report["loads"] is False
    assert "BFM_exp_idx.mat" in report["remedy"]


def test_check_never_runs_a_pickles_code(tmp_path: Path) -> None:
    class Command:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps({"v_template": Command()}))
    result = CliRunner().invoke(app, ["models", "check", str(path)])
    assert result.exit_code == 3
    assert "refused unread" in result.stdout
    assert "does not load" in result.stdout
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_import_then_list_then_import_again(tmp_path: Path, folder: Path) -> None:
    model, expressions = write_bfm2009(tmp_path)
    command = ["models", "import", str(model), "--expressions", str(expressions), "--name", "basel", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["name"] == "basel"
    assert facts["expressions"] == len(MorphableModel.load().expression_names)
    assert "jawOpen" in facts["own_expressions"]
    assert Path(facts["path"]) == folder / "basel.npz"
    assert model_named("basel").vertex_count == facts["vertices"]
    listed = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)
    assert [entry["name"] for entry in listed["models"]] == [MorphableModel.load().name, "basel"]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 3
    assert json.loads(again.stdout.splitlines()[-1])["error"]["slug"] == "conflict"


def test_a_file_that_is_no_model_leaves_nothing_behind(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "model.h5").write_text("text")
    result = CliRunner().invoke(app, ["models", "import", str(tmp_path / "model.h5")])
    assert result.exit_code == 3
    assert "What to do:" in result.stderr
    assert not folder.exists()


def test_personalize_names_a_model_that_is_missing(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"x")
    result = CliRunner().invoke(
        app, ["personalize", str(clip), "-o", str(tmp_path / "p"), "--model", "basel"]
    )
    assert result.exit_code == 3
    assert "'basel' is not installed" in result.stderr
    assert "likeness models import" in result.stderr
