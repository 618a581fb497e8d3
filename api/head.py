"""``HEAD`` wherever there is a ``GET``, as RFC 9110 has it: the same status and headers, no body."""

from __future__ import annotations

from anyio import CancelScope
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ASKED = "likeness.head"


class HeadAsGet:
    """ASGI middleware: runs the route for ``GET`` until its answer begins.

    What would go on for long (a job's events) ends there; what has to read nothing for its headers asks
    :func:`without_body` first.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        with CancelScope() as running:

            async def head_alone(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                elif message["type"] == "http.response.body" and not running.cancel_called:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    if message.get("more_body", False):
                        running.cancel()

            await self._app({**scope, "method": "GET", _ASKED: True}, receive, head_alone)


def without_body(request: Request) -> bool:
    """Whether only status and headers were asked for."""
    return bool(request.scope.get(_ASKED)) or request.method == "HEAD"
