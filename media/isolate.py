"""Run a function in a child process that a hostile file may crash, fill or stall without harm to the caller.

A decoder is a large C program that reads bytes from strangers. It runs in a fresh interpreter with limits on
address space, processor time and file size, without the caller's environment variables (which hold keys), and
dies with its caller. What comes back crosses the border as JSON and raw arrays, never as pickle: a decoder
that was taken over can't make the caller run code.

The function is imported by name in the child and gets its arguments pickled; it returns (or, for
:func:`stream_isolated`, yields) JSON types and numpy arrays in any nesting of dicts and lists.
"""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np

from media.limits import DecodeBudget
from problems import (
    DecodeTimeout,
    InternalProblem,
    MediaTooLarge,
    OutOfDisk,
    OutOfMemory,
    Problem,
    UnreadableMedia,
    problem_from_dict,
)

StepsDone = Callable[[int, int], None]
"""Listener for (units finished, units in all or 0); what it raises stops the child and reaches the caller."""

_HEADER = struct.Struct("<QQ")  # bytes of JSON, bytes of arrays
_MESSAGE_LIMIT = 512 * 2**20
_DTYPES = frozenset({"|u1", "|b1", "<i2", "<i4", "<i8", "<f4", "<f8"})
_BOOT = (
    "import sys,json;sys.path[:]=json.loads(sys.stdin.buffer.readline());"
    "from media.isolate import _child_main;_child_main()"
)
_KEPT_VARIABLES = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "HOME",
)


def run_isolated(
    fn: Callable[..., Any],
    *args: Any,
    memory_mb: int,
    cpu_s: float,
    wall_s: float,
    file_mb: int = 8192,
    progress: StepsDone | None = None,
) -> Any:
    """``fn(*args)`` in a limited child process; in a second one when the first crashes.

    A crash may be the machine's (seen once in some thousand decodes, on a file that decodes well); a file that is at
    fault crashes its decoder again.

    Args:
        fn: a module-level function; with ``progress`` it is called as ``fn(*args, progress=report)``.
        args: picklable.
        memory_mb: address space of the child, MiB.
        cpu_s: processor seconds, all threads together.
        wall_s: seconds the caller waits in all.
        file_mb: largest file the child may write, MiB.
        progress: gets the child's reports here, in the caller's process.

    Raises:
        Problem: whatever problem ``fn`` raised.
        UnreadableMedia: the child crashed, twice.
        DecodeTimeout: it used up ``cpu_s`` or ``wall_s``.
        MediaTooLarge: it needed more than ``memory_mb`` or wrote more than ``file_mb``.
        OutOfMemory, OutOfDisk: the machine itself had no more.
        InternalProblem: ``fn`` has a fault.
    """
    budget = DecodeBudget(memory_mb=memory_mb, cpu_s=cpu_s, wall_s=wall_s, file_mb=file_mb)
    try:
        return _result(fn, args, budget, progress)
    except UnreadableMedia as problem:
        if "signal" not in problem.details:
            raise
    return _result(fn, args, budget, progress)


def _result(
    fn: Callable[..., Any], args: tuple[Any, ...], budget: DecodeBudget, progress: StepsDone | None
) -> Any:
    result = None
    for kind, value in _messages(fn, args, budget, progress):
        if kind == "result":
            result = value
    return result


def stream_isolated(
    fn: Callable[..., Iterator[Any]], *args: Any, budget: DecodeBudget, progress: StepsDone | None = None
) -> Iterator[Any]:
    """Like :func:`run_isolated` for a generator function: yields its items as they come.

    The pipe holds about one item, so a slow caller slows the child and memory stays flat. Time that the
    caller spends between items does not count towards ``budget.wall_s``. Closing the iterator ends the child.
    """
    for kind, value in _messages(fn, args, budget, progress):
        if kind == "item":
            yield value


def _messages(
    fn: Callable[..., Any], args: tuple[Any, ...], budget: DecodeBudget, progress: StepsDone | None
) -> Iterator[tuple[str, Any]]:
    read_end, write_end = os.pipe()
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, after the child has ended
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    # One arena and one BLAS thread: each arena or thread reserves address space that the limit counts.
    environment |= {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        child = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=(write_end,),
            env=environment,
            start_new_session=True,
        )
    except BaseException:
        os.close(read_end)
        stderr.close()
        raise
    finally:
        os.close(write_end)
    try:
        _send_request(child, fn, args, budget, write_end, progress is not None)
        finished = False
        for kind, value in _receive(read_end, budget.wall_s):
            if kind == "tick" and progress is not None:
                progress(int(value[0]), int(value[1]))
            elif kind == "problem":
                raise problem_from_dict(value)
            elif kind == "fault":
                raise InternalProblem(
                    f"{fn.__module__}.{fn.__qualname__} failed: {value['error']}",
                    remedy="report this with the file, if you may share it",
                    details={"traceback": value["traceback"]},
                )
            elif kind in ("item", "result"):
                finished = kind == "result"
                yield kind, value
        if not finished:
            child.wait(timeout=10)
            raise _death(child.returncode, budget, stderr)
    finally:
        os.close(read_end)
        if child.poll() is None:
            _end(child, grace_s=0.0 if sys.exc_info()[0] else 2.0)
        stderr.close()


def _send_request(
    child: subprocess.Popen[bytes],
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    budget: DecodeBudget,
    descriptor: int,
    progress: bool,
) -> None:
    request = (fn.__module__, fn.__qualname__, args, budget, descriptor, progress, os.getpid())
    assert child.stdin is not None
    try:
        child.stdin.write(json.dumps([os.path.abspath(entry) for entry in sys.path]).encode() + b"\n")
        child.stdin.write(pickle.dumps(request))
        child.stdin.close()
    except BrokenPipeError:
        pass  # the child is dead already; its exit status says why


def _end(child: subprocess.Popen[bytes], grace_s: float) -> None:
    try:
        child.wait(timeout=grace_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _receive(descriptor: int, wall_s: float) -> Iterator[tuple[str, Any]]:
    """Messages until the pipe closes. Only waiting counts towards ``wall_s``."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    buffer, left = bytearray(), wall_s
    while True:
        began = time.monotonic()
        ready = poll.poll(max(0.0, left) * 1000)
        left -= time.monotonic() - began
        if not ready:
            raise _too_slow(wall_s, "seconds")
        piece = os.read(descriptor, 1 << 20)
        if not piece:
            return
        buffer += piece
        while len(buffer) >= _HEADER.size:
            text_size, array_size = _HEADER.unpack_from(buffer)
            if text_size + array_size > _MESSAGE_LIMIT:
                raise _crashed("it sent an impossible answer")
            end = _HEADER.size + text_size + array_size
            if len(buffer) < end:
                break
            text = bytes(buffer[_HEADER.size : _HEADER.size + text_size])
            arrays = bytes(buffer[_HEADER.size + text_size : end])
            del buffer[:end]
            yield _decode(text, arrays)


def _decode(text: bytes, arrays: bytes) -> tuple[str, Any]:
    try:
        kind, value, shapes = json.loads(text)
        found, offset = [], 0
        for dtype, shape in shapes:
            if dtype not in _DTYPES or any(not isinstance(n, int) or n < 0 for n in shape):
                raise ValueError(dtype)
            count = int(np.prod(shape, dtype=np.int64))
            found.append(np.frombuffer(arrays, dtype, count, offset).reshape(shape))
            offset += count * np.dtype(dtype).itemsize
        return str(kind), _fill(value, found)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise _crashed("it sent a broken answer") from error


def _fill(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, dict):
        if "__array__" in value:
            return arrays[value["__array__"]]
        return {key: _fill(item, arrays) for key, item in value.items()}
    return [_fill(item, arrays) for item in value] if isinstance(value, list) else value


def _encode(kind: str, value: Any) -> tuple[bytes, list[np.ndarray]]:
    arrays: list[np.ndarray] = []

    def strip(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            arrays.append(np.ascontiguousarray(item))
            return {"__array__": len(arrays) - 1}
        if isinstance(item, dict):
            return {str(key): strip(entry) for key, entry in item.items()}
        if isinstance(item, list | tuple):
            return [strip(entry) for entry in item]
        return item.item() if isinstance(item, np.generic) else item

    stripped = strip(value)
    text = json.dumps([kind, stripped, [[array.dtype.str, list(array.shape)] for array in arrays]])
    return text.encode(), arrays


def _death(status: int, budget: DecodeBudget, stderr: IO[bytes]) -> Problem:
    if status == -signal.SIGXCPU:
        return _too_slow(budget.cpu_s, "processor seconds")
    if status == -signal.SIGKILL:
        return OutOfMemory(
            "the system stopped the decoder, most likely for want of memory",
            remedy="try again when more memory is free, or export the file at a lower resolution",
        )
    if status < 0:
        name = signal.Signals(-status).name
        return _crashed(f"the decoder was stopped by {name}", signal=name)
    size = stderr.seek(0, os.SEEK_END)
    stderr.seek(max(0, size - 2000))
    return InternalProblem(
        f"the decoder process ended with status {status} and no answer",
        remedy="report this with the file, if you may share it",
        details={"stderr": stderr.read().decode(errors="replace")},
    )


def _too_slow(limit: float, unit: str) -> DecodeTimeout:
    return DecodeTimeout(
        f"decoding the file took more than {limit:g} {unit}",
        remedy="upload a shorter file, or export it as H.264 mp4 at 1080p",
        details={"limit_s": limit},
    )


def _crashed(why: str, **details: str) -> UnreadableMedia:
    return UnreadableMedia(
        f"the file crashed its decoder: {why}",
        remedy="the file is damaged or malicious; export it again as H.264 mp4 (sound: wav or mp3)",
        details=details,
    )


# ---- what follows runs in the child


def _child_main() -> None:
    module, name, args, budget, descriptor, wants_progress, parent = pickle.loads(sys.stdin.buffer.read())
    _die_with_parent(parent)

    def send(kind: str, value: Any) -> None:
        text, arrays = _encode(kind, value)
        _write(descriptor, _HEADER.pack(len(text), sum(array.nbytes for array in arrays)) + text)
        for array in arrays:
            _write(descriptor, array.reshape(-1).view(np.uint8).data)

    def report(done: int, total: int) -> None:
        send("tick", [int(done), int(total)])

    try:
        fn: Any = __import__(module, fromlist=["_"])
        _limit(budget)  # after the imports, which are ours and need their own files
        for part in name.split("."):
            fn = getattr(fn, part)
        value = fn(*args, **({"progress": report} if wants_progress else {}))
        if hasattr(value, "__next__"):
            for item in value:
                send("item", item)
            value = None
        send("result", value)
    except BrokenPipeError:
        os._exit(0)  # the caller has closed its end: it wants no more
    except Problem as problem:
        send("problem", problem.as_dict())
    except MemoryError:
        send("problem", _over_memory(budget.memory_mb).as_dict())
    except BaseException as error:
        known = _from_system(error, budget)
        if known is not None:
            send("problem", known.as_dict())
        else:
            send(
                "fault",
                {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()[-4000:]},
            )
    os._exit(0)  # a decoder that corrupted its memory may crash in its destructors; the answer is out


def _write(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _limit(budget: DecodeBudget) -> None:
    def lower(kind: int, soft: int, hard: int) -> None:
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(kind, (soft, hard))

    size = budget.memory_mb * 2**20
    lower(resource.RLIMIT_AS, size, size)
    seconds = max(1, int(np.ceil(budget.cpu_s)))
    lower(resource.RLIMIT_CPU, seconds, seconds + 5)
    lower(resource.RLIMIT_FSIZE, budget.file_mb * 2**20, budget.file_mb * 2**20)
    lower(resource.RLIMIT_CORE, 0, 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing too much is an error, not a death
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to handle


def _die_with_parent(parent: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if os.getppid() != parent:
        os._exit(1)  # the caller died before the line above took hold


def _over_memory(limit_mb: int) -> MediaTooLarge:
    return MediaTooLarge(
        f"decoding the file needs more than {limit_mb} MB of memory",
        remedy="export it at 1920x1080 or less",
        details={"limit_mb": limit_mb},
    )


def _from_system(error: BaseException, budget: DecodeBudget) -> Problem | None:
    """The problem behind a system error, also through libav's error classes, which carry an errno."""
    number = getattr(error, "errno", None)
    if number == errno.ENOMEM:
        return _over_memory(budget.memory_mb)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return OutOfDisk(
            "the disk is full: what was decoded could not be written",
            remedy="free some space, then start again; finished stages are kept",
        )
    if number == errno.EFBIG:
        return MediaTooLarge(
            f"what was decoded takes more than {budget.file_mb} MB",
            remedy="cut the file into shorter parts",
            details={"limit_mb": budget.file_mb},
        )
    return None
