"""Take the service's webhooks: check the signature, ignore what was seen before, answer at once.

LIKENESS_WEBHOOK_SECRET=whsec_… python examples/webhook_receiver.py --port 9000

The secret is what POST /v1/webhook-endpoints answered with. While it is rotated, give both with a comma between.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from likeness.client import WebhookEvent, WebhookRefused, verify_webhook

MOST_BYTES = 2**20
REMEMBERED = 10_000


class Receiver(ThreadingHTTPServer):
    """Hands each event on once, to ``handle``; keep that short, or put the event into a queue of your own."""

    def __init__(
        self,
        port: int,
        secrets: Sequence[str],
        handle: Callable[[WebhookEvent], None],
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__((host, port), _Handler)
        self.secrets, self.handle = secrets, handle
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def first_time(self, event_id: str) -> bool:
        """False for an event that came before: the service tries again until it has an answer."""
        with self._lock:  # each request has a thread of its own
            if event_id in self._seen:
                return False
            self._seen[event_id] = None
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            return True


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_BYTES:
            self._answer(413)
            return
        body = self.rfile.read(length)  # exactly these bytes are signed
        try:
            event = verify_webhook(self.headers, body, self.server.secrets)
        except WebhookRefused as problem:
            print(problem.message, file=sys.stderr)
            self._answer(401)
            return
        if self.server.first_time(event.id):
            self.server.handle(event)
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the events are the log."""


def show(event: WebhookEvent) -> None:
    """One line an event."""
    error = event.data.get("error") or {}
    print(event.type, event.data.get("id", ""), error.get("detail", ""), flush=True)


def main(arguments: list[str]) -> int:
    """Receive until Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--host", default="127.0.0.1")
    options = parser.parse_args(arguments)
    secrets = [each for each in os.environ.get("LIKENESS_WEBHOOK_SECRET", "").split(",") if each]
    if not secrets:
        print(
            "LIKENESS_WEBHOOK_SECRET is not set\nWhat to do: set it to the endpoint's secret", file=sys.stderr
        )
        return 2
    with Receiver(options.port, secrets, show, options.host) as receiver:
        print(f"listening on http://{options.host}:{receiver.server_port}", flush=True)
        try:
            receiver.serve_forever()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
