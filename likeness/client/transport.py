"""Requests that reach the service though connections break, and are carried out once though they are sent twice.

Each request has a connection of its own, so one client may be used from several threads. What is tried again, with
longer and longer pauses or as ``Retry-After`` says: connections that break, 429 and 503 that call themselves
retryable, and what a proxy answers while the service is away (502, 503, 504 without a problem in them). Every POST
carries an ``Idempotency-Key`` that stays the same at each try: the service answers the second as it answered the first.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import ssl
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from .errors import ApiProblem
from .version import VERSION

BROKEN = (OSError, http.client.HTTPException)
"""What a connection raises that can't be made, or breaks."""
_PROXY_STATUSES = (502, 503, 504)
_MOST_REDIRECTS = 5

Body = Callable[[], Iterator[bytes]]
"""Makes the bytes of a request, anew for each try."""


@dataclass(frozen=True)
class RetryConfig:
    """How patient a client is."""

    tries: int = 6
    """Requests sent at most for one call, 1..; with the pauses between them that is some 30 s."""
    first_pause_s: float = 0.5
    """Before the second try; doubled before each further one, seconds."""
    longest_pause_s: float = 60.0
    """A ``Retry-After`` that is longer is left to the caller, seconds."""
    timeout_s: float = 60.0
    """Longest that the service may send nothing, seconds; longer where it reads or fetches whole files first."""

    def pause_s(self, attempt: int) -> float:
        """Seconds before the try after ``attempt`` (0 is the first); spread, so that clients don't come in step."""
        return float(self.first_pause_s * 2**attempt * random.uniform(0.75, 1.25))


class Transport:
    """Sends requests to ``server`` with ``key``."""

    def __init__(
        self,
        server: str,
        key: str | None,
        retry: RetryConfig,
        *,
        sleep: Callable[[float], None] = time.sleep,
        trust: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ApiProblem(
                f"{server!r} is no address of a service",
                remedy="use http://HOST:PORT or https://HOST, as --server or LIKENESS_SERVER",
                details={"field": "server"},
                code="invalid_parameter",
                title="A parameter is out of range",
                status=422,
            )
        self.server, self.retry, self.sleep = server.rstrip("/"), retry, sleep
        self._key, self._trust = key, trust or _system_trust

    # -- calls that answer with JSON -------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Send JSON; returns the answer's JSON, or None when it has none. ``timeout_s`` is for what the service needs
        long for.

        Raises:
            ApiProblem: the service refused, or could not be reached.
        """
        content = b"" if body is None else json.dumps(body).encode()
        return self.send(
            method,
            path + query_of(query),
            lambda: iter([content] if content else []),
            len(content),
            "application/json" if body is not None else None,
            idempotency_key=idempotency_key,
            timeout_s=timeout_s,
        )

    def send(
        self,
        method: str,
        path: str,
        body: Body,
        size: int,
        media_type: str | None,
        *,
        idempotency_key: str | None = None,
        signed: bool = False,
        timeout_s: float | None = None,
    ) -> Any:
        """Send ``size`` bytes; returns the answer's JSON, or None when it has none.

        Args:
            signed: the address is its own permission: the key is not shown to whoever it leads to.

        Raises:
            ApiProblem: the service refused, or could not be reached.
        """
        headers = {"Content-Length": str(size)} if size or method in ("POST", "PUT", "PATCH") else {}
        if media_type is not None:
            headers["Content-Type"] = media_type
        if method == "POST":
            headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        for attempt in range(self.retry.tries):
            try:
                given = body if size else None
                with self._exchange(
                    method, path, headers, given, signed=signed, timeout_s=timeout_s
                ) as answer:
                    content = answer.read()
                    if answer.status < 300:
                        return _json(answer, content)
                    problem = problem_of(answer, content)
            except BROKEN as error:
                problem = self.unreachable(error)
            self.wait_or_raise(problem, attempt)
        raise AssertionError("the last try raises")

    # -- answers that are read piece by piece ----------------------------------------------------------------

    @contextmanager
    def open(
        self, path: str, headers: Mapping[str, str] | None = None, *, timeout_s: float | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """GET an answer to be read by the caller, redirects followed; one try.

        Raises:
            ApiProblem: the service refused.
            OSError, http.client.HTTPException: the connection could not be made, or broke.
        """
        target, signed = path, False
        for _ in range(_MOST_REDIRECTS):
            with self._exchange(
                "GET", target, headers or {}, None, signed=signed, timeout_s=timeout_s
            ) as answer:
                if answer.status < 300:
                    yield answer
                    return
                content = answer.read()
                where = answer.headers.get("Location")
                if answer.status not in (301, 302, 303, 307, 308) or where is None:
                    raise problem_of(answer, content)
                # To the object store, whose address is its own permission: the key stays here.
                target, signed = urljoin(urljoin(f"{self.server}/", target), where), True
        raise _unexpected(f"{path} leads from one address to the next without end", 502)

    # -- one request -----------------------------------------------------------------------------------------

    @contextmanager
    def _exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Body | None,
        *,
        signed: bool,
        timeout_s: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        address = urlsplit(self._absolute(path))
        connection = self._connection(address.scheme, address.netloc, timeout_s or self.retry.timeout_s)
        sent = {"User-Agent": f"likeness-client/{VERSION}", "Accept": "application/json", **headers}
        if self._key and not signed:
            sent["Authorization"] = f"Bearer {self._key}"
        target = f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
        try:
            try:
                connection.request(method, target, body() if body is not None else None, sent)
            except (BrokenPipeError, ConnectionResetError):
                # A server that refuses a large body answers before it has come, and then hangs up.
                with suppress(*BROKEN):
                    early = connection.getresponse()
                    if early.status >= 400:
                        yield early
                        return
                raise
            yield connection.getresponse()
        finally:
            connection.close()

    def _absolute(self, path: str) -> str:
        """Of a path, below the server's own path when it has one; what is absolute stays."""
        return path if path.startswith(("http://", "https://")) else self.server + path

    def _connection(self, scheme: str, netloc: str, timeout_s: float) -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(netloc, timeout=timeout_s, context=self._trust())
        return http.client.HTTPConnection(netloc, timeout=timeout_s)

    # -- trying again ----------------------------------------------------------------------------------------

    def wait_or_raise(self, problem: ApiProblem, attempt: int) -> None:
        """Pause before the next try, or raise what went wrong when there is none.

        Raises:
            ApiProblem: the same, when trying again is of no use, or was done often enough.
        """
        pause = self.retry.pause_s(attempt)
        asked = problem.details.get("retry_after_s")
        if isinstance(asked, int | float):
            pause = max(pause, float(asked))
        again = problem.code == "unreachable" or (
            problem.retryable and (problem.status in (429, 503) or problem.code == "request_in_progress")
        )
        last = attempt + 1 >= self.retry.tries
        if not again or last or (asked is not None and pause > self.retry.longest_pause_s):
            raise problem
        self.sleep(pause)

    def unreachable(self, error: Exception) -> ApiProblem:
        """What a broken connection is to the caller."""
        return ApiProblem(
            f"{self.server} does not answer ({error or type(error).__name__})",
            remedy="start the service with `likeness up`, or correct the address (--server, LIKENESS_SERVER)",
            details={"server": self.server},
            code="unreachable",
            title="The service can't be reached",
            status=503,
            retryable=True,
        )


def query_of(values: Mapping[str, Any] | None) -> str:
    """``?name=value&…`` of those that are not None; empty without any."""
    given = {name: value for name, value in (values or {}).items() if value is not None}
    return (
        "?" + urlencode({n: str(v).lower() if isinstance(v, bool) else v for n, v in given.items()})
        if given
        else ""
    )


def problem_of(answer: http.client.HTTPResponse, content: bytes) -> ApiProblem:
    """The problem in an answer; what a proxy or an object store says is made one."""
    wait = _retry_after_s(answer.headers.get("Retry-After"))
    try:
        body = json.loads(content)
        problem = ApiProblem.from_answer(body) if isinstance(body, dict) and "code" in body else None
    except ValueError:
        problem = None
    if problem is None:
        problem = _unexpected(f"{answer.status} {answer.reason}, without saying why", answer.status)
    if wait is not None:
        problem.details["retry_after_s"] = wait
    return problem


def _unexpected(message: str, status: int) -> ApiProblem:
    away = status in _PROXY_STATUSES
    return ApiProblem(
        message,
        remedy="the service may be starting: try again" if away else "check the address of the service",
        code="unreachable" if away else "unexpected_answer",
        title="The answer is not the service's",
        status=status,
        retryable=away,
    )


def _json(answer: http.client.HTTPResponse, content: bytes) -> Any:
    if not content or "json" not in answer.headers.get("Content-Type", ""):
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise _unexpected("a web page came where JSON was expected", 404)
        return None
    try:
        return json.loads(content)
    except ValueError as error:
        raise _unexpected("the answer's JSON can't be read", 500) from error


def _retry_after_s(text: str | None) -> float | None:
    """Seconds, from a number of them or from a date."""
    if not text:
        return None
    with suppress(ValueError):
        return max(0.0, float(text))
    with suppress(TypeError, ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


@cache
def _system_trust() -> ssl.SSLContext:
    return ssl.create_default_context()
