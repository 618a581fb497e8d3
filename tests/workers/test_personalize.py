from __future__ import annotations

import json
from pathlib import Path

import pytest

from problems import Cancelled
from workers.personalize import _Stages


def _stage(folder: Path, runs: list[str], name: str) -> None:
    def work() -> None:
        runs.append(name)
        (folder / f"{name}.out").write_text(name)

    _open(folder).run(name, (f"{name}.out",), work)


def _open(folder: Path, fingerprint: str = "clip A") -> _Stages:
    return _Stages(folder, fingerprint)


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    runs: list[str] = []
    for _ in range(3):
        _stage(tmp_path, runs, "fit")
        _stage(tmp_path, runs, "motion")
    assert runs == ["fit", "motion"]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_stage_whose_output_is_gone_is_run_again(tmp_path: Path) -> None:
    runs: list[str] = []
    _stage(tmp_path, runs, "fit")
    (tmp_path / "fit.out").unlink()
    _stage(tmp_path, runs, "fit")
    assert runs == ["fit", "fit"]


def test_a_stage_that_stopped_is_not_done(tmp_path: Path) -> None:
    def stopped() -> None:
        (tmp_path / "fit.out").write_text("half")
        raise Cancelled("stopped", remedy="go on")

    with pytest.raises(Cancelled):
        _open(tmp_path).run("fit", ("fit.out",), stopped)
    runs: list[str] = []
    _stage(tmp_path, runs, "fit")
    assert runs == ["fit"]
    assert (tmp_path / "fit.out").read_text() == "fit"


def test_another_clip_starts_afresh(tmp_path: Path) -> None:
    runs: list[str] = []
    _stage(tmp_path, runs, "fit")
    checkpoint = tmp_path / "checkpoints" / "render" / "checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("of clip A")
    _open(tmp_path)
    assert checkpoint.exists()  # the same clip goes on from it
    other = _open(tmp_path, "clip B")
    assert not checkpoint.exists()
    other.run("fit", ("fit.out",), lambda: runs.append("fit of B"))
    assert runs == ["fit", "fit of B"]
    assert json.loads((tmp_path / "stages.json").read_text())["fingerprint"] == "clip B"


def test_what_was_made_from_a_lost_output_is_made_again(tmp_path: Path) -> None:
    runs: list[str] = []
    for name in ("validate", "fit", "motion"):
        _stage(tmp_path, runs, name)
    (tmp_path / "fit.out").unlink()
    for name in ("validate", "fit", "motion"):
        _stage(tmp_path, runs, name)
    assert runs == ["validate", "fit", "motion", "fit", "motion"]


def test_a_clip_interrupted_by_another_is_not_taken_for_done(tmp_path: Path) -> None:
    """A is done; B overwrites its first file and is killed; A is asked for again."""
    runs: list[str] = []
    _stage(tmp_path, runs, "validate")

    def killed() -> None:
        (tmp_path / "validate.out").write_text("of B")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _open(tmp_path, "clip B").run("validate", ("validate.out",), killed)
    _stage(tmp_path, runs, "validate")
    assert runs == ["validate", "validate"]
    assert (tmp_path / "validate.out").read_text() == "validate"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fingerprint": 3}'])
def test_a_damaged_ledger_starts_afresh(tmp_path: Path, text: str) -> None:
    (tmp_path / "stages.json").write_text(text)
    (tmp_path / "fit.out").write_text("of whom?")
    runs: list[str] = []
    _stage(tmp_path, runs, "fit")
    assert runs == ["fit"]
