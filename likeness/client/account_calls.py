"""Calls for an account: usage, estimates, keys, webhook endpoints, the audit log, the deployment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from .answers import (
    ApiKey,
    AuditEvent,
    Delivery,
    Estimate,
    System,
    Usage,
    WebhookEndpoint,
)
from .decoding import decode
from .pages import each_of, list_of
from .transport import Transport


class Estimates:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def training(self, preset: str = "preview") -> Estimate:
        """How long a training would take."""
        return self._ask({"kind": "training", "preset": preset})

    def video(self, seconds: float) -> Estimate:
        """How long a video of a recording of so many seconds would take."""
        return self._ask({"kind": "video", "seconds": seconds})

    def motion(self, seconds: float) -> Estimate:
        """The preview of a motion to a recording of so many seconds."""
        return self._ask({"kind": "motion", "seconds": seconds})

    def _ask(self, body: dict[str, Any]) -> Estimate:
        return decode(Estimate, self._transport.call("POST", "/v1/estimates", body))


class ApiKeys:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, scopes: Sequence[str]) -> ApiKey:
        """Make a key; ``key`` of the answer is the only time that it is shown."""
        body = {"name": name, "scopes": list(scopes)}
        made = decode(ApiKey, self._transport.call("POST", "/v1/api-keys", body))
        if made.key is None:
            # The first answer got lost, and an answer that is given again has no key: nobody ever saw that one.
            self.revoke(made.id)
            made = decode(ApiKey, self._transport.call("POST", "/v1/api-keys", body))
        return made

    def list(self) -> Sequence[ApiKey]:
        """Newest first, revoked ones included."""
        return list_of(self._transport, "/v1/api-keys", ApiKey)

    def revoke(self, key_id: str) -> None:
        """At once."""
        self._transport.call("DELETE", f"/v1/api-keys/{quote(key_id, safe='')}")


class WebhookEndpoints:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, url: str, events: Sequence[str] = (), *, idempotency_key: str | None = None
    ) -> WebhookEndpoint:
        """Be told of ``events`` (none: of all) at ``url``; ``secret`` of the answer is shown once."""
        body = {"url": url, "events": list(events)}
        answer = self._transport.call("POST", "/v1/webhook-endpoints", body, idempotency_key=idempotency_key)
        return decode(WebhookEndpoint, answer)

    def get(self, endpoint_id: str) -> WebhookEndpoint:
        return decode(WebhookEndpoint, self._transport.call("GET", self._at(endpoint_id)))

    def list(self) -> Sequence[WebhookEndpoint]:
        """Newest first."""
        return list_of(self._transport, "/v1/webhook-endpoints", WebhookEndpoint)

    def patch(
        self,
        endpoint_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> WebhookEndpoint:
        """Change where it is, which events it gets, and whether it gets any; its secret stays."""
        changes: dict[str, Any] = {}
        if url is not None:
            changes["url"] = url
        if events is not None:
            changes["events"] = list(events)
        if enabled is not None:
            changes["enabled"] = enabled
        return decode(WebhookEndpoint, self._transport.call("PATCH", self._at(endpoint_id), changes))

    def rotate(self, endpoint_id: str) -> WebhookEndpoint:
        """A new secret; for a day messages are signed with both."""
        return decode(WebhookEndpoint, self._transport.call("POST", f"{self._at(endpoint_id)}/rotate"))

    def test(self, endpoint_id: str) -> Delivery:
        """Send an event ``webhook.test``."""
        return decode(Delivery, self._transport.call("POST", f"{self._at(endpoint_id)}/test"))

    def deliveries(self, endpoint_id: str, *, status: str | None = None) -> Iterator[Delivery]:
        """What was sent and how it went, newest first."""
        path = f"{self._at(endpoint_id)}/deliveries"
        return each_of(self._transport, path, lambda data: decode(Delivery, data), {"status": status})

    def redeliver(self, endpoint_id: str, delivery_id: str) -> Delivery:
        """The same event with the same id once more."""
        path = f"{self._at(endpoint_id)}/deliveries/{quote(delivery_id, safe='')}/redeliver"
        return decode(Delivery, self._transport.call("POST", path))

    def delete(self, endpoint_id: str) -> None:
        """What it has still not been told is dropped."""
        self._transport.call("DELETE", self._at(endpoint_id))

    def _at(self, endpoint_id: str) -> str:
        return f"/v1/webhook-endpoints/{quote(endpoint_id, safe='')}"


class AuditEvents:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, *, subject: str | None = None) -> Iterator[AuditEvent]:
        """Who did what, newest first."""
        return each_of(
            self._transport, "/v1/audit-events", lambda data: decode(AuditEvent, data), {"subject": subject}
        )


def read_usage(transport: Transport, since: datetime | None, until: datetime | None) -> Usage:
    """What was used between two moments."""
    query = {
        "since": since.isoformat() if since else None,
        "until": until.isoformat() if until else None,
    }
    return decode(Usage, transport.call("GET", "/v1/usage", query=query))


def read_system(transport: Transport) -> System:
    """The deployment."""
    return decode(System, transport.call("GET", "/v1/system"))
