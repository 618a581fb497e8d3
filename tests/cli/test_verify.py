from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.provenance import copy_streams, encode
from benchmarks.scenes import invented
from cli.main import app
from provenance.credentials import development
from workers.mark import Mark


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with both marks, one whose manifest was lost, and one with none."""
    path = tmp_path_factory.mktemp("videos")
    mark = Mark("vid_1", development(path), "verified", "con_7")
    frames = invented("grain", 10, (256, 256))
    encode(frames, path / "plain.mp4")
    encode(mark.watermark().marked(frames), path / "marked.mp4")
    mark.sign(path / "marked.mp4", "A talk")
    copy_streams(path / "marked.mp4", path / "copied.mp4")
    return path


def test_marks_are_told_in_words(folder: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(folder / "marked.mp4")])
    assert result.exit_code == 0, result.output
    for word in (
        "unchanged",
        "Likeness development (self-signed) (untrusted)",
        "A talk",
        "con_7",
        "verified",
    ):
        assert word in result.stdout
    result = CliRunner().invoke(app, ["verify", str(folder / "copied.mp4")])
    assert result.exit_code == 0, result.output
    assert "C2PA       none" in result.stdout
    assert f"{Mark('vid_1', development(folder)).number:012x}" in result.stdout


def test_a_video_without_marks_ends_with_1(folder: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(folder / "plain.mp4"), "--json"])
    assert result.exit_code == 1, result.output
    assert json.loads(result.stdout)["watermark"]["found"] is False


def test_a_signer_is_trusted_by_file(folder: Path, tmp_path: Path) -> None:
    chain = development(folder).chain
    (tmp_path / "root.pem").write_text(chain[chain.rindex("-----BEGIN") :])
    shutil.copy(folder / "marked.mp4", tmp_path / "video.mp4")
    arguments = ["verify", str(tmp_path / "video.mp4"), "--json", "--trust"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "root.pem")])
    assert json.loads(result.stdout)["c2pa"]["trusted"] is True
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "missing.pem")])
    assert result.exit_code == 3, result.output
    assert json.loads(result.stdout.splitlines()[-1])["error"]["slug"] == "invalid_parameter"
