"""The deployment as an operator sees it."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import DatabaseDep, SettingsDep, StoreWatchDep, WatchDep, needs
from api.problem_details import answers
from api.schemas import CheckOut, SystemOut, WorkerOut
from likeness import VERSION
from likeness.clock import now
from likeness.database import Database
from likeness.health import WorkerWatch, alive_within, checks
from likeness.repositories.leases import QUEUES
from likeness.repositories.workers import WorkerRepository
from likeness.settings import Settings
from likeness.store_watch import StoreWatch

router = APIRouter(tags=["system"])


@router.get("/v1/system", responses=answers(), dependencies=[needs("admin")], summary="The deployment")
def get_system(
    database: DatabaseDep, settings: SettingsDep, watch: WatchDep, store_watch: StoreWatchDep
) -> SystemOut:
    """Its parts, who works, and what waits."""
    return describe_system(database, settings, watch, store_watch)


def describe_system(
    database: Database, settings: Settings, watch: WorkerWatch | None, store_watch: StoreWatch
) -> SystemOut:
    """What both the API and the dashboard show."""
    found = checks(database, settings, watch, store_watch)
    moment = now()
    with database.read() as session:
        workers = WorkerRepository(session)
        register = workers.all()
        counts = workers.stage_counts()
    return SystemOut(
        version=VERSION,
        auth=settings.auth,
        consent=settings.consent,
        checks=[CheckOut(name=check.name, ok=check.ok, detail=check.detail) for check in found],
        workers=[
            WorkerOut(
                id=worker.id,
                queues=[queue for queue in worker.queues.split(",") if queue],
                alive=moment - worker.last_seen <= alive_within(settings),
                started_at=worker.started_at,
                last_seen=worker.last_seen,
            )
            for worker in register
        ],
        queues={
            queue: {status: counts.get((queue, status), 0) for status in ("queued", "running")}
            for queue in QUEUES
        },
    )
