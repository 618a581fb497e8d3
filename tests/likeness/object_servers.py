"""Real servers for the object stores' tests: moto and rclone, a proxy that cuts, servers that are out of order."""

from __future__ import annotations

import http.server
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moto.server import ThreadedMotoServer

from benchmarks.s3_server import ACCESS_KEY, SECRET_KEY, Cable, RcloneServer, free_port

__all__ = [
    "ACCESS_KEY",
    "SECRET_KEY",
    "Cable",
    "free_port",
    "moto_server",
    "overloaded_server",
    "rclone_server",
]


@contextmanager
def moto_server() -> Iterator[str]:
    """An S3 that knows every operation but checks no signatures; the URL."""
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # a line per request otherwise
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@contextmanager
def rclone_server(folder: Path) -> Iterator[str]:
    """An S3 on a folder that does check signatures; the URL."""
    server = RcloneServer(folder)
    yield server.url
    server.close()


@contextmanager
def overloaded_server(status: int = 503, code: str = "SlowDown") -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything with one error; its URL and the requests it got."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            seen.append(self.command)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _refuse

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
