"""Endless loops that do not end by themselves: every thread of every process that works again and again is one.

Whatever a turn raises is logged, with its traceback the first time that it is raised, and the loop waits and goes on,
with growing pauses while it fails. Each loop notes on its process's board when it last went well, so that health can
name one that fails or stands still (:func:`troubles`).

    board = Board()
    with Loop("tidy", tidy, pause_s=15, board=board).beside():
        ...
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from problems import Problem

log = logging.getLogger("likeness.loops")

LONGEST_PAUSE_S = 30.0
"""Between two turns of a loop that fails again and again."""
LONGEST_TURN_S = 300.0
"""A turn that takes longer hangs, unless its loop says otherwise."""
_FIRST_PAUSE_S = 0.1
_REMIND_S = 60.0
"""Between two log lines about the same fault of a loop."""


class Flag(Protocol):
    """A threading or multiprocessing event."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


@dataclass
class _Entry:
    within_s: float | None
    turned: float
    failing: float | None = None
    fault: str = ""


class Board:
    """When each loop of this process last went well; any thread may write and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def enter(self, name: str, within_s: float | None) -> None:
        """Begin to watch a loop, which has to go well every ``within_s`` seconds (None: as seldom as it likes)."""
        with self._lock:
            self._entries[name] = _Entry(within_s, time.monotonic())

    def leave(self, name: str) -> None:
        """Watch it no longer."""
        with self._lock:
            self._entries.pop(name, None)

    def turned(self, name: str) -> None:
        """A turn went well."""
        with self._lock:
            if (entry := self._entries.get(name)) is not None:
                entry.turned, entry.failing, entry.fault = time.monotonic(), None, ""

    def failed(self, name: str, fault: str) -> None:
        """A turn did not."""
        with self._lock:
            if (entry := self._entries.get(name)) is not None:
                entry.failing, entry.fault = entry.failing or time.monotonic(), fault

    def read(self) -> dict[str, dict[str, Any]]:
        """What :func:`troubles` reads, as JSON types: ages in seconds, since clocks of machines differ."""
        moment = time.monotonic()
        with self._lock:
            return {
                name: {
                    "turned_s": round(moment - entry.turned, 1),
                    "failing_s": None if entry.failing is None else round(moment - entry.failing, 1),
                    "fault": entry.fault,
                    "within_s": entry.within_s,
                }
                for name, entry in self._entries.items()
            }


def troubles(loops: Mapping[str, Mapping[str, Any]], *, bear_s: float = 0.0) -> list[str]:
    """A phrase for each loop of a board's reading that has failed for more than ``bear_s`` seconds, or stands still."""
    found = []
    for name, loop in sorted(loops.items()):
        failing, within = loop.get("failing_s"), loop.get("within_s")
        if failing is not None and failing >= bear_s:
            found.append(f"the loop {name} has failed for {failing:.0f} s ({loop.get('fault', '')})")
        elif within is not None and loop.get("turned_s", 0.0) > within:
            found.append(f"the loop {name} has stood still for {loop['turned_s']:.0f} s")
    return found


class Loop:
    """One loop.

    Args:
        name: what health calls it.
        work: one turn; with ``eager`` a true answer says that there is more to do at once.
        pause_s: between two turns.
        board: where it notes how it goes.
        stop: ends it, at the latest after the turn that runs; its own unless given.
        turn_s: longest that a turn may take before the loop counts as standing still; None: as long as it likes.
        longest_pause_s: between two turns while it fails; the first pauses are shorter.
        at_once: whether the first turn comes before the first pause.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        *,
        pause_s: float,
        board: Board,
        stop: Flag | None = None,
        turn_s: float | None = LONGEST_TURN_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        eager: bool = False,
        at_once: bool = True,
    ) -> None:
        self.name, self._work, self._pause_s = name, work, pause_s
        self._stop: Flag = stop or threading.Event()
        self._board, self._eager, self._at_once = board, eager, at_once
        self._longest_pause_s = longest_pause_s
        self._within_s = None if turn_s is None else pause_s + turn_s
        self._failures = 0
        self.fault = ""
        """What went wrong in the last turn, in a few words; empty when it went well."""
        self._told: dict[str, float] = {}

    @property
    def failing(self) -> bool:
        """Whether the last turn went wrong."""
        return self._failures > 0

    def run(self) -> None:
        """Turn until ``stop`` is set, in this thread."""
        self._board.enter(self.name, self._within_s)
        try:
            if self._at_once or not self._stop.wait(self._pause_s):
                while not self._stop.is_set():
                    self._stop.wait(self.turn())
        finally:
            # Only a loop that was told to end is forgotten: one that something tore down is to be seen.
            if self._stop.is_set():
                self._board.leave(self.name)

    def turn(self) -> float:
        """One turn; returns the seconds to wait before the next. Raises nothing but what ends a process."""
        try:
            more = self._work()
        except Exception as error:  # whatever it is, the loop has to go on
            self._failures += 1
            self.fault = fault_of(error)
            self._board.failed(self.name, self.fault)
            self._tell(error)
            return min(_FIRST_PAUSE_S * 2 ** min(self._failures, 16), self._longest_pause_s)
        if self._failures:
            log.info("the loop %s goes well again after %d failure(s)", self.name, self._failures)
        self._failures, self.fault = 0, ""
        self._board.turned(self.name)
        return 0.0 if self._eager and more else self._pause_s

    def _tell(self, error: Exception) -> None:
        fault, moment = fault_of(error), time.monotonic()
        if fault not in self._told:
            log.error("the loop %s failed and goes on: %s", self.name, fault, exc_info=error)
        elif moment - self._told[fault] >= _REMIND_S:
            log.warning("the loop %s has failed %d times: %s", self.name, self._failures, fault)
        else:
            return
        self._told[fault] = moment

    @contextmanager
    def beside(self, *, patience_s: float | None = 10.0) -> Iterator[threading.Thread]:
        """Run in a thread of its own while the block does, and end with it; a turn that hangs for ``patience_s`` then
        is left behind (None: waited for).
        """
        thread = threading.Thread(target=self.run, name=self.name, daemon=True)
        thread.start()
        try:
            yield thread
        finally:
            self._stop.set()
            thread.join(patience_s)


def persist(name: str, work: Callable[[], object], *, stop: Flag, board: Board) -> bool:
    """Do something that has to go well once, as often as it takes; False when ``stop`` was set before it did.

    What it waits for is told in the log and, on the board, to health.
    """
    loop = Loop(name, work, pause_s=_FIRST_PAUSE_S, stop=stop, board=board)
    board.enter(name, None)
    try:
        while not stop.is_set():
            pause = loop.turn()
            if not loop.failing:
                return True
            stop.wait(pause)
        return False
    finally:
        board.leave(name)


def fault_of(error: Exception) -> str:
    """An exception in a few words that may be shown to anybody: other people's messages can hold addresses."""
    return f"{error.slug}: {error.message}" if isinstance(error, Problem) else type(error).__name__
