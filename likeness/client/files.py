"""Files to the service and back, over lines that break.

Up: a small file in one request, a large one in parts, of which only those are sent that have not come; also by another
process, later (:meth:`resume`). Down: into a partial file beside the target, which is continued by ``Range`` and takes
the target's name once its sha256 is the promised one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from .answers import Upload, UploadPart
from .decoding import decode
from .errors import ApiProblem
from .transport import BROKEN, Transport, query_of

ONE_PIECE = 8 * 2**20
"""Bytes up to which a file is sent in one request."""
_BLOCK = 2**18
_COMPLETE_S = 600.0
"""The service reads the whole file once before it answers."""
_ROUNDS = 5
"""Times that the service is asked which parts are missing, after addresses expired or it lost some."""

Sent = Callable[[int, int], None]
"""A listener: bytes that are through, and bytes in all."""


def send_file(
    transport: Transport,
    path: Path,
    purpose: str,
    *,
    filename: str | None = None,
    progress: Sent | None = None,
    one_piece: int = ONE_PIECE,
) -> Upload:
    """Send a file; in parts when it has more than ``one_piece`` bytes.

    Raises:
        ApiProblem: refused, unreachable, or the bytes that arrived are not the file's.
        OSError: the file can't be read.
    """
    size, sha256 = path.stat().st_size, file_sha256(path)
    name = filename or path.name
    if size > one_piece:
        announced = {"purpose": purpose, "filename": name, "size": size, "sha256": sha256}
        upload = decode(Upload, transport.call("POST", "/v1/uploads", announced))
        return send_parts(transport, upload, path, sha256, progress)
    query = query_of({"purpose": purpose, "filename": name, "sha256": sha256})
    answer = transport.send(
        "POST",
        f"/v1/uploads{query}",
        partial(_blocks, path, 0, size, 0, size, progress),
        size,
        "application/octet-stream",
    )
    return _whole(decode(Upload, answer), sha256)


def resume_file(transport: Transport, upload_id: str, path: Path, progress: Sent | None = None) -> Upload:
    """Go on with an upload in parts that was begun with this file, by this process or another.

    Raises:
        ApiProblem: ``file_changed``: the file is another one; refused or unreachable.
    """
    upload = decode(Upload, transport.call("GET", f"/v1/uploads/{upload_id}"))
    size, sha256 = path.stat().st_size, file_sha256(path)
    if size != upload.size or upload.sha256 not in (None, sha256):
        raise ApiProblem(
            f"{path} is not the file that {upload_id} was begun with",
            remedy="give the file that it was begun with, or begin a new upload",
            details={"size": size, "expected": upload.size},
            code="file_changed",
            title="The file is another one",
            status=409,
        )
    return send_parts(transport, upload, path, sha256, progress)


def send_parts(
    transport: Transport, upload: Upload, path: Path, sha256: str, progress: Sent | None = None
) -> Upload:
    """Send the parts that have not come, and have the service put all of them together.

    Raises:
        ApiProblem: refused or unreachable, or parts go missing again and again.
    """
    for _ in range(_ROUNDS - 1):
        if upload.status != "awaiting":
            break
        try:
            _send_missing(transport, upload, path, progress)
            upload = _complete(transport, upload.id)
        except ApiProblem as problem:
            # Addresses are good for an hour, and a store may lose a part: both are mended by asking again.
            stale = problem.status == 403 and problem.code in ("signature_refused", "unexpected_answer")
            if not stale and "missing" not in problem.details:
                raise
            upload = decode(Upload, transport.call("GET", f"/v1/uploads/{upload.id}"))
    if upload.status == "awaiting":
        _send_missing(transport, upload, path, progress)
        upload = _complete(transport, upload.id)
    return _whole(upload, sha256)


def _complete(transport: Transport, upload_id: str) -> Upload:
    answer = transport.call("POST", f"/v1/uploads/{upload_id}/complete", timeout_s=_COMPLETE_S)
    return decode(Upload, answer)


def _send_missing(transport: Transport, upload: Upload, path: Path, progress: Sent | None) -> None:
    through = sum(part.size for part in upload.parts if part.received)
    if progress is not None:
        progress(through, upload.size)
    for part in upload.parts:
        if not part.received:
            _send_part(transport, upload, part, path, through, progress)
            through += part.size


def _send_part(
    transport: Transport, upload: Upload, part: UploadPart, path: Path, through: int, progress: Sent | None
) -> None:
    start = (part.number - 1) * (upload.part_size or 0)
    body = partial(_blocks, path, start, part.size, through, upload.size, progress)
    transport.send("PUT", part.url, body, part.size, "application/octet-stream", signed=True)


def _blocks(
    path: Path, start: int, size: int, through: int, total: int, progress: Sent | None
) -> Iterator[bytes]:
    """``size`` bytes of a file from ``start`` on; ``through`` were sent before them."""
    with open(path, "rb") as stream:
        stream.seek(start)
        left = size
        while left:
            block = stream.read(min(_BLOCK, left))
            if not block:
                raise ApiProblem(
                    f"{path} became shorter while it was sent",
                    remedy="send it again once nobody writes to it",
                    code="file_changed",
                    title="The file is another one",
                    status=409,
                )
            yield block
            left -= len(block)
            if progress is not None:
                progress(through + size - left, total)


def _whole(upload: Upload, sha256: str) -> Upload:
    if upload.sha256 != sha256:
        raise _damaged(f"what arrived as {upload.id} is not what was sent", "send the file again")
    return upload


def receive_file(
    transport: Transport,
    url: str,
    target: Path,
    *,
    size: int,
    sha256: str,
    progress: Sent | None = None,
) -> Path:
    """Download to ``target``: whole and with the promised sha256, or not at all.

    What a broken line left is continued, also by the next call; the partial file carries the digest in its name, so
    that it is never taken for part of another.

    Raises:
        ApiProblem: refused, unreachable, or ``damaged_transfer``.
        OSError: the file can't be written.
    """
    part = target.with_name(f".{target.name}.{sha256[:12]}.part")
    attempt, before = 0, -1
    while True:
        have = part.stat().st_size if part.exists() else 0
        if have >= size:
            break
        attempt, before = (0 if have > before else attempt + 1), have
        problem = _receive_some(transport, url, part, have, size, progress)
        if problem is not None:
            transport.wait_or_raise(problem, attempt)
    if part.stat().st_size != size or file_sha256(part) != sha256:
        part.unlink()
        raise _damaged(f"what came for {target.name} is not the file that was promised", "download it again")
    with open(part, "rb+") as stream:
        os.fsync(stream.fileno())
    os.replace(part, target)
    return target


def _receive_some(
    transport: Transport, url: str, part: Path, have: int, size: int, progress: Sent | None
) -> ApiProblem | None:
    """Append what one connection brings; returns why it ended early."""
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    # Opened once there is an answer: what the disk says is not the line's fault.
    try:
        with transport.open(url, headers) as answer:
            start = have if answer.status == 206 else 0
            stream = _open_at(part, start)
            with stream:
                while block := answer.read(_BLOCK):
                    _write(stream, block)
                    start += len(block)
                    if progress is not None:
                        progress(start, size)
    except ApiProblem as problem:
        return problem
    except _LocalFault as fault:
        raise fault.error from None
    except BROKEN as error:
        return transport.unreachable(error)
    return None if start >= size else transport.unreachable(EOFError("the answer ended early"))


class _LocalFault(Exception):
    """The disk's fault, which must not be taken for the line's."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def _open_at(part: Path, start: int) -> Any:
    try:
        stream = open(part, "ab" if start else "wb")  # noqa: SIM115 - the caller closes it
    except OSError as error:
        raise _LocalFault(error) from error
    return stream


def _write(stream: Any, block: bytes) -> None:
    try:
        stream.write(block)
    except OSError as error:
        raise _LocalFault(error) from error


def file_sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damaged(message: str, remedy: str) -> ApiProblem:
    return ApiProblem(
        message,
        remedy=remedy,
        code="damaged_transfer",
        title="The bytes were damaged on the way",
        status=502,
        retryable=True,
    )
