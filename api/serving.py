"""How the application is served."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp

from api.connections import TimedProtocol


def server_config(app: ASGIApp, *, grace_s: int = 5) -> uvicorn.Config:
    """The server's settings; ``grace_s`` is what open requests get when it stops."""
    return uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=grace_s,
    )
