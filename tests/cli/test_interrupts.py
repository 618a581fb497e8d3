"""SIGINT and SIGTERM in real processes: at bad moments, and again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOTH = [signal.SIGTERM, signal.SIGINT]

COMMAND = """
import os, signal, sys, threading, time
import typer
from cli.terminal import long_command
from training.progress import Tick

def signalled(number):
    os.kill(os.getpid(), number)

try:
    with long_command(resume="run it again.") as progress:
{work}
except typer.Exit as ended:
    sys.exit(ended.exit_code)
"""


def run(work: str) -> subprocess.CompletedProcess[str]:
    """A command that does ``work``."""
    body = "\n".join(f"        {line}" for line in work.strip().splitlines())
    return subprocess.run(
        [sys.executable, "-c", COMMAND.format(work=body)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=100,
    )


def stopped_well(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 130, done.stderr
    assert done.stderr.count("Stopped.") == 1
    for bad in ("Traceback", "fault", "Fatal", "SystemError", "Exception ignored"):
        assert bad not in done.stderr, done.stderr


@pytest.mark.parametrize("number", BOTH)
def test_work_ends_where_it_reports(number: signal.Signals) -> None:
    done = run(
        f"""
signalled({int(number)})
print("goes on to the next report")
progress(Tick("fit", 1, 2))
print("not reached")
"""
    )
    stopped_well(done)
    assert done.stdout.splitlines() == ["goes on to the next report"]


def test_work_that_reports_nothing_is_ended_where_it_is() -> None:
    stopped_well(run("signalled(signal.SIGTERM); time.sleep(60)"))


def test_a_signal_while_compiled_code_calls_back() -> None:
    """numba asks Python what an argument is; an exception there comes out as a SystemError, or as nothing at all."""
    done = run(
        """
import numba
from numba.extending import typeof_impl
class Thing: pass
@typeof_impl.register(Thing)
def kind(value, context):
    signalled(signal.SIGTERM)
    time.sleep(1.5)
    return numba.types.int64
@numba.njit
def compiled(thing): return 1
try:
    compiled(Thing())
except TypeError:  # a thing is no number, of course
    pass
time.sleep(60)
"""
    )
    stopped_well(done)


def test_what_a_destructor_swallows_is_asked_for_again() -> None:
    done = run(
        """
class Slow:
    def __del__(self):
        signalled(signal.SIGTERM)
        time.sleep(3)
Slow()
time.sleep(60)
"""
    )
    stopped_well(done)


def test_many_signals_do_not_disturb_the_end() -> None:
    done = run(
        """
def impatient():
    for number in 40 * [signal.SIGTERM, signal.SIGINT]:
        signalled(number)
        time.sleep(0.02)
threading.Thread(target=impatient, daemon=True).start()
try:
    time.sleep(60)
finally:
    time.sleep(0.5)
    print("cleaned up")
"""
    )
    stopped_well(done)
    assert done.stdout.splitlines() == ["cleaned up"]


def test_an_exception_that_came_of_a_signal_is_no_fault() -> None:
    stopped_well(
        run('signalled(signal.SIGTERM); raise SystemError("returned a result with an exception set")')
    )


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "LIKENESS_MIN_FREE_MB": "1"},
    )


@pytest.mark.parametrize("delay_s", [0.15, 0.4, 0.8])
def test_a_command_that_only_begins(delay_s: float, tmp_path: Path) -> None:
    """Whenever they come: before anything of the command is imported, or while it is."""
    (tmp_path / "a.mp4").write_bytes(b"no video")
    process = start("inspect", str(tmp_path / "a.mp4"))
    time.sleep(delay_s)
    for _ in range(5):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    _, err = process.communicate(timeout=60)
    # 3: it was through already. Before Python itself is up a signal ends it, which nobody can help.
    assert process.returncode in (130, 3, -signal.SIGTERM), err
    for bad in ("Traceback", "Fatal", "SystemError", "Exception ignored"):
        assert bad not in err, err


def in_order(process: subprocess.Popen[str], ready: str, number: signal.Signals) -> str:
    """Send it signals again and again once its stderr says ``ready``; returns all that it said."""
    said = ""
    assert process.stderr is not None
    while ready not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.05)
    _, rest = process.communicate(timeout=60)
    said += rest
    for bad in ("Traceback", "Fatal", "SystemError", "Exception ignored", "the service is gone"):
        assert bad not in said, said
    return said


@pytest.mark.parametrize("number", BOTH)
def test_the_service_ends_in_order(number: signal.Signals, tmp_path: Path) -> None:
    """The worker of its own included, which waits on its standard input meanwhile."""
    process = start("up", "--port", "0", "--data-dir", str(tmp_path / "data"))
    said = in_order(process, "Application startup complete", number)
    assert process.returncode == 0
    assert "what was running goes on" in said


def test_an_interrupted_import_does_not_decide_the_exit_code(tmp_path: Path) -> None:
    """Python ends by SIGINT once a KeyboardInterrupt came out of code given as text, even if it was obeyed long ago."""
    script = (
        "import sys\n"
        "from cli.interrupts import ignore_from_now_on\n"
        "try:\n"
        "    exec('raise KeyboardInterrupt')\n"
        "except KeyboardInterrupt:\n"
        "    pass\n"
        "ignore_from_now_on()\n"
        "sys.exit(130)\n"
    )
    (tmp_path / "interrupted.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    # As a module, as the command is: what ends a script goes another way.
    done = subprocess.run([sys.executable, "-m", "interrupted"], env=environment, timeout=60)
    assert done.returncode == 130
