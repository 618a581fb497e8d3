"""Webhook endpoints and what was delivered to them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response

from api.dashboard.forms import parsed, see
from api.dashboard.render import render
from api.dependencies import AccountDep, Cursor, DatabaseDep, SettingsDep, needs
from api.routes.webhooks import (
    add_webhook,
    change_webhook,
    check_webhook,
    get_webhook,
    list_deliveries,
    list_webhooks,
    redeliver,
    remove_webhook,
    rotate_webhook,
)
from api.schemas import WebhookIn, WebhookOut, WebhookPatch
from likeness.accounts import Account
from likeness.database import Database
from likeness.webhooks import EVENTS

router = APIRouter(prefix="/settings/webhooks", dependencies=[needs("admin")])


@router.get("")
def show_endpoints(request: Request, account: AccountDep, database: DatabaseDep) -> Response:
    endpoints = list_webhooks(account, database).data
    return render(request, "webhooks.html", endpoints=endpoints, events=EVENTS)


@router.post("")
def add_endpoint(
    request: Request,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    url: Annotated[str, Form(max_length=2048)],
    events: Annotated[list[str] | None, Form(max_length=32)] = None,
) -> Response:
    body = parsed(WebhookIn, {"url": url, "events": events or []})
    made = add_webhook(body, Response(), account, database, settings)
    return _page(request, account, database, made, 201)


@router.get("/{endpoint_id}")
def show_endpoint(
    request: Request,
    endpoint_id: str,
    account: AccountDep,
    database: DatabaseDep,
    status: Literal["", "pending", "delivered", "failed"] = "",
    cursor: Cursor = None,
) -> Response:
    endpoint = get_webhook(endpoint_id, account, database)
    return _page(request, account, database, endpoint, status=status, cursor=cursor)


def _page(
    request: Request,
    account: Account,
    database: Database,
    endpoint: WebhookOut,
    code: int = 200,
    *,
    status: str = "",
    cursor: str | None = None,
) -> Response:
    """With the secret when it is new: this is the one time that it is shown."""
    log = list_deliveries(endpoint.id, account, database, status=status or None, limit=25, cursor=cursor)
    return render(
        request,
        "webhook.html",
        code,
        endpoint=endpoint,
        deliveries=log.data,
        status=status,
        next_cursor=log.next_cursor,
    )


@router.post("/{endpoint_id}/rotate")
def rotate(request: Request, endpoint_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    return _page(request, account, database, rotate_webhook(endpoint_id, account, database))


@router.post("/{endpoint_id}/address")
def change_address(
    endpoint_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    url: Annotated[str, Form(max_length=2048)],
) -> Response:
    change_webhook(endpoint_id, parsed(WebhookPatch, {"url": url}), account, database, settings)
    return see(f"/settings/webhooks/{endpoint_id}")


@router.post("/{endpoint_id}/enabled")
def switch(
    endpoint_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    enabled: Annotated[Literal["yes", "no"], Form()],
) -> Response:
    change_webhook(endpoint_id, WebhookPatch(enabled=enabled == "yes"), account, database, settings)
    return see(f"/settings/webhooks/{endpoint_id}")


@router.post("/{endpoint_id}/test")
def send_test(endpoint_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    check_webhook(endpoint_id, account, database)
    return see(f"/settings/webhooks/{endpoint_id}")


@router.post("/{endpoint_id}/deliveries/{delivery_id}/redeliver")
def deliver_again(endpoint_id: str, delivery_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    redeliver(endpoint_id, delivery_id, account, database)
    return see(f"/settings/webhooks/{endpoint_id}")


@router.post("/{endpoint_id}/delete")
def remove_endpoint(endpoint_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    remove_webhook(endpoint_id, account, database)
    return see("/settings/webhooks")
