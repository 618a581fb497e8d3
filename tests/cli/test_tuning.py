"""What the command sets before it starts in earnest."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cli import tuning


def test_the_process_starts_again_once_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "argv", ["likeness", "inspect", "a.mp4"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "cli", "inspect", "a.mp4"])
    monkeypatch.delenv(tuning.TUNED, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    tuning.tune_process()
    [(program, arguments, environment)] = calls
    assert program == sys.executable
    assert arguments == [sys.executable, "-m", "cli", "inspect", "a.mp4"]
    assert environment["OMP_NUM_THREADS"] == "7", "what the user has set is kept"
    assert int(environment["MALLOC_MMAP_THRESHOLD_"]) > 32 * 2**20
    monkeypatch.setenv(tuning.TUNED, "1")
    tuning.tune_process()
    assert len(calls) == 1


def test_threads_are_no_more_than_the_cores_allowed() -> None:
    assert 1 <= tuning.allowed_cores() <= len(os.sched_getaffinity(0))


def test_nothing_that_takes_time_is_imported_before_the_second_start() -> None:
    script = (
        "import os, sys\n"
        "os.execve = lambda *_: (print(sorted({'typer', 'cli.main', 'problems'} & set(sys.modules))), os._exit(0))\n"
        "import cli.__main__\n"
        "cli.__main__.main()\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != tuning.TUNED}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == "[]"
