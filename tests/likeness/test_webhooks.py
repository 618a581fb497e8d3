from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from likeness.clock import now
from likeness.tables import WebhookDelivery, WebhookEndpoint
from likeness.webhooks import Answer, new_secret, send, signature
from tests.likeness.internet import Internet


class Receiver:
    """A client's server: remembers what it was sent and answers as it is told."""

    def __init__(self) -> None:
        self.status, self.requests = 200, list[tuple[dict[str, str], bytes]]()
        self.before_answer: Callable[[], None] | None = None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                if receiver.before_answer is not None:
                    receiver.before_answer()
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def delivery(url: str) -> tuple[WebhookEndpoint, WebhookDelivery]:
    endpoint = WebhookEndpoint(id="whk_1", url=url, secret=new_secret(), events=[], created_at=now())
    payload = {"type": "video.succeeded", "data": {"id": "job_1"}}
    row = WebhookDelivery(
        id="dlv_1", event_id="evt_1", event="video.succeeded", payload=payload, status="pending"
    )
    return endpoint, row


def test_a_receiver_can_check_the_signature(receiver: Receiver) -> None:
    endpoint, row = delivery(receiver.url)
    assert send(endpoint, row, private=True) == Answer(True, 200)
    [(headers, body)] = receiver.requests
    # As the specification words it, not by our own function.
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(endpoint.secret[len("whsec_") :])
    known = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{known}"
    assert headers["webhook-id"] == "evt_1"


def test_the_specifications_own_example() -> None:
    """The example of the Standard Webhooks libraries: a known secret, id, time and body."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    known = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == known


@pytest.mark.parametrize(("status", "final"), [(500, False), (302, False), (404, False), (410, True)])
def test_whatever_is_not_taken_is_said(receiver: Receiver, status: int, final: bool) -> None:
    receiver.status = status
    endpoint, row = delivery(receiver.url)
    answer = send(endpoint, row, private=True)
    assert (answer.taken, answer.status, answer.final) == (False, status, final)
    assert len(receiver.requests) == 1, "a redirect is not followed"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://[::1]:9/x", "http://169.254.169.254/x", "file:///etc/passwd"]
)
def test_addresses_inside_are_refused(url: str) -> None:
    endpoint, row = delivery(url)
    answer = send(endpoint, row)
    assert not answer.taken
    assert answer.status is None
    assert answer.error is not None
    assert "private network" in answer.error or "no http address" in answer.error


def test_the_address_that_was_checked_is_called(receiver: Receiver) -> None:
    """A name server that answers with a public address first and one inside then gets no message inside."""
    internet = Internet()
    internet.names["hooks.example"] = [["93.184.216.34"], ["127.0.0.1"]]
    internet.ports["93.184.216.34"] = receiver.server.server_port
    endpoint, row = delivery("http://hooks.example:9000/hook")
    assert send(endpoint, row, network=internet.network) == Answer(True, 200)
    assert (internet.asked, internet.connected) == (["hooks.example"], [("93.184.216.34", 9000)])
    assert receiver.requests[0][0]["host"] == "hooks.example:9000"
    answer = send(endpoint, row, network=internet.network)
    assert (answer.taken, answer.status) == (False, None)
    assert answer.error == "hooks.example is an address inside of a private network"
    assert len(receiver.requests) == len(internet.connected) == 1


def test_nobody_there_is_no_exception(receiver: Receiver) -> None:
    receiver.server.shutdown()
    receiver.server.server_close()
    endpoint, row = delivery(receiver.url)
    answer = send(endpoint, row, private=True)
    assert not answer.taken
    assert not answer.final
