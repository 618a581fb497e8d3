"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from problems import OutOfDisk


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write to the yielded path; on a clean exit it is synced and renamed to ``path``, else it vanishes.

    Survives a crash at any point: readers see the old file or the new one. The yielded path lies in a private
    folder beside ``path`` (same file system, so the rename is atomic), which is removed with whatever else
    was left in it, such as a killed child's own temporary files. A body that writes nothing leaves ``path``
    as it was.

    Raises:
        OutOfDisk: the disk is full.
    """
    path = Path(path).absolute()  # a relative "a:b.mp4" would be a protocol to libav
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    inside = folder / path.name
    try:
        yield inside
        if inside.exists():
            sync(inside)
            os.replace(inside, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(path) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sync(path: Path) -> None:
    """Force a file's bytes to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_full(path: Path) -> OutOfDisk:
    """The problem to raise when writing ``path`` fails for want of space."""
    return OutOfDisk(
        f"the disk is full: {path.name} could not be written",
        remedy="free some space, then start again; finished stages are kept",
    )
