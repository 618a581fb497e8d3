"""Whether the temporary folder has room for what is about to be spilled there, asked before the work begins."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from problems import OutOfDisk

_MIB = 2**20
_SPARE = 16 * _MIB
"""Stays free for what others write meanwhile."""


def require_room(need: int, what: str, *, folder: Path | None = None) -> None:
    """Refuse what will not fit.

    Args:
        need: bytes that are going to be written.
        what: what they are, as the subject of a sentence: "the frames of the clip".
        folder: where; by default the folder for temporary files.

    Raises:
        OutOfDisk: less than that, and a little to spare, is free.
    """
    folder = folder or Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if free < need + _SPARE:
        raise _too_small(folder, free, f"{what} will take about {-(-need // _MIB)} MiB")


@contextmanager
def room_for(what: str, *, folder: Path | None = None) -> Iterator[None]:
    """Say which folder was too small when the block runs out of space.

    Raises:
        OutOfDisk: it did.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = folder or Path(tempfile.gettempdir())
        raise _too_small(where, shutil.disk_usage(where).free, f"{what} did not fit") from error


def _too_small(folder: Path, free: int, why: str) -> OutOfDisk:
    return OutOfDisk(
        f"the temporary folder {folder} is too small: {why}, and {free // _MIB} MiB are free there",
        remedy="set TMPDIR to a folder with more room, or free some there; then start again",
        details={"folder": str(folder), "free_bytes": free},
    )
