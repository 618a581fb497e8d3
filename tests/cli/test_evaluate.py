from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli import evaluate
from evaluation.metrics import METRICS
from problems import NoSound
from workers.stages import evaluate as stage

RESULT = {
    **{name: {metric.key: 0.25 for metric in METRICS} for name in ("reenact", "dub", "ceiling", "replay")},
    "seconds": {"fit": 61.2},
    "peak_rss_mb": 1234.5,
}


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    evaluate.register(app)
    return app


def test_json_is_the_last_line_and_options_reach_the_stage(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: dict[str, Any] = {}

    def run(clip: Path, out_dir: Path, **options: Any) -> dict[str, Any]:
        called.update(options, clip=clip, out_dir=out_dir)
        return RESULT

    monkeypatch.setattr(stage, "run", run)
    arguments = [
        "a.mp4",
        "--train-frames",
        "200",
        "--preset",
        "best",
        "--seed",
        "7",
        "--device",
        "cpu",
        "--audio-track",
        "2",
        "--rotate",
        "90",
    ]
    answer = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path), "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout.splitlines()[-1]) == RESULT
    called.pop("progress")
    assert called == {
        "clip": Path("a.mp4"), "out_dir": tmp_path, "train_frames": 200, "preset": "best", "seed": 7,
        "device": "cpu", "audio_track": 2, "rotate": 90,
    }  # fmt: skip


def test_without_json_a_table_is_printed(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(stage, "run", lambda *_, **__: RESULT)
    answer = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["a.mp4", "-o", str(tmp_path)])
    assert answer.exit_code == 0, answer.output
    assert all(metric.key in answer.stdout for metric in METRICS)
    assert "peak memory 1234 MiB" in answer.stdout
    assert "0.25" in answer.stdout


def test_a_problem_becomes_an_exit_code_and_json(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> dict[str, Any]:
        raise NoSound("a.mp4 has no sound", remedy="evaluate another clip")

    monkeypatch.setattr(stage, "run", run)
    answer = CliRunner().invoke(app, ["a.mp4", "--json"])
    assert answer.exit_code == 3
    assert json.loads(answer.stdout.splitlines()[-1])["error"]["slug"] == "no_sound"
