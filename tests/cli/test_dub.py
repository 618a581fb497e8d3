from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app


@pytest.mark.parametrize(
    "arguments",
    [
        ["--pose", "reference"],
        ["--pose", "clip", "--pose-video", "p.mp4"],
        ["--expression-video", "e.mp4"],
        ["--pose", "sideways"],
        ["--pose", "learned", "--length-mismatch", "loop"],
        ["--face", "0.5,0.5"],
        ["--pose", "reference", "--pose-video", "p.mp4", "--face", "left"],
        ["--pose", "reference", "--pose-video", "p.mp4", "--face", "0.5,1.5"],
        ["--output", "alpha"],
        ["--height", "20"],
        ["--fps", "120"],
        ["--crf", "0"],
    ],
)
def test_poses_that_do_not_fit_together_are_wrong_usage(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["dub", "p.likeness", "r.wav", "-o", "o.mp4", *arguments])
    assert result.exit_code == 2, result.output


def test_a_person_file_that_is_none_is_named(tmp_path: Path) -> None:
    person = tmp_path / "p.likeness"
    person.write_bytes(b"not a zip")
    recording = tmp_path / "r.wav"
    recording.write_bytes(b"")
    out = tmp_path / "o.mp4"
    result = CliRunner().invoke(app, ["dub", str(person), str(recording), "-o", str(out), "--json"])
    assert result.exit_code == 3, result.output
    error = json.loads(result.stdout.splitlines()[-1])["error"]
    assert error["slug"] in {"invalid_package", "unreadable_media", "no_sound"}
    assert error["remedy"]
    assert not out.exists()


def test_a_video_without_marks_is_warned_of(tmp_path: Path) -> None:
    person = tmp_path / "p.likeness"
    person.write_bytes(b"not a zip")
    arguments = ["dub", str(person), str(person), "-o", str(tmp_path / "o.mp4")]
    assert "Article 50" in CliRunner().invoke(app, [*arguments, "--no-provenance"]).stderr
    assert (
        "Article 50"
        not in CliRunner().invoke(app, arguments, env={"LIKENESS_DATA_DIR": str(tmp_path)}).stderr
    )


@pytest.mark.parametrize(("name", "output"), [("o.avi", "frame"), ("o", "face"), ("o.mp4", "alpha")])
def test_the_files_name_must_say_a_container_that_can_hold_it(name: str, output: str) -> None:
    result = CliRunner().invoke(app, ["dub", "p.likeness", "r.wav", "-o", name, "--output", output])
    assert result.exit_code == 2
    assert ".webm" in result.output
    assert (".mp4" in result.output.replace(name, "")) == (output != "alpha")
