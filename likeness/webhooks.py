"""Telling a client what ended, as Standard Webhooks has it: signed, with an id that stays the same at each try.

https://github.com/standard-webhooks/standard-webhooks (specification 1.0): the signature is HMAC-SHA256 of
``id.timestamp.body`` in base64, after ``v1,``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import time
from dataclasses import dataclass

from likeness.outgoing import INTERNET, Deadline, Network, exchange
from likeness.public_addresses import web_address
from likeness.refusals import FetchRefused
from likeness.tables import WebhookDelivery, WebhookEndpoint

PAUSES_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
"""Before the second, third, ... try."""
_TIMEOUT_S = 10.0
"""For everything: finding the receiver, sending, and the beginning of its answer."""


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


def send(
    endpoint: WebhookEndpoint,
    delivery: WebhookDelivery,
    *,
    private: bool = False,
    network: Network = INTERNET,
) -> Answer:
    """One try; never raises. Redirects are not followed, and addresses inside of a private network are refused unless
    ``private``; the address that was checked is the one that is called."""
    body = json.dumps(delivery.payload, separators=(",", ":"), sort_keys=True).encode()
    timestamp = int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(endpoint.secret, delivery.event_id, timestamp, body),
    }
    try:
        with exchange(
            web_address(endpoint.url),
            deadline=Deadline(_TIMEOUT_S),
            method="POST",
            headers=headers,
            body=body,
            allow_private=private,
            network=network,
        ) as answer:
            taken = 200 <= answer.status < 300
            fault = None if taken else f"answered {answer.status}"
            return Answer(taken, answer.status, fault, final=answer.status == 410)
    except FetchRefused as error:
        return Answer(False, None, error.message)
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(False, None, f"{type(error).__name__}: {error}"[:500])
