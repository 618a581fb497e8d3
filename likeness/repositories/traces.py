"""SQL on what repeats a resource elsewhere: answers kept to be given again, and what webhooks told of jobs.

When the resource is deleted these would still hold its names; so they are emptied, and stay as what happened.
"""

from __future__ import annotations

import json

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from likeness.tables import IdempotencyKey, WebhookDelivery, WebhookEndpoint

_GONE = {
    "type": "/help/errors#not_found",
    "title": "There is no such thing",
    "status": 404,
    "code": "not_found",
    "detail": "what this request made was deleted since",
    "remedy": "send the request with a new Idempotency-Key to make it anew",
    "retryable": False,
}


class TraceRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def forget(self, tenant_id: str, identifier: str) -> None:
        """Empty what repeats a deleted resource."""
        self._forget_answers(tenant_id, identifier)
        if identifier.startswith("job_"):
            self._forget_results(tenant_id, identifier)

    def _forget_answers(self, tenant_id: str, identifier: str) -> None:
        needle = identifier.encode()
        sqlite = self.session.get_bind().dialect.name == "sqlite"
        holds = (
            func.instr(IdempotencyKey.body, needle) > 0
            if sqlite
            else text("position(:needle in body) > 0").bindparams(needle=needle)
        )
        self.session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.body.is_not(None), holds)
            .values(
                status=404,
                headers={"content-type": "application/problem+json"},
                body=json.dumps(_GONE).encode(),
            )
            .execution_options(synchronize_session=False)
        )

    def _forget_results(self, tenant_id: str, job_id: str) -> None:
        mine = select(WebhookEndpoint.id).where(WebhookEndpoint.tenant_id == tenant_id)
        query = select(WebhookDelivery).where(
            WebhookDelivery.endpoint_id.in_(mine),
            WebhookDelivery.payload["data"]["id"].as_string() == job_id,
        )
        for delivery in self.session.scalars(query):
            data = {**delivery.payload["data"], "result": None, "error": None}
            delivery.payload = {**delivery.payload, "data": data}
