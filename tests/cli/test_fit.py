"""``likeness fit`` at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from faces.track import FaceTrack
from media.decode import read_frames
from media.probe import probe
from tests.fitting.inspected_clip import clip_of
from tests.fitting.moving_face import scenery

FRAMES = 80


@pytest.mark.slow
def test_track_texture_and_preview_of_a_clip(tmp_path: Path) -> None:
    out = tmp_path / "results"
    clip = clip_of(tmp_path, frames=100)
    arguments = ["fit", str(clip), "-o", str(out), "--preview", "--frames", str(FRAMES), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["frames"] == report["frames_with_face"] == FRAMES
    assert 0 < report["errors"]["lips"]["median"] < 3
    assert report["lip_gap_r"] > 0.9
    names = ["track.safetensors", "texture.safetensors", "preview.mp4", "preview.png"]
    assert report["files"] == [str(out / name) for name in names]
    assert all(Path(file).stat().st_size > 0 for file in report["files"])
    assert len(FaceTrack.load(out / "track.safetensors")) == FRAMES
    assert sum(1 for _ in read_frames(out / "preview.mp4")) == FRAMES
    assert probe(out / "preview.mp4").audio is not None


def test_a_clip_without_a_face_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = CliRunner().invoke(app, ["fit", str(clip_of(tmp_path, scenery)), "-o", str(out), "--json"])
    assert result.exit_code == 3, result.output
    error = json.loads(result.stdout.splitlines()[-1])["error"]
    assert error["slug"] == "no_face"
    assert error["remedy"]
    assert not (out / "track.safetensors").exists()


@pytest.mark.parametrize("arguments", [[], ["clip.mp4", "--frames", "0"], ["clip.mp4", "--preset", "best"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["fit", *arguments]).exit_code == 2
