"""Connections that somebody opens and forgets, or holds on purpose: each has to say something in time.

The server's own class waits for ever for the rest of a request's head, keeps a head of any length, goes on reading
what follows an answer, and never gives up on who takes nothing. :mod:`api.bodies` times the bodies that a route reads;
here is the rest of a connection's life::

    opened ─▶ head ─▶ body and answer ─▶ rest of a body that nobody wanted ─▶ idle ─▶ head ─▶ …
              HEAD_S  WRITE_S            LINGER_S, LINGER_BYTES               keep-alive
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger("likeness.access")


class TimedProtocol(HttpToolsProtocol):
    """One connection."""

    HEAD_S = 20.0
    """From the first byte of a request, or from the opening, to the end of the request's head, s."""
    HEAD_BYTES = 64 * 2**10
    """That the head of a request may have."""
    LINGER_S = 5.0
    """For which a body is still taken in, and thrown away, after its request was answered: whoever hangs up in the
    middle of a body keeps its sender from reading why."""
    LINGER_BYTES = 16 * 2**20
    """Of it at most."""
    WRITE_S = 300.0
    """For which a client may take nothing of an answer, s: a player that is paused does so."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._in_body = False
        self._head_size = self._lingered = 0
        self._start("head", self.HEAD_S, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        super().connection_lost(exc)

    # -- reading ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            self._head_size += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            # What is still to be written may be held up by who reads nothing.
            self._start("closing", self.LINGER_S, self.transport.abort)
        elif not self._in_body and self._is_answered():
            self._start("head", self.HEAD_S, self._late)
            if self._head_size > self.HEAD_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        self._stop("head")
        self._in_body, self._head_size, self._lingered = True, 0, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if self._is_answered():
            self._lingered += len(body)
            if self._lingered > self.LINGER_BYTES:
                self.transport.abort()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._stop("linger")
        super().on_message_complete()

    # -- writing ---------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._start("closing", self.WRITE_S, self._give_up)
        elif self._in_body and not self.pipeline:
            self._start("linger", self.LINGER_S, self.transport.close)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._start("closing", self.WRITE_S, self._give_up)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start("write", self.WRITE_S, self._give_up)

    def resume_writing(self) -> None:
        self._stop("write")
        super().resume_writing()

    # -- parts of the above ----------------------------------------------------------------------------------

    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _late(self) -> None:
        self._timers.pop("head", None)
        if self._head_size:
            self._refuse(b"408 Request Timeout")
        else:
            self.transport.close()

    def _give_up(self) -> None:
        log.info("a connection was closed: its client took nothing for %g s", self.WRITE_S)
        self.transport.abort()

    def _refuse(self, status: bytes) -> None:
        log.info("a connection was closed: %s", status.decode())
        self.transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.transport.close()
        self._start("closing", self.LINGER_S, self.transport.abort)

    def _start(self, name: str, seconds: float, end: Callable[[], Any]) -> None:
        """Set a timer, unless it runs already: what a client sends in between does not prolong it."""
        if name not in self._timers:
            self._timers[name] = self.loop.call_later(seconds, end)

    def _stop(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
