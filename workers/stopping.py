"""How a service's process stops: signals set a flag, whatever runs is put down in good order, then it ends at once."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
from contextlib import suppress
from types import FrameType


class StopFlag:
    """An event that a signal handler may set.

    ``threading.Event`` and multiprocessing's hold a lock while they are set or waited for; a handler that comes in
    between, in the same thread, waits for that lock for ever. This one is a pipe with a byte in it. Processes that are
    forked off share it.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def set(self) -> None:
        with suppress(BlockingIOError):  # it was set some 65,000 times
            os.write(self._write, b".")

    def is_set(self) -> bool:
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for ``timeout`` seconds at most; returns whether it is."""
        poll = select.poll()  # one for each call: threads can't share it
        poll.register(self._read, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def stopped_by_signals() -> StopFlag:
    """A flag that SIGTERM and SIGINT set, however often they come."""
    stop = StopFlag()

    def put_down(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # by name: a shell starts background commands with Ctrl-C ignored
        signal.signal(number, put_down)
    return stop


def end(status: int) -> None:
    """End this process now. A thread that hangs in a library may still hold the lock of a stream, and Python aborts
    when it takes itself apart under such a thread.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
