"""Telling a client what ended, as Standard Webhooks has it: signed, with an id that stays the same at each try.

https://github.com/standard-webhooks/standard-webhooks (specification 1.0): the signature is HMAC-SHA256 of
``id.timestamp.body`` in base64, after ``v1,``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ipaddress
import json
import secrets
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

from likeness import VERSION
from likeness.tables import WebhookDelivery, WebhookEndpoint

PAUSES_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
"""Before the second, third, ... try."""
_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Answer:
    """How one try went."""

    taken: bool
    status: int | None = None
    """HTTP status, when there was an answer."""
    error: str | None = None
    final: bool = False
    """Trying again is of no use: the endpoint is gone (410)."""


def new_secret() -> str:
    """A secret for one endpoint's signatures."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """``v1,`` and the base64 signature of one message."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def send(endpoint: WebhookEndpoint, delivery: WebhookDelivery, *, private: bool = False) -> Answer:
    """One try; never raises. Redirects are not followed, and addresses inside of a private network are refused unless
    ``private``."""
    body = json.dumps(delivery.payload, separators=(",", ":"), sort_keys=True).encode()
    timestamp = int(time.time())
    request = urllib.request.Request(
        endpoint.url,
        data=body,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "User-Agent": f"Likeness/{VERSION}",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(endpoint.secret, delivery.event_id, timestamp, body),
        },
    )
    try:
        _require_public(endpoint.url, private)
        with _OPENER.open(request, timeout=_TIMEOUT_S) as answer:
            return Answer(200 <= answer.status < 300, answer.status)
    except urllib.error.HTTPError as error:
        return Answer(False, error.code, f"answered {error.code}", final=error.code == 410)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(False, None, f"{type(error).__name__}: {error}"[:500])


def _require_public(url: str, private: bool) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no http address")
    if private:
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for *_, place in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
        if not ipaddress.ip_address(str(place[0]).split("%")[0]).is_global:
            raise ValueError(f"{parts.hostname} is an address inside of a private network")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)
