"""Who asks, how often, whether the same was asked before, and what goes into the audit log.

Inside of :mod:`api.gate`. A request names its account with ``Authorization: Bearer lk_…`` or, from the dashboard, with
the cookie that signing in gave; where the deployment has no accounts it acts for the embedded tenant. What the account
may do is asked by each route (:func:`api.dependencies.needs`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem_details import problem_response
from likeness.accounts import LOCAL, Account, RateLimiter, account_of_session, authenticate
from likeness.clock import now
from likeness.database import Database
from likeness.refusals import Unauthenticated
from likeness.repositories.audit import AuditRepository
from likeness.repositories.idempotency import IdempotencyRepository, Replay
from likeness.settings import Settings
from problems import InvalidParameter, Problem

COOKIE = "likeness_session"
_PUBLIC = re.compile(
    r"/healthz|/readyz|/metrics|/openapi\.json|/docs|/sign-in|/sign-out|/favicon\.ico|/static/.*|/help/.*|/v1/objects/.*"
)
"""What needs no account: what holds nothing of anybody, and addresses whose signature is the permission."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("content-type", "location", "retry-after")
_LARGEST_ANSWER = 2**20


class Doorkeeper:
    """ASGI middleware; puts the account into ``scope["account"]``."""

    def __init__(self, app: ASGIApp, *, settings: Settings, database: Database) -> None:
        self._app, self._settings, self._database = app, settings, database
        self._limiter = RateLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            account = await self._account(scope, headers)
            if account is not None and account.key_id is not None:
                own = account.limits.requests_per_minute
                self._limiter.take(account.key_id, self._settings.rate_per_minute if own is None else own)
        except Problem as problem:
            await self._refuse(problem, scope, receive, send)
            return
        if account is None and not _PUBLIC.fullmatch(scope["path"]):
            if scope["path"].startswith("/v1/") or scope["method"] != "GET":
                await self._refuse(_no_key(), scope, receive, send)
            else:
                target = f"/sign-in?next={quote(scope['path'], safe='')}"
                await RedirectResponse(target, 303)(scope, receive, send)
            return
        scope["account"] = account
        key = headers.get("idempotency-key")
        if account is not None and key is not None and _may_repeat(scope):
            await self._once(account, key, headers, scope, receive, send)
        else:
            await self._audited(account, scope, receive, send)

    async def _refuse(self, problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
        answer = problem_response(problem, scope.get("request_id"))
        await answer(scope, receive, send)

    # -- accounts --------------------------------------------------------------------------------------------

    async def _account(self, scope: Scope, headers: Headers) -> Account | None:
        given = headers.get("authorization")
        if given is not None:
            kind, _, secret = given.partition(" ")
            if kind.lower() != "bearer" or not secret:
                raise _no_key()
            return await run_in_threadpool(authenticate, self._database, secret.strip())
        cookie = _cookie(headers)
        if cookie:
            account = await run_in_threadpool(
                account_of_session, self._database, cookie, self._settings.signing_key()
            )
            if account is not None:
                return account
        return LOCAL if self._settings.auth == "local" else None

    # -- the same request twice ------------------------------------------------------------------------------

    async def _once(
        self, account: Account, key: str, headers: Headers, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if not _KEY.fullmatch(key):
            problem = InvalidParameter(
                "the Idempotency-Key is not 1 to 255 visible letters",
                remedy="use a random one, such as a UUID",
                details={"field": "Idempotency-Key"},
            )
            await self._refuse(problem, scope, receive, send)
            return
        body: bytes | None = None
        if headers.get("content-type", "").split(";")[0].strip() in ("application/json", ""):
            body = await _whole_body(receive)
            receive = _replaying(body)
        fingerprint = _fingerprint(scope, headers, body)
        try:
            replay = await run_in_threadpool(self._begin, account.tenant_id, key, fingerprint)
        except Problem as problem:
            await self._refuse(problem, scope, receive, send)
            return
        if replay is not None:
            answer = Response(replay.body, replay.status, {**replay.headers, "Idempotent-Replayed": "true"})
            await answer(scope, receive, send)
            return
        kept = _Kept()
        try:
            await self._audited(account, scope, receive, kept.recording(send))
        except BaseException:
            kept.final = False
            raise
        finally:
            await run_in_threadpool(self._end, account.tenant_id, key, kept)

    def _begin(self, tenant_id: str, key: str, fingerprint: str) -> Replay | None:
        with self._database.write() as session:
            return IdempotencyRepository(session).begin(tenant_id, key, fingerprint, now())

    def _end(self, tenant_id: str, key: str, kept: _Kept) -> None:
        with self._database.write() as session:
            keys = IdempotencyRepository(session)
            if kept.is_final():
                keys.keep(tenant_id, key, kept.status, kept.headers, _without_secret(bytes(kept.body)))
            else:
                keys.release(tenant_id, key)

    # -- the audit log ---------------------------------------------------------------------------------------

    async def _audited(self, account: Account | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request; when it changed something, write down who did it."""
        if account is None or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        status, location = 500, ""

        async def note(message: Message) -> None:
            nonlocal status, location
            if message["type"] == "http.response.start":
                status = message["status"]
                location = Headers(raw=message["headers"]).get("location", "")
            await send(message)

        await self._app(scope, receive, note)
        if status < 400:
            await run_in_threadpool(self._enter, account, scope, location)

    def _enter(self, account: Account, scope: Scope, location: str) -> None:
        action = getattr(scope.get("route"), "name", "") or "unknown"
        subjects = [str(value) for value in scope.get("path_params", {}).values()]
        subject = subjects[0] if subjects else location.rstrip("/").rpartition("/")[2]
        details = {
            "method": scope["method"],
            "path": scope["path"][:200],
            "request_id": scope.get("request_id"),
        }
        with self._database.write() as session:
            AuditRepository(session).enter(account.tenant_id, account.actor, action, subject, details)


class _Kept:
    """An answer as it goes out, to be given again."""

    def __init__(self) -> None:
        self.status, self.headers, self.body, self.final = 500, dict[str, Any](), bytearray(), True

    def recording(self, send: Send) -> Send:
        async def record(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                sent = Headers(raw=message["headers"])
                self.headers = {name: sent[name] for name in _KEPT_HEADERS if name in sent}
            elif message["type"] == "http.response.body" and len(self.body) <= _LARGEST_ANSWER:
                self.body += message.get("body", b"")
            await send(message)

        return record

    def is_final(self) -> bool:
        """The same request again would end the same way: not so after a fault of ours or a limit."""
        small = len(self.body) <= _LARGEST_ANSWER
        return self.final and small and self.status < 500 and self.status not in (401, 403, 409, 429)


def _without_secret(body: bytes) -> bytes:
    """An answer as it may be kept: a new key is shown once and never stored."""
    try:
        answer = json.loads(body)
    except ValueError:
        return body
    if not isinstance(answer, dict) or answer.get("object") != "api_key":
        return body
    return json.dumps({**answer, "key": None}).encode()


def _may_repeat(scope: Scope) -> bool:
    return bool(scope["method"] == "POST" and scope["path"].startswith("/v1/"))


def _fingerprint(scope: Scope, headers: Mapping[str, str], body: bytes | None) -> str:
    """Of what makes two requests the same. A file's bytes are not read for it: its length stands for them."""
    parts = [scope["method"], scope["path"], scope.get("query_string", b"").decode("latin-1")]
    parts.append(hashlib.sha256(body).hexdigest() if body is not None else headers.get("content-length", ""))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


async def _whole_body(receive: Receive) -> bytes:
    """Bounded by the gate, which refuses bodies above 1 MiB that are no uploads."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return bytes(body)


def _replaying(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _cookie(headers: Headers) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""


def _no_key() -> Unauthenticated:
    return Unauthenticated(
        "this service wants to know who asks",
        remedy="send Authorization: Bearer lk_…; `likeness keys create` on the server makes the first key",
    )
