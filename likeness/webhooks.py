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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.outgoing import INTERNET, Deadline, Network, exchange
from likeness.public_addresses import require_public, require_public_name, web_address
from likeness.refusals import FetchRefused
from likeness.repositories.audit import AuditRepository
from likeness.repositories.webhooks import WebhookRepository
from likeness.requests import PLANS
from likeness.tables import WebhookDelivery, WebhookEndpoint
from problems import InvalidParameter

PAUSES_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
"""Before the second, third, ... try."""
EVENTS = (
    *(f"{kind}.{status}" for kind in PLANS for status in ("succeeded", "failed", "canceled")),
    "webhook.test",
)
OVERLAP = timedelta(hours=24)
MOST_ENDPOINTS = 20
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


def add_endpoint(
    database: Database,
    tenant_id: str,
    url: str,
    events: Sequence[str],
    *,
    private: bool = False,
    actor: str = "local",
) -> WebhookEndpoint:
    """Enter an endpoint of a tenant.

    Raises:
        FetchRefused: the address is none that may be called.
        InvalidParameter: an event is not known, or there are too many endpoints.
    """
    require_known_events(events)
    require_callable(url, private=private)
    endpoint = WebhookEndpoint(
        id=new_id("whk"),
        tenant_id=tenant_id,
        url=url,
        secret=new_secret(),
        events=list(events),
        created_at=now(),
    )
    with database.write() as session:
        if len(WebhookRepository(session).endpoints(tenant_id)) >= MOST_ENDPOINTS:
            raise InvalidParameter(
                f"there are {MOST_ENDPOINTS} webhook endpoints already",
                remedy="delete one that is not needed",
                details={"field": "url"},
            )
        session.add(endpoint)
        enter_change(session, actor, endpoint, "webhook.created", None)
    return endpoint


def require_callable(url: str, *, private: bool) -> None:
    """Raise FetchRefused for an address that no webhook may go to. Each call asks again what its name stands for."""
    address = web_address(url)
    require_public_name(address, allow_private=private)
    if address.is_ip:
        require_public(address, [address.host], allow_private=private)


def audited(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """What the audit log says of an endpoint: of its address the host alone, since a path may be a secret."""
    return {
        "host": urlsplit(endpoint.url).hostname,
        "events": list(endpoint.events),
        "enabled": endpoint.disabled_at is None,
    }


def enter_change(
    session: Session,
    actor: str,
    endpoint: WebhookEndpoint,
    action: str,
    before: Mapping[str, Any] | None,
    *,
    gone: bool = False,
) -> None:
    """Write down what an endpoint was and what it is now."""
    details = {"before": before, "after": None if gone else audited(endpoint)}
    AuditRepository(session).enter(endpoint.tenant_id, actor, action, endpoint.id, details)


def require_known_events(events: Sequence[str]) -> None:
    """Raise InvalidParameter for an event that never happens."""
    unknown = [event for event in events if event not in EVENTS]
    if unknown:
        raise InvalidParameter(
            f"{unknown[0][:64]!r} is no event",
            remedy=f"use some of {', '.join(EVENTS)}, or none for all of them",
            details={"field": "events", "unknown": unknown},
        )


def rotate_secret(endpoint: WebhookEndpoint) -> None:
    """Give an endpoint a new secret; for ``OVERLAP`` its deliveries are signed with both."""
    endpoint.old_secret, endpoint.old_secret_until = endpoint.secret, now() + OVERLAP
    endpoint.secret = new_secret()


def signatures(endpoint: WebhookEndpoint, event_id: str, timestamp: int, body: bytes) -> str:
    """The header's value: one signature, or after a rotation two with a space between."""
    secrets_now = [endpoint.secret]
    if endpoint.old_secret and endpoint.old_secret_until and now() < endpoint.old_secret_until:
        secrets_now.append(endpoint.old_secret)
    return " ".join(signature(secret, event_id, timestamp, body) for secret in secrets_now)


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
        "webhook-signature": signatures(endpoint, delivery.event_id, timestamp, body),
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
