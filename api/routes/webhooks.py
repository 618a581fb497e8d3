"""Where a tenant is told what ended."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from api.dependencies import AccountDep, Cursor, DatabaseDep, Limit, SettingsDep, needs
from api.problem_details import answers, changes
from api.schemas import DeliveryOut, ListOut, WebhookIn, WebhookOut, WebhookPatch, WebhooksOut
from likeness.clock import now
from likeness.refusals import FetchRefused
from likeness.repositories.webhooks import WebhookRepository
from likeness.tables import WebhookDelivery, WebhookEndpoint
from likeness.webhooks import (
    add_endpoint,
    audited,
    enter_change,
    require_callable,
    require_known_events,
    rotate_secret,
)
from problems import InvalidParameter, NotFound

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"])
_ADMIN = [needs("admin")]


@router.post(
    "",
    status_code=201,
    responses=changes(FetchRefused),
    dependencies=_ADMIN,
    summary="Enter a webhook endpoint",
)
def add_webhook(
    body: WebhookIn, response: Response, account: AccountDep, database: DatabaseDep, settings: SettingsDep
) -> WebhookOut:
    """Signed as Standard Webhooks has it. The answer shows the secret, once."""
    endpoint = add_endpoint(
        database,
        account.tenant_id,
        body.url,
        body.events,
        private=settings.webhooks_to_private,
        actor=account.actor,
    )
    response.headers["Location"] = f"/v1/webhook-endpoints/{endpoint.id}"
    return _view(endpoint, show_secret=True)


@router.get("", responses=answers(), dependencies=_ADMIN, summary="List webhook endpoints")
def list_webhooks(account: AccountDep, database: DatabaseDep) -> WebhooksOut:
    """Newest first, those that are switched off too."""
    with database.read() as session:
        found = WebhookRepository(session).endpoints(account.tenant_id)
        return WebhooksOut(data=[_view(endpoint) for endpoint in found])


@router.get("/{endpoint_id}", responses=answers(NotFound), dependencies=_ADMIN, summary="Look at an endpoint")
def get_webhook(endpoint_id: str, account: AccountDep, database: DatabaseDep) -> WebhookOut:
    """Its events and whether it is switched on. The secret is not shown again."""
    with database.read() as session:
        return _view(_endpoint(session, endpoint_id, account.tenant_id))


@router.patch(
    "/{endpoint_id}",
    responses=changes(NotFound, FetchRefused),
    dependencies=_ADMIN,
    summary="Change an endpoint",
)
def change_webhook(
    endpoint_id: str, body: WebhookPatch, account: AccountDep, database: DatabaseDep, settings: SettingsDep
) -> WebhookOut:
    """Where it is, which events it gets, and whether it gets any. The secret stays as it is, and so does what still
    waits: it goes to the new address."""
    if body.url is not None:
        require_callable(body.url, private=settings.webhooks_to_private)
    with database.write() as session:
        endpoint = _endpoint(session, endpoint_id, account.tenant_id)
        before = audited(endpoint)
        if body.url is not None:
            endpoint.url = body.url
        if body.events is not None:
            require_known_events(body.events)
            endpoint.events = body.events
        if body.enabled is not None:
            endpoint.disabled_at = None if body.enabled else now()
        enter_change(session, account.actor, endpoint, "webhook.changed", before)
    return _view(endpoint)


@router.delete(
    "/{endpoint_id}",
    status_code=204,
    response_class=Response,
    responses=changes(NotFound),
    dependencies=_ADMIN,
    summary="Delete an endpoint",
)
def remove_webhook(endpoint_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    """What it has still not been told is dropped, and its delivery log goes."""
    with database.write() as session:
        endpoint = _endpoint(session, endpoint_id, account.tenant_id)
        enter_change(session, account.actor, endpoint, "webhook.deleted", audited(endpoint), gone=True)
        session.delete(endpoint)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/rotate", responses=changes(NotFound), dependencies=_ADMIN, summary="Rotate the secret"
)
def rotate_webhook(endpoint_id: str, account: AccountDep, database: DatabaseDep) -> WebhookOut:
    """The answer shows the new secret, once. For a day each delivery carries a signature of both, so that receivers can
    be changed over without a gap."""
    with database.write() as session:
        endpoint = _endpoint(session, endpoint_id, account.tenant_id)
        rotate_secret(endpoint)
        enter_change(session, account.actor, endpoint, "webhook.secret_rotated", audited(endpoint))
    return _view(endpoint, show_secret=True)


@router.post(
    "/{endpoint_id}/test",
    status_code=202,
    responses=changes(NotFound),
    dependencies=_ADMIN,
    summary="Send a test event",
)
def check_webhook(endpoint_id: str, account: AccountDep, database: DatabaseDep) -> DeliveryOut:
    """An event `webhook.test`; look into the delivery log for how it went."""
    with database.write() as session:
        endpoint = _endpoint(session, endpoint_id, account.tenant_id)
        delivery = WebhookRepository(session).add_test(endpoint, now())
    return _delivery_view(delivery)


@router.get(
    "/{endpoint_id}/deliveries",
    responses=answers(NotFound, InvalidParameter),
    dependencies=_ADMIN,
    summary="The delivery log",
)
def list_deliveries(
    endpoint_id: str,
    account: AccountDep,
    database: DatabaseDep,
    status: Annotated[
        str | None,
        Query(pattern="^(pending|delivered|failed)$", description="Only deliveries of this status"),
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> ListOut[DeliveryOut]:
    """Newest first: what was sent, when, and what the receiver answered."""
    with database.read() as session:
        _endpoint(session, endpoint_id, account.tenant_id)
        page = WebhookRepository(session).deliveries(endpoint_id, limit=limit, cursor=cursor, status=status)
        return ListOut(data=[_delivery_view(row) for row in page.rows], next_cursor=page.next_cursor)


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    responses=changes(NotFound),
    dependencies=_ADMIN,
    summary="Deliver again",
)
def redeliver(endpoint_id: str, delivery_id: str, account: AccountDep, database: DatabaseDep) -> DeliveryOut:
    """The same event with the same id, as soon as may be."""
    with database.write() as session:
        _endpoint(session, endpoint_id, account.tenant_id)
        delivery = WebhookRepository(session).get(delivery_id)
        if delivery is None or delivery.endpoint_id != endpoint_id:
            raise NotFound(
                f"there is no delivery {delivery_id!r}",
                remedy=f"list them with GET /v1/webhook-endpoints/{endpoint_id}/deliveries",
                details={"id": delivery_id},
            )
        delivery.status, delivery.next_at, delivery.attempts = "pending", now(), 0
    return _delivery_view(delivery)


def _endpoint(session: Session, endpoint_id: str, tenant_id: str) -> WebhookEndpoint:
    endpoint = WebhookRepository(session).endpoint(endpoint_id)
    if endpoint is None or endpoint.tenant_id != tenant_id:
        raise NotFound(
            f"there is no webhook endpoint {endpoint_id!r}",
            remedy="list them with GET /v1/webhook-endpoints",
            details={"id": endpoint_id},
        )
    return endpoint


def _view(endpoint: WebhookEndpoint, *, show_secret: bool = False) -> WebhookOut:
    return WebhookOut(
        id=endpoint.id,
        url=endpoint.url,
        events=endpoint.events,
        enabled=endpoint.disabled_at is None,
        secret=endpoint.secret if show_secret else None,
        created_at=endpoint.created_at,
    )


def _delivery_view(delivery: WebhookDelivery) -> DeliveryOut:
    return DeliveryOut.model_validate(delivery, from_attributes=True)
