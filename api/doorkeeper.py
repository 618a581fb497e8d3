"""Who asks, what they may, what they send, whether the same was asked before, and what goes into the audit log.

Inside of :mod:`api.gate`. A request names its account with ``Authorization: Bearer lk_…`` or, from the dashboard, with
the cookie that signing in gave; where the deployment has no accounts it acts for the embedded tenant. What each route
asks of an account (:func:`api.dependencies.needs`) is held against it here, before a byte of the body is read; then the
body is taken in within its limits (:mod:`api.bodies`), and only then the route is called.
"""

from __future__ import annotations

import hmac
import logging
import re
from urllib.parse import quote

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.audit_trail import REFUSALS, AuditTrail, hands_out
from api.bodies import MAX_BODY, BodyDigest, FileBody, has_body, may_be_file, read_small, replaying
from api.plain_values import require_plain_address, require_plain_body
from api.problem_details import respond
from api.route_table import RouteTable
from api.same_request import OnceOnly, key_of
from likeness import accounts
from likeness.accounts import LOCAL, Account, RateLimiter, authenticate
from likeness.database import Database
from likeness.refusals import Unauthenticated
from likeness.repositories.audit import AuditRepository
from likeness.sessions import account_of_session
from likeness.settings import Settings
from likeness.storage_faults import problem_of

log = logging.getLogger("likeness.audit")

COOKIE = "likeness_session"
_PUBLIC = re.compile(
    r"/healthz|/readyz|/metrics|/openapi\.json|/docs|/sign-in|/sign-out|/favicon\.ico|/static/.*|/help/.*|/v1/objects/.*"
)
"""What needs no account here: what holds nothing of anybody, addresses whose signature is the permission, and two
that ask by themselves (``api.dependencies.SeesInsideDep``)."""
_WATCHED = ("/metrics", "/readyz")
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORM_FILES = 3
"""Files that one form of the dashboard may bring along."""


class Doorkeeper:
    """ASGI middleware; puts the account into ``scope["account"]``."""

    def __init__(
        self, app: ASGIApp, *, settings: Settings, database: Database, trail: AuditTrail | None = None
    ) -> None:
        self._app, self._settings, self._database = app, settings, database
        self._limiter = RateLimiter()
        self._trail = trail or AuditTrail(database)
        self._routes: RouteTable | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._trail.look()
        try:
            await self._answer(scope, receive, note)
        finally:
            if status in REFUSALS:
                code = str(scope.get("problem_code", ""))
                await self._trail.refused(scope.get("account"), status, code, scope)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        scope["account"] = None
        try:
            scope["account"] = account = await self._account(scope, headers)
            if account is not None and account.key_id is not None:
                own = account.limits.requests_per_minute
                self._limiter.take(account.key_id, self._settings.rate_per_minute if own is None else own)
            if account is None and not _PUBLIC.fullmatch(scope["path"]):
                if scope["path"].startswith("/v1/") or scope["method"] != "GET":
                    raise _no_key()
                target = f"/sign-in?next={quote(scope['path'], safe='')}"
                await RedirectResponse(target, 303)(scope, receive, send)
                return
            if account is not None and (scope["method"] not in _SAFE or has_body(headers)):
                for scopes in self._permissions(scope):
                    account.require(*scopes)
            require_plain_address(scope["path"], scope.get("query_string", b""))
            key = key_of(scope, headers) if account is not None else None
            body = await self._body(scope, headers, receive, hashed=key is not None)
            receive = body if isinstance(body, FileBody) else replaying(body, receive)
            if account is not None and key is not None:
                once = OnceOnly(self._database, account.tenant_id, key, scope)
                await once.run(body, receive, send, self._audited)
            else:
                await self._audited(scope, receive, send)
        except Exception as error:
            problem = problem_of(error)
            if problem is None or scope.get("answering"):
                raise
            await respond(Request(scope), problem)(scope, receive, send)

    def _permissions(self, scope: Scope) -> tuple[tuple[accounts.Scope, ...], ...]:
        if self._routes is None:
            self._routes = RouteTable(scope["app"].router.routes)
        return self._routes.permissions(scope["method"], scope["path"])

    async def _body(
        self, scope: Scope, headers: Headers, receive: Receive, *, hashed: bool
    ) -> bytes | FileBody:
        """The body, read whole when it is small, or ready to be read when it may be a file."""
        path = scope["path"]
        if may_be_file(scope["method"], path, headers):
            files = 1 if path.startswith("/v1/") else _FORM_FILES
            digest = BodyDigest(headers.get("content-type", "")) if hashed else None
            return FileBody(receive, limit=files * self._settings.max_upload_bytes + MAX_BODY, digest=digest)
        body = await read_small(receive, headers) if has_body(headers) else b""
        require_plain_body(headers, body)
        return body

    # -- accounts --------------------------------------------------------------------------------------------

    async def _account(self, scope: Scope, headers: Headers) -> Account | None:
        given = headers.get("authorization")
        if given is not None and scope["path"] in _WATCHED and self._is_operator(given):
            scope["operator"] = True  # for those who run the deployment
            return None
        if given is not None:
            kind, _, secret = given.partition(" ")
            if kind.lower() != "bearer" or not secret:
                raise _no_key()
            return await run_in_threadpool(authenticate, self._database, secret.strip())
        cookie = session_token(headers)
        if cookie:
            account = await run_in_threadpool(account_of_session, self._database, cookie)
            if account is not None:
                return account
        return LOCAL if self._settings.auth == "local" else None

    def _is_operator(self, authorization: str) -> bool:
        token = self._settings.metrics_token.get_secret_value()
        given = authorization.partition(" ")[2].strip()
        return bool(token) and hmac.compare_digest(given.encode(), token.encode())

    # -- the audit log ---------------------------------------------------------------------------------------

    async def _audited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request; when it changed something or handed out a file, write down who did it."""
        account: Account | None = scope["account"]
        status, location = 500, ""

        async def note(message: Message) -> None:
            nonlocal status, location
            if message["type"] == "http.response.start":
                scope["answering"] = True
                status = message["status"]
                location = Headers(raw=message["headers"]).get("location", "")
            await send(message)

        await self._app(scope, receive, note)
        if signed := scope.get("state", {}).get("signed"):
            await self._trail.signed_in(signed, scope)
            return
        if account is None or status >= 400:
            return
        action = getattr(scope.get("route"), "name", "") or "unknown"
        subjects = [str(value) for value in scope.get("path_params", {}).values()]
        subject = subjects[0] if subjects else location.rstrip("/").rpartition("/")[2]
        if scope["method"] not in _SAFE:
            await run_in_threadpool(self._enter, account, scope, action, subject)
        elif scope["method"] == "GET" and hands_out(action):
            await self._trail.downloaded(account, action, subject, scope)

    def _enter(self, account: Account, scope: Scope, action: str, subject: str) -> None:
        details = {
            "method": scope["method"],
            "path": scope["path"][:200],
            "request_id": scope.get("request_id"),
        }
        try:
            with self._database.write() as session:
                AuditRepository(session).enter(account.tenant_id, account.actor, action, subject, details)
        except Exception:  # the change is made and answered: it can't be taken back
            log.exception(
                "%s by %s on %r could not be written into the audit log", action, account.actor, subject
            )


def session_token(headers: Headers) -> str:
    """What the session's cookie holds; empty when there is none."""
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _no_key() -> Unauthenticated:
    return Unauthenticated(
        "this service wants to know who asks",
        remedy="send Authorization: Bearer lk_…; `likeness keys create` on the server makes the first key",
    )
