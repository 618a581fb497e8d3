"""Bodies of requests, capped and timed before anything else is done with them.

A body that is no file is read whole, up to 1 MiB, before a route sees the request. A file streams through
:class:`FileBody`, which counts it, hashes it where somebody asks for that, and gives up on who falls silent or
trickles. Nothing here is called before the account was found and its scopes were checked (:mod:`api.doorkeeper`).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping

from anyio import fail_after
from python_multipart.multipart import parse_options_header
from starlette.types import Message, Receive

from likeness.refusals import UploadStalled
from problems import MediaTooLarge

MAX_BODY = 2**20
"""Bytes of a body that is not a file."""
SMALL_BODY_S = 60.0
"""Seconds in which such a body has to be whole."""
LONGEST_SILENCE_S = 60.0
"""Between two pieces of a file: who sends nothing for so long must not keep a file and a connection open."""
LEAST_BYTES = 16 * 2**10
"""That a client has to send of a file in each ``LONGEST_SILENCE_S`` that it is waited for."""
FILES = re.compile(
    r"/v1/uploads|/v1/objects/.+|/people|/people/[^/]+/(videos|motions|trainings)|/inspections|/verifications"
    r"|/consents/[^/]+/recording"
)
"""Paths whose bodies may be files; those of every other path are small."""


def has_body(headers: Mapping[str, str]) -> bool:
    """Whether the request says that something follows its head."""
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def may_be_file(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Whether the body may be a file, or a form with files."""
    if method not in ("POST", "PUT") or not FILES.fullmatch(path):
        return False
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if path.startswith("/v1/objects/"):
        return True
    if path.startswith("/v1/"):
        return kind != "application/json"
    return kind == "multipart/form-data"


def announced_bytes(headers: Mapping[str, str]) -> int | None:
    """The length that the request gives for its body; None when it gives none."""
    given = headers.get("content-length", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) <= 18 else None


async def read_small(receive: Receive, headers: Mapping[str, str]) -> bytes:
    """A body that is no file, whole.

    Raises:
        MediaTooLarge: it has more than ``MAX_BODY`` bytes; not more than these are kept in memory.
        UploadStalled: it took longer than ``SMALL_BODY_S``, or the client hung up in its middle.
    """
    announced = announced_bytes(headers)
    if announced is not None and announced > MAX_BODY:
        raise _too_large(MAX_BODY)
    body = bytearray()
    try:
        with fail_after(SMALL_BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _hung_up()
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise _too_large(MAX_BODY)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise UploadStalled(
            f"the body was not whole after {SMALL_BODY_S:g} s",
            remedy="send the request again",
            details={"seconds": SMALL_BODY_S},
        ) from None


def replaying(body: bytes, receive: Receive) -> Receive:
    """Hands out a body that was read; what comes after it is the client's hanging up, as ever."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class FileBody:
    """The body of a request with a file, as the route reads it: call it in place of ``receive``.

    Args:
        limit: bytes that the whole body may have.
        digest: hashes what passes by.
    """

    def __init__(self, receive: Receive, *, limit: int, digest: BodyDigest | None = None) -> None:
        self._receive, self._limit, self.digest = receive, limit, digest
        self.size = 0
        self.whole = False
        """The last byte has come."""
        self._waited, self._came = 0.0, 0

    async def __call__(self) -> Message:
        """The next piece.

        Raises:
            MediaTooLarge: the body is longer than allowed.
            UploadStalled: nothing came for too long, too little, or the client hung up.
        """
        if self.whole:
            return await self._receive()
        began = time.monotonic()
        try:
            with fail_after(LONGEST_SILENCE_S):
                message = await self._receive()
        except TimeoutError:
            raise _stalled("nothing came") from None
        if message["type"] == "http.disconnect":
            raise _hung_up()
        block = message.get("body", b"")
        self.size += len(block)
        self.whole = not message.get("more_body", False)
        if self.size > self._limit:
            raise _too_large(self._limit)
        self._require_pace(len(block), time.monotonic() - began)
        if self.digest is not None:
            self.digest.update(block)
        return message

    async def drain(self) -> None:
        """Read what is left and keep nothing of it."""
        while not self.whole:
            await self()

    def _require_pace(self, size: int, waited: float) -> None:
        # Only time in which the client was waited for: that the service was busy is not its fault.
        self._waited, self._came = self._waited + waited, self._came + size
        if self._came >= LEAST_BYTES:
            self._waited, self._came = 0.0, 0
        elif self._waited > LONGEST_SILENCE_S and not self.whole:
            raise _stalled(f"fewer than {LEAST_BYTES} bytes came")


class BodyDigest:
    """Tells two bodies apart. In a form the boundary does not count, which programs make up anew for each request."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"") if kind == b"multipart/form-data" else b""
        self._delimiter = b"--" + boundary if boundary else b""
        self._whole, self._piece, self._rest = hashlib.sha256(), hashlib.sha256(), b""

    def update(self, block: bytes) -> None:
        if not self._delimiter:
            self._whole.update(block)
            return
        *pieces, rest = (self._rest + block).split(self._delimiter)
        for piece in pieces:
            self._piece.update(piece)
            self._close()
        kept = len(self._delimiter) - 1  # the beginning of a delimiter may be at the end of this block
        self._piece.update(rest[:-kept])
        self._rest = rest[-kept:]

    def hexdigest(self) -> str:
        """Of everything; nothing can be added afterwards."""
        if self._delimiter:
            self._piece.update(self._rest)
            self._close()
        return self._whole.hexdigest()

    def _close(self) -> None:
        # Hashes of the pieces, not the pieces: so nothing in one can look like the seam between two.
        self._whole.update(self._piece.digest())
        self._piece = hashlib.sha256()


def _too_large(limit: int) -> MediaTooLarge:
    small = "send files to /v1/uploads and name them by their id"
    large = "send a shorter or more compressed file, or raise LIKENESS_MAX_UPLOAD_MB"
    return MediaTooLarge(
        f"the body has more than {limit} bytes",
        remedy=small if limit == MAX_BODY else large,
        details={"limit_bytes": limit},
    )


def _stalled(what: str) -> UploadStalled:
    return UploadStalled(
        f"{what} for {LONGEST_SILENCE_S:g} s",
        remedy="send the file again; over a bad line in parts, which go on where they were cut off",
        details={"seconds": LONGEST_SILENCE_S},
    )


def _hung_up() -> UploadStalled:
    return UploadStalled("the client hung up in the middle of the body", remedy="send the request again")
