"""What a command reads and what it writes, looked at before any work begins.

Every command that writes hands its :class:`Output`s, and all that it reads, to :func:`reserved` (``long_command`` does
so for it): no input is ever overwritten, a place that can't be written is refused at once with the remedy, and two
runs never write one place at the same time.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from problems import Conflict, InvalidParameter, OutOfDisk

LEAST_FREE = 16 << 20
"""Bytes that must be free where a command writes; with less it could not even begin."""
_TEMPORARY = 20
"""Bytes that the names of temporary files have more than the name that they stand for."""
_SPECIAL = ("/dev", "/proc", "/sys")
_MEMORY = "/dev/shm"
_MOST_FILES = 20_000
"""Files of a folder that are compared with the inputs; the rest of a larger one is not looked at."""


@dataclass(frozen=True)
class Output:
    """One place that a command writes."""

    path: Path
    option: str = "out"
    """The option that names it, without dashes."""
    suffixes: tuple[str, ...] = ()
    """Ends that a file's name may have, in lower case; empty: any. ``""`` stands for none."""
    folder: bool = False
    """It is a folder, made when there is none."""
    names: tuple[str, ...] | None = None
    """Files and folders that are written in the folder; None: the folder is the command's own, as one of checkpoints
    is, and no input may lie anywhere in it."""


@contextmanager
def reserved(outputs: Sequence[Output], inputs: Sequence[Path | None] = ()) -> Iterator[None]:
    """Hold the places that a command writes, once all are found to be good.

    Args:
        outputs: all places that are written.
        inputs: all files and folders that are read; None and what isn't there are passed over.

    Raises:
        InvalidParameter: an output is an input, can't be written or is of the wrong kind; an input is a pipe.
        OutOfDisk: there is no room where an output goes.
        Conflict: another run writes the same place now.
    """
    read = [path for path in inputs if path is not None]
    for path in read:
        _require_no_pipe(path)
    for output in outputs:
        _require_good_name(output)
        _require_not_read(output, read)
        _require_kind(output)
        _require_writable(output)
    with ExitStack() as held:
        for place in sorted({_place(output.path) for output in outputs}):
            held.enter_context(_held(place))
        yield


def _refusal(output: Output, what: str, remedy: str) -> InvalidParameter:
    return InvalidParameter(
        f"--{output.option} {output.path}: {what}",
        remedy=remedy,
        details={"field": output.option, "path": str(output.path)},
    )


def _require_no_pipe(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # whoever reads it says what is wrong with it
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _is_special(path):
        raise InvalidParameter(
            f"{path} is a pipe or a device, and a clip or a recording is read more than once",
            remedy="write it into a file first, then give the file's name",
            details={"path": str(path)},
        )


def _is_special(path: Path) -> bool:
    """Whether the name, before links are followed, belongs to the kernel: /dev/stdin is a link to anything."""
    name = os.path.abspath(path)
    inside = any(name == each or name.startswith(f"{each}/") for each in _SPECIAL)
    return inside and not name.startswith(f"{_MEMORY}/")


def _require_good_name(output: Output) -> None:
    path = output.path
    try:
        path.name.encode()
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise _refusal(
            output, "the name is not UTF-8", "use a name of letters that the console can write"
        ) from None
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in os.fspath(path)):
        raise _refusal(
            output, "the name has line breaks or other control characters", "use a name without them"
        )
    most = 255 - _TEMPORARY
    if any(len(part.encode()) > most for part in path.parts) or len(os.fsencode(path.absolute())) > 3800:
        raise _refusal(output, "the name is too long", f"use a name of at most {most} bytes")
    if output.folder:
        return
    if path.name in ("", "..") or os.fspath(path).endswith("/"):
        raise _refusal(output, "that is a folder, not a file", "add the name of the file to write")
    if output.suffixes and path.suffix.lower() not in output.suffixes:
        kinds = " or ".join(suffix for suffix in output.suffixes if suffix)
        raise _refusal(
            output, f"a file of this kind does not end in {path.suffix or 'nothing'}", f"end it in {kinds}"
        )


def _require_not_read(output: Output, inputs: Sequence[Path]) -> None:
    for path in inputs:
        same = _same(output.path, path)
        if not output.folder:
            inside = path.is_dir() and output.path.exists() and _lies_in(output.path, path)
        elif output.names is None:
            inside = _lies_in(path, output.path) or _linked_from(output.path, path)
        else:
            inside = any(_same(output.path / name, path) for name in output.names)
        if same or inside:
            raise _refusal(
                output,
                f"{path} is read by this command and would be overwritten",
                "give another place with --" + output.option,
            )


def _same(one: Path, other: Path) -> bool:
    """Whether two names are one file: by links of both kinds, letter case and ``..`` too."""
    with suppress(OSError, ValueError):
        if os.path.samefile(one, other):
            return True
    return _place(one) == _place(other)


def _place(path: Path) -> str:
    """One name for all names of a place."""
    with suppress(OSError, ValueError):
        return os.path.realpath(path)
    return os.path.abspath(path)


def _lies_in(path: Path, folder: Path) -> bool:
    inner, outer = _place(path), _place(folder)
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")


def _linked_from(folder: Path, path: Path) -> bool:
    """Whether a link in the folder, hard or symbolic, leads to the file."""
    try:
        wanted = os.stat(path)
    except (OSError, ValueError):
        return False
    seen = 0
    for root, _, names in os.walk(folder):
        for name in names:
            seen += 1
            if seen > _MOST_FILES:
                return False
            with suppress(OSError):
                if os.path.samestat(os.stat(os.path.join(root, name)), wanted):
                    return True
    return False


def _require_kind(output: Output) -> None:
    path = output.path
    if _is_special(path):
        raise _refusal(output, "that is a device or a pipe", "give the name of a file")
    for part in (path, *path.parents):  # a link to nowhere on the way, too
        if part.is_symlink() and not part.exists():
            raise _refusal(
                output, f"{part} is a link that leads nowhere", "remove the link, or give another name"
            )
    if output.folder:
        if path.exists() and not path.is_dir():
            raise _refusal(output, "that is a file, not a folder", "give the name of a folder")
        for name in output.names or ():
            inside = path / name
            if inside.is_dir() and "." in name:
                raise _refusal(
                    output, f"{name} in it is a folder, and a file is written there", "give another folder"
                )
        return
    if path.is_dir():
        raise _refusal(output, "that is a folder, not a file", "add the name of the file to write")
    if path.exists() and not path.is_file():
        raise _refusal(output, "that is a device or a pipe", "give the name of a file")
    if path.is_file() and not os.access(path, os.W_OK):
        raise _refusal(
            output, "there is such a file, and it is write-protected", "give another name, or allow writing"
        )


def _require_writable(output: Output) -> None:
    """The folder that it goes into, or the nearest above that is there, takes a file and has room for one."""
    folder = output.path if output.folder else output.path.parent
    folder = Path(os.path.abspath(folder))
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise _refusal(output, f"{folder} is not a folder", "give a name in a folder")
    try:
        shutil.rmtree(tempfile.mkdtemp(prefix=".likeness-", dir=folder))
        free = shutil.disk_usage(folder).free
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = 0
        else:
            raise _refusal(
                output,
                f"{folder} can't be written ({error.strerror or error})",
                f"give a place that you may write with --{output.option}",
            ) from error
    if free < LEAST_FREE:
        raise OutOfDisk(
            f"--{output.option} {output.path}: the disk is full ({free >> 20} MB are free)",
            remedy=f"free some space, or give a place on another disk with --{output.option}",
        )


@contextmanager
def _held(place: str) -> Iterator[None]:
    """A lock of the kernel on the place's name, in a folder of the user's own; it ends with the process."""
    folder = Path(tempfile.gettempdir()) / f"likeness-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = os.lstat(folder)
        if owner.st_uid != os.getuid() or not stat.S_ISDIR(owner.st_mode):
            raise PermissionError(f"{folder} is somebody else's")
        name = hashlib.sha256(os.fsencode(place)).hexdigest()[:32]
        descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield  # without a temporary folder there is no lock, and files still appear whole
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"another run of likeness writes {place} now",
                remedy="wait until it has ended, or give another place",
                details={"path": place},
            ) from None
        yield
    finally:
        os.close(descriptor)
