"""SQL on webhook endpoints and what they are still to be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from likeness.ids import new_id
from likeness.repositories.pages import Page, read_page
from likeness.tables import Job, WebhookDelivery, WebhookEndpoint


class WebhookRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def announce(self, job: Job, now: datetime) -> None:
        """Enter the end of a job for each endpoint of its tenant that wants to know: in the same transaction."""
        event = f"{job.kind}.{job.status}"
        query = select(WebhookEndpoint).where(
            WebhookEndpoint.tenant_id == job.tenant_id, WebhookEndpoint.disabled_at.is_(None)
        )
        payload = _payload(job, event, now)
        event_id = new_id("evt")
        for endpoint in self.session.scalars(query):
            if not endpoint.events or event in endpoint.events:
                self.session.add(
                    WebhookDelivery(
                        id=new_id("dlv"),
                        endpoint=endpoint,
                        event_id=event_id,
                        event=event,
                        payload=payload,
                        status="pending",
                        next_at=now,
                        created_at=now,
                    )
                )

    def endpoint(self, endpoint_id: str) -> WebhookEndpoint | None:
        return self.session.get(WebhookEndpoint, endpoint_id)

    def endpoints(self, tenant_id: str) -> list[WebhookEndpoint]:
        """Newest first, disabled ones included."""
        query = select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id)
        return list(self.session.scalars(query.order_by(WebhookEndpoint.id.desc())))

    def add_test(self, endpoint: WebhookEndpoint, now: datetime) -> WebhookDelivery:
        """Enter an event that says nothing, for an endpoint to be tried with."""
        event = "webhook.test"
        delivery = WebhookDelivery(
            id=new_id("dlv"),
            endpoint=endpoint,
            event_id=new_id("evt"),
            event=event,
            payload={"type": event, "timestamp": now.isoformat(), "data": {"endpoint_id": endpoint.id}},
            status="pending",
            attempts=0,
            next_at=now,
            created_at=now,
        )
        self.session.add(delivery)
        return delivery

    def deliveries(
        self, endpoint_id: str, *, limit: int, cursor: str | None, status: str | None = None
    ) -> Page[WebhookDelivery]:
        query = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
        if status:
            query = query.where(WebhookDelivery.status == status)
        return read_page(self.session, query, WebhookDelivery.id, limit=limit, cursor=cursor)

    def due_endpoints(
        self, now: datetime, *, limit: int, busy: Sequence[str] = (), busy_tenants: Sequence[str] = ()
    ) -> list[tuple[str, str]]:
        """Endpoints that something is to be sent to now, with their tenants; the one that has waited longest first.

        Args:
            busy: endpoints to leave out.
            busy_tenants: tenants to leave out.
        """
        query = (
            select(WebhookDelivery.endpoint_id, WebhookEndpoint.tenant_id)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(
                WebhookDelivery.status == "pending",
                WebhookDelivery.next_at <= now,
                WebhookDelivery.endpoint_id.not_in(busy),
                WebhookEndpoint.tenant_id.not_in(busy_tenants),
            )
            .group_by(WebhookDelivery.endpoint_id, WebhookEndpoint.tenant_id)
            .order_by(func.min(WebhookDelivery.next_at))
            .limit(limit)
        )
        return [(endpoint, tenant) for endpoint, tenant in self.session.execute(query)]

    def next_due(self, endpoint_id: str, now: datetime) -> WebhookDelivery | None:
        """The endpoint's delivery to be tried next, locked: two couriers never hold the same."""
        query = (
            select(WebhookDelivery)
            .where(
                WebhookDelivery.endpoint_id == endpoint_id,
                WebhookDelivery.status == "pending",
                WebhookDelivery.next_at <= now,
            )
            .order_by(WebhookDelivery.next_at)
            .limit(1)
            .options(joinedload(WebhookDelivery.endpoint))
            .with_for_update(skip_locked=True, of=WebhookDelivery)
        )
        return self.session.scalar(query)

    def get(self, delivery_id: str) -> WebhookDelivery | None:
        return self.session.get(WebhookDelivery, delivery_id, options=[joinedload(WebhookDelivery.endpoint)])


def _error(kept: dict[str, Any] | None) -> dict[str, Any] | None:
    """A job's problem under the names that the API has for its parts."""
    if kept is None:
        return None
    names = {"slug": "code", "title": "title", "message": "detail", "remedy": "remedy"}
    names |= {"retryable": "retryable", "details": "details"}
    return {shown: kept.get(name) for name, shown in names.items()}


def _payload(job: Job, event: str, now: datetime) -> dict[str, Any]:
    return {
        "type": event,
        "timestamp": now.isoformat(),
        "data": {
            "id": job.id,
            "object": "consent_check" if job.kind == "consent" else job.kind,
            "status": job.status,
            "stage": job.stage,
            "person_id": job.person_id,
            "error": _error(job.error),
            "result": job.result,
        },
    }
