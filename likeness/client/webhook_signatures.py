"""For those who receive webhooks: is this message from the service, whole, and of now?

Standard Webhooks 1.0: HMAC-SHA256 over ``id.timestamp.body``. After a rotation of the secret a message carries a
signature of each, and a receiver may know both: one that fits is enough.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ClientProblem


class WebhookRefused(ClientProblem):
    """The message is not to be believed."""

    slug, title, status = "webhook_refused", "The webhook is not to be believed", 401


@dataclass(frozen=True)
class WebhookEvent:
    """What happened."""

    id: str
    """The same at each delivery of it: who has seen it before ignores it."""
    type: str
    """Such as ``training.succeeded``."""
    timestamp: str
    """When it happened, ISO 8601."""
    data: dict[str, Any]


def verify_webhook(
    headers: Mapping[str, str],
    body: bytes,
    secret: str | Sequence[str],
    tolerance_s: float = 300,
    *,
    now: float | None = None,
) -> WebhookEvent:
    """Check a message that was received, before anything in it is used.

    Args:
        headers: of the request; their case does not matter.
        body: exactly as it came: JSON that was read and written again has another signature.
        secret: of the endpoint, ``whsec_…``; several while one is being changed for another.
        tolerance_s: how old a message may be, or ahead of this clock; older ones may be recordings.
        now: unix time in seconds; the clock's by default.

    Raises:
        WebhookRefused: it is not signed, not with this secret, not over these bytes, or not of now.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        event_id, timestamp = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
        sent = int(timestamp)
    except (KeyError, ValueError):
        raise _refused("it lacks webhook-id, webhook-timestamp or webhook-signature") from None
    secrets = [secret] if isinstance(secret, str) else list(secret)
    expected = [_signature(each, event_id, timestamp, body) for each in secrets]
    offered = [text.removeprefix("v1,") for text in signatures if text.startswith("v1,")]
    # Every pair, so that the time taken does not tell which one fitted.
    if not sum(hmac.compare_digest(a.encode(), b.encode()) for a in expected for b in offered):
        raise _refused("no signature fits the secret and these bytes")
    if abs((time.time() if now is None else now) - sent) > tolerance_s:
        raise _refused(f"it was sent more than {tolerance_s:g} s from now: {timestamp}")
    try:
        message = json.loads(body)
        return WebhookEvent(
            event_id, str(message["type"]), str(message["timestamp"]), dict(message.get("data") or {})
        )
    except (ValueError, KeyError, TypeError):
        raise _refused("its signature is right, but its body is no event") from None


def _signature(secret: str, event_id: str, timestamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise WebhookRefused(
            "the secret is none of this service",
            remedy="use the whsec_… that POST /v1/webhook-endpoints or its rotate answered with",
        ) from None
    digest = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _refused(why: str) -> WebhookRefused:
    return WebhookRefused(
        f"the webhook is refused: {why}",
        remedy="answer 401 and use nothing of it; check the secret and this machine's clock if it should have fitted",
    )
