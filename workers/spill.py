"""Where a worker process writes what does not fit memory: frames of a long clip, an unpacked person, sound.

``/tmp`` is memory in a container (tmpfs), and small. So a worker spills into a folder of its own in the data folder,
whose free space is looked at before each stage; what a killed worker left there goes with the next one's start.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from likeness.settings import Settings


@contextmanager
def spilling_to_disk(settings: Settings) -> Iterator[Path]:
    """Temporary files of this process and its children lie in the data folder while the block runs. Where somebody has
    set ``TMPDIR``, they lie there instead.

    Yields:
        the folder, which is removed afterwards.
    """
    if given := os.environ.get("TMPDIR"):
        yield Path(given)
        return
    root = settings.data_dir / "spill"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = root / secrets.token_hex(8)
    own.mkdir(mode=0o700)
    held = _lock(own)
    for folder in root.iterdir():
        if folder != own and (left := _lock(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(left)
    before, tempfile.tempdir = tempfile.tempdir, str(own)
    os.environ["TMPDIR"] = str(own)
    try:
        yield own
    finally:
        tempfile.tempdir = before
        del os.environ["TMPDIR"]
        shutil.rmtree(own, ignore_errors=True)
        if held is not None:
            os.close(held)


def _lock(folder: Path) -> int | None:
    """The descriptor that holds a folder's kernel lock until it is closed; None while another process has it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None  # removed meanwhile, or no folder
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
