"""Kernel locks on files: held exactly as long as their process lives, whatever kills it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from problems import Conflict


@contextmanager
def hold(path: Path, *, wait_s: float, what: str) -> Iterator[None]:
    """Hold the lock of ``path`` exclusively.

    The kernel frees it at the death of the holder, SIGKILL included, so whoever gets it knows that the last
    holder is gone. ``what`` names the holder in the error.

    Raises:
        Conflict: somebody else still holds it after ``wait_s`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise Conflict(
                        f"{what} is already running on {path.parent.parent}",
                        remedy="stop the other one, or set LIKENESS_DATA_DIR to another folder",
                        details={"lock": str(path)},
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
