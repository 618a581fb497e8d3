"""Is it alive, is it ready."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import DatabaseDep, SeesInsideDep, SettingsDep, StoreWatchDep, WatchDep
from api.problem_details import answers
from api.schemas import CheckOut, HealthOut, ReadyOut
from likeness import VERSION
from likeness.health import checks
from likeness.refusals import NotReady

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=answers(), summary="Is the process alive")
def healthz() -> HealthOut:
    """Answers as long as the process does; says nothing of its parts."""
    return HealthOut(version=VERSION)


@router.get("/readyz", responses=answers(NotReady), summary="Can it do its work")
def readyz(
    database: DatabaseDep,
    settings: SettingsDep,
    watch: WatchDep,
    store_watch: StoreWatchDep,
    inside: SeesInsideDep,
) -> ReadyOut:
    """Database and schema, disk space, object store, a living worker, and loops that go well; 503 names what is
    missing. Where keys are needed, strangers hear only whether it is ready; an admin's key or `LIKENESS_METRICS_TOKEN`
    hears why."""
    found = checks(database, settings, watch, store_watch)
    if not inside:
        if not all(check.ok for check in found):
            raise NotReady(
                "a part of the service is missing right now",
                remedy="ask whoever runs it; with LIKENESS_METRICS_TOKEN or an admin's key this answer names the part",
            )
        return ReadyOut(checks=[])
    parts = [CheckOut(name=check.name, ok=check.ok, detail=check.detail) for check in found]
    if bad := [part for part in parts if not part.ok]:
        raise NotReady(
            "; ".join(f"{part.name}: {part.detail}" for part in bad),
            remedy="run `likeness doctor` on the machine, and see docs/operations.md",
            details={"checks": [part.model_dump() for part in parts]},
        )
    return ReadyOut(checks=parts)
