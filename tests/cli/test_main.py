from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import main

COMMANDS = ("inspect", "personalize", "dub", "evaluate", "up", "worker", "migrate", "keys", "doctor")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(main.app, [command, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from cli.main import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'torch', 'cv2', 'mediapipe', 'numba', 'scipy', 'onnxruntime', 'av', 'fastapi', 'sqlalchemy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(main.app, ["fly"]).exit_code == 2


def test_an_input_that_is_not_there_ends_in_two_lines(tmp_path: Path) -> None:
    # Through the real entry point: restart, command, stage, error and exit code together.
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "cli",
            "personalize",
            str(tmp_path / "none.mp4"),
            "-o",
            str(tmp_path / "p"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 3, result.stderr
    assert "none.mp4" in result.stderr
    assert "What to do:" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "p").exists()
