"""``likeness bench`` at the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.bench import _print_marks, _print_tables
from cli.main import app

RANGE = {"p50": 1.25, "p95": 2.5}
ERRORS = {
    "rotation_deg": RANGE,
    "blinks": {"found_within_a_frame": 3, "true": 4, "false_per_minute": 0.5},
    "people": 2,
}


def test_a_missing_clip_is_an_error_before_any_work(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.mp4")
    result = CliRunner().invoke(app, ["bench", "fitting", "--quick", "--clip", missing, "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout.splitlines()[-1])["error"]["slug"] == "not_found"
    assert "What to do:" in result.stderr


def test_marks_of_a_missing_clip_neither(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.mp4")
    result = CliRunner().invoke(app, ["bench", "provenance", "--quick", "--clip", missing, "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout.splitlines()[-1])["error"]["slug"] == "not_found"


def test_help_names_the_options() -> None:
    result = CliRunner().invoke(app, ["bench", "fitting", "--help"])
    assert result.exit_code == 0
    assert "--people" in result.stdout
    assert CliRunner().invoke(app, ["bench", "fitting", "--people", "0"]).exit_code == 2


def test_tables_show_medians_blinks_ways_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    way = {"rotation_deg": RANGE, "mesh_mm": RANGE, "lip_gap_mm": RANGE, "cpu_s": 1.5, "cost_ratio": None}
    clip = {
        "clip": "a.mp4", "reprojection_pct_iod": 0.5, "lips_pct_iod": 0.4, "lids_pct_iod": 0.6, "lip_gap_r": 0.99,
        "eye_r": 0.98, "render_psnr": 27.0,
    }  # fmt: skip
    _print_tables(
        {
            "synthetic": ERRORS,
            "synthetic_exact_landmarks": ERRORS,
            "alternatives": {"ours": way},
            "split": {"fit.landmarks": {"wall_s": 3.0, "cpu_s": 4.0}},
            "clips": [clip],
            "seconds_300_frames": 21.0,
            "cpu_seconds_300_frames": 25.0,
            "peak_rss_mb": 900,
        }
    )
    shown = capsys.readouterr().out
    assert "1.25 / 2.50" in shown
    assert "3 of 4" in shown
    assert "fit.landmarks" in shown
    assert "a.mp4: held-out reprojection 0.50 % IOD" in shown
    assert "peak memory 900 MiB" in shown


def test_marks_are_shown_with_what_they_cost_and_where_they_were_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {"runs": 3, "detected": 2, "bit_accuracy": 0.9, "least_confidence": 0.57, "missed": ["grain, 1004"]}
    _print_marks(
        {
            "invented": {"crf 28": row},
            "filmed": {},
            "clips": {"grain, 1004": {"psnr_db": 48.21, "ms_a_frame": 1.24, "bytes_more": 0.08}},
            "false_positives": {"windows": 210, "attempts": 400, "found": 0},
            "manifest": {"seconds": 0.04, "bytes": 3700},
        }
    )
    shown = capsys.readouterr().out
    assert "2 of 3, confidence 0.57" in shown
    assert "grain, 1004" in shown
    assert "48.2" in shown
    assert "0 found in 210 windows" in shown
    assert "3700 bytes" in shown
