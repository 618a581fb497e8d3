"""What handlers ask for, as annotated aliases.

The functions are async so that they run where they are: the framework takes a thread for each that is not.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.params import Depends as DependsParam

from likeness.accounts import Account, Scope
from likeness.database import Database
from likeness.health import WorkerWatch
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.store_watch import StoreWatch


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _store(request: Request) -> ObjectStore:
    store: ObjectStore = request.app.state.store
    return store


async def _watch(request: Request) -> WorkerWatch | None:
    watch: WorkerWatch | None = request.app.state.watch
    return watch


async def _store_watch(request: Request) -> StoreWatch:
    watch: StoreWatch = request.app.state.store_watch
    return watch


async def _account(request: Request) -> Account:
    account: Account = request.scope["account"]
    return account


def needs(*scopes: Scope) -> DependsParam:
    """A route's permission: ``dependencies=[needs("train")]``; of several, any will do. Each route under /v1
    has one, which a test checks."""

    async def check(request: Request) -> None:
        account: Account = request.scope["account"]
        account.require(*scopes)

    check.likeness_scopes = scopes  # type: ignore[attr-defined]
    found: DependsParam = Depends(check)
    return found


async def _sees_inside(request: Request) -> bool:
    account: Account | None = request.scope.get("account")
    if account is not None:
        return account.may("admin")
    return bool(request.scope.get("operator"))


AccountDep = Annotated[Account, Depends(_account)]
MaybeAccountDep = Annotated[Account | None, Depends(_account)]
"""On routes that are open to strangers."""
SettingsDep = Annotated[Settings, Depends(_settings)]
DatabaseDep = Annotated[Database, Depends(_database)]
StoreDep = Annotated[ObjectStore, Depends(_store)]
WatchDep = Annotated[WorkerWatch | None, Depends(_watch)]
StoreWatchDep = Annotated[StoreWatch, Depends(_store_watch)]

SeesInsideDep = Annotated[bool, Depends(_sees_inside)]
"""Whether the request may see how the deployment is doing: an admin's key, ``LIKENESS_METRICS_TOKEN``, or a service
without accounts."""

Limit = Annotated[int, Query(ge=1, le=100, description="Resources on a page")]
Cursor = Annotated[str | None, Query(max_length=64, description="next_cursor of the page before")]
