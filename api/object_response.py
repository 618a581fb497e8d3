"""A stored object as the answer to a request: whole or the part that was asked for, piece by piece, in flat memory.

The same for every store, so that a player that seeks and a download that goes on find what they need wherever the
objects lie: ranges, ``HEAD``, tags and conditions as RFC 9110 has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import format_datetime, parsedate_to_datetime
from functools import partial

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.head import without_body
from api.threads import Threads
from likeness.objects import ObjectFacts
from likeness.refusals import RangeNotSatisfiable
from likeness.store import ObjectStore

PIECE = 2**20
"""Bytes that are read at a time, and in memory for each client."""

_READERS = Threads("reads of objects", 16)
_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))")


class ObjectResponse(Response):
    """Bytes of an object, or what there is to say about them (``HEAD``, a condition that is not met).

    Args:
        headers: more of them, such as ``Content-Disposition``.

    Raises:
        NotFound: there is no such object.
        RangeNotSatisfiable: the range begins behind the object's end.
    """

    def __init__(
        self,
        store: ObjectStore,
        key: str,
        request: Request,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._store, self._key = store, key
        self._facts = facts = store.describe(key)
        asked = request.headers
        status, self._start, self._stop = 200, 0, facts.size
        about = {
            **(headers or {}),
            "Accept-Ranges": "bytes",
            "ETag": facts.etag,
            "Last-Modified": format_datetime(facts.modified, usegmt=True),
        }
        self._silent = without_body(request)
        if not _is_as_wanted(asked, facts):
            status, self._silent = 412, True
        elif _is_known(asked, facts):
            status, self._silent = 304, True
        elif (span := _span(asked, facts)) is not None:
            status, (self._start, self._stop) = 206, span
            about["Content-Range"] = f"bytes {self._start}-{self._stop - 1}/{facts.size}"
        super().__init__(status_code=status, headers=about, media_type=media_type)
        # Nothing has been read yet, so the class has taken the body for empty.
        del self.headers["content-length"]
        if status in (200, 206):
            self.headers["content-length"] = str(self._stop - self._start)
        elif status == 412:
            self.headers["content-length"] = "0"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        position, stop = self._start, self._start if self._silent else self._stop
        # The first piece before the status: a store that fails is a problem then, not a line that breaks off.
        piece = await self._piece(position, stop)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while True:
            position += len(piece)
            more = position < stop and bool(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            if not more:
                return
            piece = await self._piece(position, stop)

    async def _piece(self, position: int, stop: int) -> bytes:
        if position >= stop:
            return b""
        length = min(PIECE, stop - position)
        return await _READERS.run(
            partial(self._store.read, self._key, position, length, etag=self._facts.etag)
        )


def _is_as_wanted(asked: Headers, facts: ObjectFacts) -> bool:
    """Conditions of somebody who goes on with what they have: ``If-Match``, ``If-Unmodified-Since``."""
    if wanted := asked.get("if-match"):
        return _names(wanted, facts.etag, weak=False)
    since = _seconds(asked.get("if-unmodified-since"))
    return since is None or int(facts.modified.timestamp()) <= since


def _is_known(asked: Headers, facts: ObjectFacts) -> bool:
    """Conditions of somebody who has a copy: ``If-None-Match``, ``If-Modified-Since``."""
    if known := asked.get("if-none-match"):
        return _names(known, facts.etag, weak=True)
    since = _seconds(asked.get("if-modified-since"))
    return since is not None and int(facts.modified.timestamp()) <= since


def _span(asked: Headers, facts: ObjectFacts) -> tuple[int, int] | None:
    """First byte and the one after the last; None for all of it, also where several ranges are asked for."""
    found = _RANGE.fullmatch(asked.get("range", "").replace(" ", ""))
    if found is None or not _is_the_same(asked.get("if-range"), facts):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, stop = max(facts.size - int(suffix), 0), facts.size
    else:
        start, stop = int(first), min(int(last) + 1, facts.size) if last else facts.size
        if last and int(last) < start:
            return None  # no range at all
    if start >= stop:
        raise RangeNotSatisfiable(
            f"the object has {facts.size} bytes; the range begins behind them",
            remedy="ask for its size with HEAD, or read it from its beginning",
            details={"size": facts.size},
        )
    return start, stop


def _is_the_same(condition: str | None, facts: ObjectFacts) -> bool:
    """Whether ``If-Range`` names what is there."""
    if condition is None:
        return True
    if condition.startswith('"'):
        return condition == facts.etag
    return _seconds(condition) == int(facts.modified.timestamp())


def _names(tags: str, etag: str, *, weak: bool) -> bool:
    given = [tag.strip() for tag in tags.split(",")]
    return "*" in given or etag in [tag.removeprefix("W/") if weak else tag for tag in given]


def _seconds(date: str | None) -> int | None:
    """Unix seconds of a header's date; None when it is none."""
    try:
        return int(parsedate_to_datetime(date).timestamp()) if date else None
    except (ValueError, OverflowError):
        return None
