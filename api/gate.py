"""The outermost layer: request ids, host names, other web sites and security headers.

A service with ``LIKENESS_AUTH=local`` has no accounts, and one with keys knows a browser by its cookie. So what keeps a
web page that the user visits from acting on it is here: a request must name a known host (a rebound DNS name does not),
and one that changes something must not come from another origin (browsers say so in ``Sec-Fetch-Site`` or ``Origin``;
other clients send neither).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.audit_trail import REFUSALS, AuditTrail
from api.measures import RequestMeasures
from api.problem_details import problem_response
from likeness.ids import new_id
from likeness.logs import bound
from likeness.refusals import ForeignOrigin, UnknownHost
from problems import Problem

log = logging.getLogger("likeness.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src {stored}; media-src {stored} blob:; "
    "connect-src {stored}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    # Our own pages record consents and speech; nothing else is asked of the browser.
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=(), display-capture=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """ASGI middleware. ``media_origin`` is where else videos and pictures may come from and parts of uploads go to:
    a player that is redirected to the object store asks there, and browsers hold the page's policy against the
    redirect too. ``blob:`` is what the page itself has just recorded.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_hosts: Collection[str],
        measures: RequestMeasures,
        trail: AuditTrail,
        media_origin: str = "",
    ) -> None:
        self._app, self._hosts = app, frozenset(allowed_hosts)
        self._measures, self._trail = measures, trail
        policy = _POLICY.format(stored=f"'self' {media_origin}".strip())
        self._headers = {"Content-Security-Policy": policy, **_HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_id("req")
        scope["request_id"] = request_id
        started, status = time.monotonic(), 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                out["X-Request-Id"] = request_id
                for name, value in self._headers.items():
                    out.setdefault(name, value)
                if not scope["path"].startswith("/static/"):
                    out.setdefault("Cache-Control", "no-store")
            await send(message)

        with bound(request_id=request_id):
            problem = self._refusal(scope, headers)
            try:
                if problem is not None:
                    await problem_response(problem, request_id)(scope, receive, answer)
                    if problem.status in REFUSALS:
                        await self._trail.refused(None, problem.status, problem.slug, scope)
                else:
                    await self._app(scope, receive, answer)
            finally:
                took = time.monotonic() - started
                self._measures.count(scope, status, took, refused=problem is not None)
                # repr: a path may hold line breaks once decoded, and a log line must stay one line
                log.info(
                    "%s %s %r %d %.0f ms", request_id, scope["method"], scope["path"], status, took * 1000
                )

    def _refusal(self, scope: Scope, headers: Headers) -> Problem | None:
        host = headers.get("host", "")
        if "*" not in self._hosts and _without_port(host) not in self._hosts:
            return UnknownHost(
                f"this service is not known as {_without_port(host)[:100]!r}",
                remedy="use http://127.0.0.1 or http://localhost, or add the name to LIKENESS_ALLOWED_HOSTS",
                details={"host": host[:100]},
            )
        if scope["method"] in _SAFE:
            return None
        if _is_foreign(headers, host):
            return ForeignOrigin(
                "another web site tried to change something here through your browser",
                remedy="do it from the dashboard itself, or from a program without a browser",
                details={"origin": headers.get("origin", "")[:200]},
            )
        return None


def _without_port(host: str) -> str:
    return re.sub(r":\d*$", "", host).lower()


def _is_foreign(headers: Headers, host: str) -> bool:
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:  # "http://["
        return True
