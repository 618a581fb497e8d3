"""The application: routes, errors, the gate around them. ``likeness up`` serves it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.staticfiles import StaticFiles

from api import problem_details
from api.audit_trail import AuditTrail
from api.dashboard import pages, sessions
from api.doorkeeper import Doorkeeper
from api.gate import Gate
from api.head import HeadAsGet
from api.measures import RequestMeasures, RowMeasures
from api.openapi import describe_api
from api.routes import (
    account,
    api_keys,
    batches,
    consents,
    deletions,
    health,
    inspections,
    jobs,
    metrics,
    motions,
    objects,
    persons,
    system,
    trainings,
    uploads,
    verifications,
    videos,
    webhooks,
)
from api.same_request import free_keys
from likeness import VERSION
from likeness.database import Database
from likeness.health import WorkerWatch
from likeness.settings import Settings
from likeness.store_watch import StoreWatch
from likeness.stores import store_of

_STATIC = Path(__file__).parent / "dashboard" / "static"


def create_app(settings: Settings | None = None, *, watch: WorkerWatch | None = None) -> FastAPI:
    """Make the application. The database must have been migrated; ``watch`` asks the embedded supervisor."""
    settings = settings or Settings()
    database = Database.of(settings)
    trail = AuditTrail(database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if watch is not None:  # the embedded service: one process at a time
            free_keys(database)
        with app.state.store_watch.watching():
            yield
        trail.close()
        database.close()

    app = FastAPI(
        title="Likeness",
        version=VERSION,
        summary="Learn a person from one clip; then any recording becomes a video of them saying it.",
        # The framework's pages would load scripts from another host; api/dashboard/reference.py has one that does not.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.trail = trail
    app.state.settings, app.state.database, app.state.watch = settings, database, watch
    app.state.store = store_of(settings)
    app.state.store_watch = StoreWatch(app.state.store)
    app.state.registry = CollectorRegistry()
    app.state.registry.register(RowMeasures(database, settings))
    app.state.error_page = pages.error_page
    problem_details.install(app)
    for module in (
        uploads,
        inspections,
        consents,
        persons,
        trainings,
        motions,
        videos,
        batches,
        jobs,
        verifications,
        deletions,
        webhooks,
        api_keys,
        account,
        system,
        objects,
        health,
        metrics,
    ):
        app.include_router(module.router)
    app.include_router(pages.router, include_in_schema=False)
    app.include_router(sessions.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_middleware(HeadAsGet)
    app.add_middleware(Doorkeeper, settings=settings, database=database, trail=trail)
    app.add_middleware(
        Gate,
        allowed_hosts=settings.allowed_hosts,
        measures=RequestMeasures(app.state.registry),
        trail=trail,
        media_origin=app.state.store.address_origin,
    )

    @functools.cache
    def description() -> dict[str, Any]:
        return describe_api(app, settings)

    app.openapi = description  # type: ignore[method-assign]
    return app
