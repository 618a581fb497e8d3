"""What a tenant used, did, and may expect."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import AccountDep, Cursor, DatabaseDep, Limit, needs
from api.problem_details import answers, changes
from api.schemas import AuditOut, EstimateIn, EstimateOut, ListOut, UsageDay, UsageOut
from likeness.accounts import month_start
from likeness.clock import now
from likeness.estimates import estimate
from likeness.repositories.accounts import UsageRepository
from likeness.repositories.audit import AuditRepository
from problems import InvalidParameter

router = APIRouter(tags=["account"])
_LONGEST = timedelta(days=366)


@router.get(
    "/v1/usage", responses=answers(InvalidParameter), dependencies=[needs("read")], summary="What was used"
)
def get_usage(
    account: AccountDep,
    database: DatabaseDep,
    since: Annotated[datetime | None, Query(description="Default: the beginning of this month")] = None,
    until: Annotated[datetime | None, Query(description="Default: now")] = None,
) -> UsageOut:
    """Of finished work, by day (UTC); it outlives the jobs. With the quotas and what counts against them."""
    end = _utc(until) if until else now()
    start = _utc(since) if since else month_start(end)
    if start >= end or end - start > _LONGEST:
        raise InvalidParameter(
            "since must be before until, and not more than a year",
            remedy="send times such as 2026-11-01T00:00:00Z",
            details={"field": "since"},
        )
    with database.read() as session:
        usage = UsageRepository(session)
        days = usage.by_day(account.tenant_id, start, end)
        stored, active = usage.stored_bytes(account.tenant_id), usage.active_jobs(account.tenant_id)
    totals: dict[str, float] = {}
    for _, kind, amount in days:
        totals[kind] = totals.get(kind, 0.0) + amount
    return UsageOut(
        since=start,
        until=end,
        totals=totals,
        days=[UsageDay(date=day, kind=kind, amount=amount) for day, kind, amount in days],
        stored_bytes=stored,
        active_jobs=active,
        limits=asdict(account.limits),
    )


@router.post(
    "/v1/estimates", responses=changes(), dependencies=[needs("read")], summary="How long it would take"
)
def make_estimate(body: EstimateIn, database: DatabaseDep) -> EstimateOut:
    """From what the same took on this service, else from measurements."""
    with database.read() as session:
        found = estimate(session, kind=body.kind, preset=body.preset, seconds=body.seconds)
    return EstimateOut(
        compute_seconds=found.compute_seconds,
        eta_seconds=found.eta_seconds,
        queue_ahead=found.queue_ahead,
        basis="history" if found.from_history else "default",
    )


@router.get(
    "/v1/audit-events",
    responses=answers(InvalidParameter),
    dependencies=[needs("admin")],
    summary="Who did what",
)
def list_audit_events(
    account: AccountDep,
    database: DatabaseDep,
    subject: Annotated[str | None, Query(max_length=64, description="Only what was done to this")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> ListOut[AuditOut]:
    """Newest first; every request that changed something and what it changed, downloads, sign-ins and refusals."""
    with database.read() as session:
        page = AuditRepository(session).page(account.tenant_id, limit=limit, cursor=cursor, subject=subject)
        views = [AuditOut.model_validate(row, from_attributes=True) for row in page.rows]
        return ListOut(data=views, next_cursor=page.next_cursor)


def _utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:  # midnight of the first of all days, somewhere east of here
        raise InvalidParameter(
            "the time is before the first or after the last day of the calendar",
            remedy="send times such as 2026-11-01T00:00:00Z",
            details={"field": "since"},
        ) from None
