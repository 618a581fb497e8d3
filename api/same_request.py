"""The same request twice: a POST with an ``Idempotency-Key`` is done once, and answered the second time as the first.

What makes two requests the same is their method, path, query and every byte of their bodies; a file is hashed while it
streams through, so its key is known to be used rightly only once it has come, and a repetition is read to its end
before it is answered. A request that was cut off, or whose process died, leaves its key free.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.bodies import FileBody
from likeness.clock import now
from likeness.database import Database
from likeness.repositories.idempotency import ABANDONED_AFTER, UNREAD, IdempotencyRepository, Replay
from problems import InvalidParameter

log = logging.getLogger("likeness.api")

BEAT_S = ABANDONED_AFTER.total_seconds() / 6
"""Seconds between two signs of life of a request that is being answered."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("content-type", "location", "retry-after")
_LARGEST_ANSWER = 2**20
_PASSING = (401, 403, 408, 409, 429)
"""Refusals that the same request may not meet again."""

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]


def key_of(scope: Scope, headers: Headers) -> str | None:
    """The request's key; None when it is none that is answered twice.

    Raises:
        InvalidParameter: a key that can't be one.
    """
    key = headers.get("idempotency-key")
    if key is None or scope["method"] != "POST" or not scope["path"].startswith("/v1/"):
        return None
    if not _KEY.fullmatch(key):
        raise InvalidParameter(
            "the Idempotency-Key is not 1 to 255 visible letters",
            remedy="use a random one, such as a UUID",
            details={"field": "Idempotency-Key"},
        )
    return key


class OnceOnly:
    """One request with a key: :meth:`run` answers it, by ``handler`` if it is a first one."""

    def __init__(self, database: Database, tenant_id: str, key: str, scope: Scope) -> None:
        self._database, self._tenant_id, self._key, self._scope = database, tenant_id, key, scope
        self._since = now()

    async def run(self, body: bytes | FileBody, receive: Receive, send: Send, handler: Handler) -> None:
        """Answer the request.

        Raises:
            InProgress: its first one is still being answered.
            KeyReused: the key was used with another request.
        """
        file = body if isinstance(body, FileBody) else None
        fingerprint = UNREAD if isinstance(body, FileBody) else self._fingerprint(_sha256(body))
        replay = await run_in_threadpool(self._begin, fingerprint)
        if replay is not None:
            if file is not None:
                await file.drain()
                fingerprint = self._fingerprint(_digest_of(file))
            replay.require_same(self._key, fingerprint)
            answer = Response(replay.body, replay.status, {**replay.headers, "Idempotent-Replayed": "true"})
            await answer(self._scope, receive, send)
            return
        kept = _Kept()
        alive = asyncio.create_task(self._stay_alive())
        try:
            await handler(self._scope, receive, kept.recording(send))
        except BaseException:
            kept.whole = False
            raise
        finally:
            alive.cancel()
            with suppress(asyncio.CancelledError):
                await alive
            final = kept.is_final(file)
            if file is not None and final:
                fingerprint = self._fingerprint(_digest_of(file))
            await run_in_threadpool(self._end, kept if final else None, fingerprint)

    async def _stay_alive(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await run_in_threadpool(self._beat)
            except Exception:
                log.warning("a request's sign of life could not be written", exc_info=True)

    def _begin(self, fingerprint: str) -> Replay | None:
        with self._database.write() as session:
            return IdempotencyRepository(session).begin(self._tenant_id, self._key, fingerprint, self._since)

    def _beat(self) -> None:
        moment: datetime = now()
        with self._database.write() as session:
            mine = IdempotencyRepository(session).beat(self._tenant_id, self._key, self._since, moment)
        if mine:
            self._since = moment

    def _end(self, kept: _Kept | None, fingerprint: str) -> None:
        # The answer has gone out: what fails here must not change it. A key that is left over frees itself.
        try:
            with self._database.write() as session:
                keys = IdempotencyRepository(session)
                if kept is None:
                    keys.release(self._tenant_id, self._key, self._since)
                else:
                    keys.keep(
                        self._tenant_id,
                        self._key,
                        self._since,
                        fingerprint=fingerprint,
                        status=kept.status,
                        headers=kept.headers,
                        body=_without_secret(bytes(kept.body)),
                    )
        except Exception:
            log.exception("the answer to a request with an Idempotency-Key could not be kept")

    def _fingerprint(self, body_sha256: str) -> str:
        scope = self._scope
        parts = [
            scope["method"],
            scope["path"],
            scope.get("query_string", b"").decode("latin-1"),
            body_sha256,
        ]
        return _sha256("\n".join(parts).encode())


def free_keys(database: Database) -> None:
    """Free the keys of requests that the last process of a service did not answer; the service is the only one."""
    try:
        with database.write() as session:
            IdempotencyRepository(session).release_all()
    except SQLAlchemyError:  # a database that is not there yet is told by /readyz
        log.warning("keys of requests that were not answered stay taken for a minute", exc_info=True)


class _Kept:
    """An answer as it goes out, to be given again."""

    def __init__(self) -> None:
        self.status, self.headers, self.body, self.whole = 500, dict[str, Any](), bytearray(), False

    def recording(self, send: Send) -> Send:
        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                sent = Headers(raw=message["headers"])
                self.headers = {name: sent[name] for name in _KEPT_HEADERS if name in sent}
            elif message["type"] == "http.response.body":
                if len(self.body) <= _LARGEST_ANSWER:
                    self.body += message.get("body", b"")
                self.whole = not message.get("more_body", False)
            await send(message)

        return record

    def is_final(self, file: FileBody | None) -> bool:
        """The same request again would end the same way: not so after a fault of ours or a limit.

        Of a request with a file only what was taken is kept: what was refused has changed nothing, and the file may
        have been damaged on its way.
        """
        small = self.whole and len(self.body) <= _LARGEST_ANSWER
        if file is not None:
            return small and file.whole and self.status < 400
        return small and self.status < 500 and self.status not in _PASSING


def _without_secret(body: bytes) -> bytes:
    """An answer as it may be kept: a new key is shown once and never stored."""
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    if not isinstance(answer, dict) or answer.get("object") != "api_key":
        return body
    return json.dumps({**answer, "key": None}).encode()


def _digest_of(file: FileBody) -> str:
    assert file.digest is not None
    return file.digest.hexdigest()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
