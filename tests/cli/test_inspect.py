"""``likeness inspect`` at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from cli.main import app
from tests.fitting.inspected_clip import clip_of
from tests.fitting.moving_face import scenery


def test_a_trainable_clip(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(clip_of(tmp_path))])
    assert result.exit_code == 0, result.output
    assert "verdict: trainable" in result.stdout
    assert "320x320" in result.stdout
    assert "What" not in result.stdout


def test_json_of_a_clip_that_is_not(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(clip_of(tmp_path, scenery)), "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["trainable"] is False
    assert [finding["code"] for finding in report["findings"]] == ["no_face"]


def test_the_verdict_names_frames_and_remedy(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(clip_of(tmp_path, scenery))])
    assert result.exit_code == 1
    assert "not trainable" in result.stdout
    assert "no face was found" in result.stdout
    assert "(frames 0, 1, 2, " in result.stdout
    assert "film one person" in result.stdout


def test_a_file_that_is_no_media(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("text")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "clip.mp4"), "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["slug"] == "unreadable_media"
    assert "What to do:" in result.stderr
