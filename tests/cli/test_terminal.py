from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import typer
from rich.console import Console

import problems
from cli import terminal
from training.progress import Tick


def test_a_problem_is_two_lines_and_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, terminal.long_command():
        raise problems.NoFace("no face in frames 12-40 [of 300]", remedy="film the face from the front")
    assert ended.value.exit_code == terminal.EXIT_INPUT
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "No usable face was found: no face in frames 12-40 [of 300]",
        "What to do: film the face from the front",
    ]


def test_json_ends_with_the_problem(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), terminal.long_command(as_json=True):
        raise problems.TooShort("2 s", remedy="record 12 s", details={"seconds": 2.0})
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert error["slug"] == "too_short"
    assert error["details"] == {"seconds": 2.0}


@pytest.mark.parametrize(
    ("error", "slug", "code"),
    [
        (problems.UnreadableMedia("x", remedy="y"), "unreadable_media", terminal.EXIT_INPUT),
        (problems.NotFound("x", remedy="y"), "not_found", terminal.EXIT_INPUT),
        (problems.DecodeTimeout("x", remedy="y"), "decode_timeout", terminal.EXIT_INPUT),
        (problems.OutOfMemory("x", remedy="y"), "out_of_memory", terminal.EXIT_RESOURCES),
        (MemoryError(), "out_of_memory", terminal.EXIT_RESOURCES),
        (RuntimeError("CUDA out of memory."), "out_of_memory", terminal.EXIT_RESOURCES),
        (OSError(errno.ENOSPC, "No space left on device", "a.bin"), "out_of_disk", terminal.EXIT_RESOURCES),
        (
            PermissionError(errno.EACCES, "Permission denied", "a.mp4"),
            "invalid_parameter",
            terminal.EXIT_INPUT,
        ),
        (ZeroDivisionError("boom"), "internal", terminal.EXIT_FAULT),
        (problems.Cancelled("x", remedy="y"), "cancelled", terminal.EXIT_STOPPED),
    ],
)
def test_every_failure_has_its_exit_code(error: Exception, slug: str, code: int) -> None:
    problem = terminal.as_problem(error)
    assert problem.slug == slug
    assert terminal.exit_code(problem) == code
    assert problem.remedy


def test_every_problem_of_the_family_has_an_exit_code() -> None:
    kinds = [problems.Problem]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    codes = {kind: terminal.exit_code(kind("m", remedy="r")) for kind in kinds}
    assert all(code in (1, 3, 4, 130) for code in codes.values())
    assert codes[problems.InternalProblem] == terminal.EXIT_FAULT


def test_a_path_that_cannot_be_read_is_named() -> None:
    problem = terminal.as_problem(FileNotFoundError(errno.ENOENT, "No such file or directory", "clip.mp4"))
    assert "clip.mp4" in problem.message


def test_a_fault_shows_its_traceback_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit), terminal.long_command():
        raise ZeroDivisionError("boom")
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv(terminal.DEBUG, "1")
    with pytest.raises(typer.Exit), terminal.long_command():
        raise ZeroDivisionError("boom")
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, terminal.long_command(resume="run it again."):
        raise KeyboardInterrupt
    assert ended.value.exit_code == terminal.EXIT_STOPPED
    assert "run it again." in capsys.readouterr().err


def test_sigterm_ends_the_work_as_ctrl_c_does() -> None:
    script = (
        "import sys, time\n"
        "from cli.terminal import long_command\n"
        "import typer\n"
        "try:\n"
        "    with long_command(as_json=True, resume='run it again.'):\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(30)\n"
        "except typer.Exit as ended:\n"
        "    sys.exit(ended.exit_code)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert process.returncode == terminal.EXIT_STOPPED
    assert "run it again." in err
    assert json.loads(out)["error"]["slug"] == "cancelled"


def test_the_callers_sigterm_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with terminal.long_command():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_pipe_gets_a_line_at_the_start_and_at_the_end_of_a_stage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([100.0, 101.0, 112.0, 120.0, 120.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    with terminal.TerminalProgress() as progress:
        for done in (0, 1, 12, 20, 20):
            progress(Tick("fit", done, 20, metrics={"px": 0.5}))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "fit: 0/20, 0:00 px 0.5",
        "fit: 12/20, 0:12, ETA 0:08 px 0.5",
        "fit: 20/20, 0:20 px 0.5",
    ]


def test_a_stage_that_begins_anew_is_told_of_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter([100.0, 119.0, 120.0, 131.0, 150.0, 151.0, 152.0, 153.0, 154.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    with terminal.TerminalProgress() as progress:
        for done, total in ((0, 3), (3, 3), (0, 9), (3, 9), (9, 9), (0, 2), (2, 2), (0, 2), (2, 2)):
            progress(Tick("dub", done, total))
    assert capsys.readouterr().err.splitlines() == [
        "dub: 0/3, 0:00",
        "dub: 3/3, 0:19",
        "dub: 3/9, 0:11, ETA 0:22",
        "dub: 9/9, 0:30",
    ]


def test_a_terminal_gets_a_bar_per_stage() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160)
    with terminal.TerminalProgress(console) as progress:
        progress(Tick("fit", 10, 10, "done"))
        progress(Tick("render.train", 3, 0, metrics={"loss": 0.25}))
    shown = screen.getvalue()
    assert "fit" in shown
    assert "10/10" in shown
    assert "render.train" in shown
    assert "loss 0.25" in shown
    assert "ETA" in shown


def test_the_bar_of_a_stage_that_begins_anew_does_too() -> None:
    screen = io.StringIO()
    with terminal.TerminalProgress(Console(file=screen, force_terminal=True, width=160)) as progress:
        progress(Tick("dub", 10, 10))
        progress(Tick("dub", 3, 30))
    assert re.search(r"10%.* 3/30", screen.getvalue().rpartition("dub")[2])


def test_eta() -> None:
    assert terminal.eta_s(10.0, 0, 10) is None
    assert terminal.eta_s(10.0, 5, 0) is None
    assert terminal.eta_s(10.0, 5, 20) == 30.0
    assert terminal.clock(59.6) == "1:00"
    assert terminal.clock(3725) == "1:02:05"


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json({"a": float("nan"), "b": [1.5, {"c": float("inf")}], "path": problems})
    shown = json.loads(capsys.readouterr().out)
    assert shown["a"] is None
    assert shown["b"] == [1.5, {"c": None}]
