"""What the motion stage found goes into the person file, and from there to whoever asked for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.personalize import Preset, _say
from problems import InvalidPackage
from workers.package import members_of, read_manifest
from workers.stages import publish

FINDING = {
    "code": "lips_poorly_learnt",
    "severity": "warning",
    "message": "the lips were learnt poorly",
    "remedy": "inspect the clip",
    "frames": [],
    "facts": {},
}


@pytest.fixture
def person_file(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    for name in members_of("instant"):
        (work / name).write_bytes(b"content")
    report = {"lip_r": 0.05, "sound_late_ms": 400, "seconds": 3.0, "findings": [FINDING]}
    (work / "motion.json").write_text(json.dumps(report))
    publish.run(work, tmp_path / "ada.likeness", preset="instant", seed=0)
    return tmp_path / "ada.likeness"


def test_the_manifest_holds_them(person_file: Path) -> None:
    manifest = read_manifest(person_file)
    assert manifest["findings"] == [FINDING]
    assert manifest["metrics"] == {"lip_r": 0.05, "sound_late_ms": 400}


def test_a_folder_made_by_hand_has_none(tmp_path: Path) -> None:
    for name in members_of("instant"):
        (tmp_path / name).write_bytes(b"content")
    manifest = publish.run(
        tmp_path, tmp_path / "ada.likeness", preset="instant", seed=0, metrics={"psnr": 1.0}
    )
    assert (manifest["findings"], manifest["metrics"]) == ([], {"psnr": 1.0})


def test_the_command_prints_them(person_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = read_manifest(person_file)
    _say(person_file, Preset.instant, 0.0, False, {}, manifest)
    text = capsys.readouterr().out
    assert "warning: the lips were learnt poorly" in text
    assert "inspect the clip" in text
    _say(person_file, Preset.instant, 0.0, True, {}, manifest)
    printed = json.loads(capsys.readouterr().out)
    assert printed["findings"] == [FINDING]
    assert printed["metrics"]["lip_r"] == 0.05


def test_a_file_without_a_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.likeness").write_bytes(b"no zip")
    with pytest.raises(InvalidPackage, match=r"x\.likeness"):
        read_manifest(tmp_path / "x.likeness")
