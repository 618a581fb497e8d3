"""SIGINT and SIGTERM in a command: the work ends soon, in good order, once, however often they come.

Python raises an exception out of a signal handler wherever it happens to be, and not every place bears that: compiled
code that calls back turns it into a SystemError, a destructor swallows it. So a signal is noted first, and the work is
ended where it reports its progress. Only when no report comes for a while is it ended wherever it is.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S = 1.0
"""How long a report of progress is waited for."""
_AGAIN_S = 0.25
"""So long after the work was to end it is looked whether it does: compiled code may have swallowed the exception."""


_CALLED_BACK = ("numba", "llvmlite")


class Interrupts:
    """What the signals asked for."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self.requested = False
        """Whether the command is to end."""
        self.caught = False
        """Whether it is ending: set it as soon as the exception has come out, and no other follows."""

    def check(self) -> None:
        """End the work here if that was asked for.

        Raises:
            KeyboardInterrupt: it was; in the main thread, which is the one that ends a command.
        """
        if self.requested and not self.caught and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    def _signalled(self, _number: int, frame: FrameType | None) -> None:
        if self.requested:
            return
        self.requested = True
        signal.signal(signal.SIGALRM, self._waited)
        signal.setitimer(signal.ITIMER_REAL, self._patience_s or _AGAIN_S, _AGAIN_S)
        if not self._patience_s and _bears(frame):
            raise KeyboardInterrupt

    def _waited(self, _number: int, frame: FrameType | None) -> None:
        if not self.caught and not _unwinding() and _bears(frame):
            raise KeyboardInterrupt


def _bears(frame: FrameType | None) -> bool:
    """Whether an exception may come out of this place: not while compiled code waits for what it called back. numba
    takes one there for an answer, and its memory is a ruin afterwards.
    """
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _CALLED_BACK:
            return False
        frame = frame.f_back
    return True


def _unwinding() -> bool:
    """Whether a KeyboardInterrupt is on its way out, with the code that this interrupts cleaning up after it."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


_open: list[Interrupts] = []
"""The interrupts in force, the innermost last."""


@contextmanager
def interrupts(*, patience_s: float = _PATIENCE_S) -> Iterator[Interrupts]:
    """Take note of SIGINT and SIGTERM while the block runs; outside of the main thread nothing is taken over.

    Args:
        patience_s: seconds for which :meth:`Interrupts.check` may be called before the block is ended wherever it is;
            0 ends it at once.
    """
    found = Interrupts(patience_s)
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    hook = sys.unraisablehook

    def unraisable(fault: sys.UnraisableHookArgs) -> None:
        if not (found.requested and isinstance(fault.exc_value, KeyboardInterrupt)):
            hook(fault)

    before = {number: signal.signal(number, found._signalled) for number in _SIGNALS}
    alarm = signal.getsignal(signal.SIGALRM)
    sys.unraisablehook = unraisable
    _open.append(found)
    try:
        yield found
    finally:
        _open.remove(found)
        if found.requested:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
            if _open:  # it has been obeyed
                _open[-1].requested = _open[-1].caught = True
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def hold_back() -> None:
    """Let signals wait until :func:`let_through`, also those to the program that replaces this one meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def let_through() -> None:
    """Take the signals that have waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def ignore_from_now_on() -> None:
    """The command has ended, and its exit code stands."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (*_SIGNALS, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    # Python remembers that a KeyboardInterrupt came out of code given as text, as dataclasses do while they are
    # imported, and ends by SIGINT then, whatever became of it. Text that runs to its end makes it forget.
    exec("")
