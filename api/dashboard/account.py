"""The tenant's own affairs: keys, what was used, who did what; and the deployment for those who run it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response

from api.dashboard.forms import see
from api.dashboard.render import render
from api.dependencies import AccountDep, Cursor, DatabaseDep, SettingsDep, StoreWatchDep, WatchDep, needs
from api.routes.account import get_usage, list_audit_events
from api.routes.api_keys import list_keys
from api.routes.system import describe_system
from api.schemas import UsageOut
from likeness.accounts import SCOPES, create_key, revoke_key
from likeness.clock import now

router = APIRouter(prefix="/settings")
_ADMIN = [needs("admin")]
_DAYS = 30


@router.get("/keys", dependencies=_ADMIN)
def show_keys(request: Request, account: AccountDep, database: DatabaseDep) -> Response:
    keys = list_keys(account, database).data
    return render(request, "keys.html", keys=keys, scopes=SCOPES, made=None, secret=None)


@router.post("/keys", dependencies=_ADMIN)
def add_key(
    request: Request,
    account: AccountDep,
    database: DatabaseDep,
    name: Annotated[str, Form(max_length=200)],
    scopes: Annotated[list[str] | None, Form(max_length=4)] = None,
) -> Response:
    """The one page that shows the key; it is in no address, so that no history keeps it."""
    row, secret = create_key(
        database, tenant_id=account.tenant_id, name=name, scopes=scopes or [], actor=account.actor
    )
    keys = list_keys(account, database).data
    return render(request, "keys.html", 201, keys=keys, scopes=SCOPES, made=row.name, secret=secret)


@router.post("/keys/{key_id}/revoke", dependencies=_ADMIN)
def end_key(key_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    revoke_key(database, key_id, tenant_id=account.tenant_id, actor=account.actor)
    return see("/settings/keys")


@router.get("/usage", dependencies=[needs("read")])
def show_usage(request: Request, account: AccountDep, database: DatabaseDep) -> Response:
    end = now()
    month = get_usage(account, database)
    recent = get_usage(account, database, since=end - timedelta(days=_DAYS - 1), until=end)
    charts = [
        {"kind": kind, "title": title, **_bars(recent, kind, end)}
        for kind, title in (
            ("video_seconds", "Video made"),
            ("cpu_seconds", "CPU time"),
            ("gpu_seconds", "GPU time"),
        )
    ]
    return render(request, "usage.html", usage=month, charts=charts, days=_DAYS)


def _bars(usage: UsageOut, kind: str, end: datetime) -> dict[str, Any]:
    """One bar a day: place, height in parts of 100, and what it stands for."""
    amounts = {day.date[:10]: day.amount for day in usage.days if day.kind == kind}
    dates = [
        (end.astimezone(UTC) - timedelta(days=back)).strftime("%Y-%m-%d") for back in reversed(range(_DAYS))
    ]
    most = max(amounts.values(), default=0.0)
    bars = [
        {
            "x": 10 * index + 1,
            "height": round(100 * amounts.get(date, 0.0) / most, 1) if most else 0.0,
            "date": date,
            "amount": amounts.get(date, 0.0),
        }
        for index, date in enumerate(dates)
    ]
    return {"bars": bars, "most": most, "total": sum(amounts.values())}


@router.get("/audit", dependencies=_ADMIN)
def show_audit(
    request: Request,
    account: AccountDep,
    database: DatabaseDep,
    subject: Annotated[str, Query(max_length=64)] = "",
    cursor: Cursor = None,
) -> Response:
    page = list_audit_events(account, database, subject=subject or None, limit=50, cursor=cursor)
    return render(request, "audit.html", events=page.data, subject=subject, next_cursor=page.next_cursor)


@router.get("/system", dependencies=_ADMIN)
def show_system(
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    watch: WatchDep,
    store_watch: StoreWatchDep,
) -> Response:
    return render(request, "system.html", system=describe_system(database, settings, watch, store_watch))
