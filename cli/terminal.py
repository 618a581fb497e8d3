"""What every long command shares at the terminal: progress bars with an ETA, errors in two lines, exit codes, JSON.

Exit codes: 0 done; 1 a fault of the product; 2 wrong usage (typer); 3 the input can't be used; 4 the machine ran out
of memory, disk or time, or a service is away; 130 stopped by Ctrl-C or SIGTERM. Progress and errors go to stderr;
stdout holds the result, with ``--json`` as one object on the last line (an error is ``{"error": {...}}``).
"""

from __future__ import annotations

import errno
import json
import math
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)

from cli.interrupts import Interrupts, interrupts
from cli.outputs import Output, reserved
from problems import InternalProblem, InvalidParameter, OutOfDisk, OutOfMemory, Problem, ResourceExhausted

if TYPE_CHECKING:  # training loads torch; the help text must not wait for it
    from training.progress import Tick

EXIT_FAULT, EXIT_INPUT, EXIT_RESOURCES, EXIT_STOPPED = 1, 3, 4, 130
PLAIN_EVERY_S = 10.0
"""Seconds between two lines of one stage when stderr is a file or a pipe."""

_NOT_ALLOWED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
"""What is wrong with a place that the user named, not with the product."""

DEBUG = "LIKENESS_DEBUG"
"""Environment variable: set it to see the Python traceback below an error."""

JsonOption = Annotated[
    bool,
    typer.Option(
        "--json", help="End with one JSON object on stdout, also when it fails.", show_default=False
    ),
]


class TerminalProgress:
    """A progress listener that draws one bar a stage (or prints a line now and then when nobody watches).

    Call it with :class:`training.progress.Tick`; leave the context to take the bars down. The work is ended here when
    ``stop`` says so.
    """

    def __init__(self, console: Console | None = None, stop: Interrupts | None = None) -> None:
        self._stop = stop
        self._console = console or Console(stderr=True, highlight=False)
        self._live = self._console.is_terminal
        self._bars = Bars(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=28),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            console=self._console,
            speed_estimate_period=60.0,
        )
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._printed: dict[str, float] = {}
        self._rounds: Counter[str] = Counter()
        self._last: dict[str, Tick] = {}

    def __enter__(self) -> TerminalProgress:
        if self._live:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bars.stop()

    def __call__(self, tick: Tick) -> None:
        if self._stop is not None:
            self._stop.check()
        note = note_of(tick.message, tick.metrics)
        before = self._last.get(tick.stage)
        self._last[tick.stage] = tick
        ended = before is not None and 0 < before.total <= before.done
        # A stage that had ended may begin anew, as that of a benchmark's next round.
        again = ended and before is not None and tick.done < before.done
        if self._live:
            self._draw(tick, note, again)
        elif again or not ended:
            self._print(tick, note, again)

    def _draw(self, tick: Tick, note: str, again: bool) -> None:
        if tick.stage not in self._tasks:
            self._tasks[tick.stage] = self._bars.add_task(
                escape(tick.stage), total=tick.total or None, note=""
            )
        elif again:
            self._bars.reset(self._tasks[tick.stage])
        self._bars.update(
            self._tasks[tick.stage], completed=tick.done, total=tick.total or None, note=escape(note)
        )

    def _print(self, tick: Tick, note: str, again: bool) -> None:
        now = time.monotonic()
        if again or tick.stage not in self._began:
            self._began[tick.stage] = now
            self._rounds[tick.stage] += 1
        began = self._began[tick.stage]
        finished = 0 < tick.total <= tick.done
        recent = now - self._printed.get(tick.stage, -PLAIN_EVERY_S) < PLAIN_EVERY_S
        # Many short rounds are told of as one stage.
        short = now - began < PLAIN_EVERY_S and self._rounds[tick.stage] > 1
        if recent and (short or not finished):
            return
        self._printed[tick.stage] = now
        share = f"{tick.done}/{tick.total}" if tick.total else str(tick.done)
        eta = eta_s(now - began, tick.done, tick.total)
        ending = "" if finished or eta is None else f", ETA {clock(eta)}"
        print(
            f"{tick.stage}: {share}, {clock(now - began)}{ending} {note}".rstrip(),
            file=sys.stderr,
            flush=True,
        )


def note_of(message: str, metrics: Mapping[str, float]) -> str:
    """The text behind a bar: the message, then the metrics as ``name value``."""
    numbers = [f"{name} {value:.4g}" for name, value in metrics.items()]
    return "  ".join(part for part in (message, *numbers) if part)


def eta_s(elapsed_s: float, done: int, total: int) -> float | None:
    """Seconds left at the mean speed so far, or None while nothing is known."""
    if done <= 0 or total <= 0 or done > total:
        return None
    return elapsed_s * (total - done) / done


def clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def exit_code(problem: Problem) -> int:
    """The process's exit code for a problem."""
    if problem.slug == "cancelled":
        return EXIT_STOPPED
    if isinstance(problem, ResourceExhausted) and problem.retryable:
        return EXIT_RESOURCES
    if problem.retryable and problem.status in (429, 502, 503):
        return EXIT_RESOURCES  # a service that is away or busy
    return EXIT_FAULT if problem.status >= 500 else EXIT_INPUT


def as_problem(error: BaseException) -> Problem:
    """Any exception as one of the product's problems."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return OutOfMemory("memory ran out", remedy="use a smaller preset or a shorter clip, or free memory")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutOfDisk(
            f"the disk is full ({error.filename or error})",
            remedy="free disk space, then run the command again",
        )
    if isinstance(error, OSError) and error.errno in _NOT_ALLOWED and error.filename is not None:
        return InvalidParameter(
            f"{error.filename}: {error.strerror}",
            remedy="give another place, or change what may be read and written there",
        )
    if isinstance(error, OSError) and error.filename is not None:
        return InternalProblem(
            f"{error.filename}: {error.strerror}",
            remedy="check that the path exists and may be read and written",
        )
    return InternalProblem(
        f"unexpected {type(error).__name__}: {error}",
        remedy=f"run the command again with {DEBUG}=1 in the environment and report the traceback it prints",
    )


def show_problem(problem: Problem) -> None:
    """Two lines on stderr: what is wrong, and what to do."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]{escape(problem.title)}:[/] {escape(problem.message)}")
    console.print(f"[bold]What to do:[/] {escape(problem.remedy)}")


def print_json(result: Mapping[str, Any]) -> None:
    """One JSON object on one line of stdout; JSON has no NaN, so a number that is none becomes null."""
    print(json.dumps(_finite(dict(result)), default=str, allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def long_command(
    *,
    as_json: bool = False,
    resume: str | None = None,
    inputs: Sequence[Path | None] = (),
    outputs: Sequence[Output] = (),
) -> Iterator[TerminalProgress]:
    """Wrap a command's work: yields the progress listener, and turns every way to end into an exit code.

    Args:
        as_json: also end with ``{"error": ...}`` on stdout when the work fails.
        resume: how to go on after Ctrl-C, one sentence.
        inputs: every file and folder that the command reads.
        outputs: every place that it writes; both are looked at before the work begins.

    Raises:
        typer.Exit: with a code other than 0 when the work failed or was stopped.
    """
    with interrupts() as stop:
        try:
            with reserved(outputs, inputs), TerminalProgress(stop=stop) as progress:
                yield progress
        except KeyboardInterrupt:
            stop.caught = True
            raise _stopped(as_json=as_json, resume=resume) from None
        except (typer.Exit, typer.Abort):
            stop.caught = True
            raise
        except Exception as error:
            ended = stop.requested  # whatever the exception became on its way out of compiled code
            stop.caught = True
            if os.environ.get(DEBUG):
                traceback.print_exc()
            if ended:
                raise _stopped(as_json=as_json, resume=resume) from None
            problem = as_problem(error)
            show_problem(problem)
            if as_json:
                print_json({"error": problem.as_dict()})
            raise typer.Exit(exit_code(problem)) from None


def _stopped(*, as_json: bool, resume: str | None) -> typer.Exit:
    """Say that the work was stopped; returns what ends the command."""
    err = Console(stderr=True, highlight=False, soft_wrap=True)
    err.print("[bold]Stopped.[/] No half-written result was left behind.")
    if resume:
        err.print(f"[bold]To go on:[/] {escape(resume)}")
    if as_json:
        print_json({"error": {"slug": "cancelled", "message": "stopped", "remedy": resume}})
    return typer.Exit(EXIT_STOPPED)


def seconds_of(started: float) -> float:
    """Seconds since ``time.monotonic()`` said ``started``, to a tenth."""
    return round(time.monotonic() - started, 1)


def file_size(path: Path) -> str:
    """The size of a file for people: ``3.4 MB``."""
    return f"{path.stat().st_size / 1e6:.1f} MB"
