"""SQL on whose turn it is: which stage a worker takes next, and how many it would take before a certain one.

Turns go to the tenant with the fewest running stages, of several to the one that was served the longest ago; within a
tenant by priority and age. So somebody's thousand jobs delay another's first by no more than what runs already, and the
cost grows with the tenants that wait, not with their jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    Executable,
    Integer,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    union,
    union_all,
)
from sqlalchemy.orm import Session

from likeness.repositories.outbox import waiting
from likeness.tables import Stage, Tenant, Worker

MOST_AHEAD = 1000
"""Where counting those who come before somebody ends: it must not grow with the queue."""
_SEEN_WITHIN = timedelta(seconds=120)
"""A worker that was not seen for so long takes nothing."""


class _Turn(NamedTuple):
    """A tenant and how many stages of it run."""

    tenant_id: str
    running: int


class TurnRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def next(self, now: datetime, queues: Sequence[str]) -> Stage | None:
        """The stage whose turn it is in these queues, locked; what another worker is just taking is passed over."""
        # Of so many tenants, some stage is not just being taken by another worker.
        for turn in self._turns(now, queues, limit=64):
            found = []
            for queue in queues:  # one at a time: of two queues at once the database would sort all
                query = (
                    select(Stage)
                    .where(*waiting(now, queue), Stage.tenant_id == turn.tenant_id)
                    .order_by(Stage.priority, Stage.queued_at, Stage.id)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                )
                if (stage := self.session.scalar(query)) is not None:
                    found.append(stage)
            if found:
                return min(found, key=lambda stage: (stage.priority, stage.queued_at or now, stage.id))
        return None

    def ahead(self, job_id: str, now: datetime) -> int:
        """How many waiting stages are taken before the one that this job waits with, ``MOST_AHEAD`` at most.

        A claim makes its tenant run one more, so of the tenant's n-th waiting stage and of everybody else's it is known
        when its turn comes: at level n + what the tenant runs. On one level the tenant that ran more at the start goes
        first, since the other was served meanwhile; of two that ran equally much, the one served the longest ago.
        """
        mine = self.session.connection().execute(_MINE, {"job_id": job_id}).one_or_none()
        if mine is None:
            return 0
        queues = self._taken_with(mine.queue, now)
        own = self._count(_OWN, {**mine._mapping, "queues": queues, "now": now})
        turns = self._turns(now, queues, also=mine.tenant_id)
        place, me = next((n, turn) for n, turn in enumerate(turns) if turn.tenant_id == mine.tenant_id)
        level, most = me.running + own, {}
        for n, other in enumerate(turns):
            first = other.running > me.running or (other.running == me.running and n < place)
            if n != place and level - other.running + first > 0:
                most[other.tenant_id] = level - other.running + first
        return min(own + self._waiting(most, queues, now), MOST_AHEAD)

    def _waiting(self, most: Mapping[str, int], queues: Sequence[str], now: datetime) -> int:
        """How many due stages wait in these queues, of each tenant so many at most; ``MOST_AHEAD`` or a few more."""
        count, tenants = 0, list(most)
        for start in range(0, len(tenants), _AT_ONCE):
            if count >= MOST_AHEAD:
                break
            some = tenants[start : start + _AT_ONCE]
            values: dict[str, Any] = {"queues": queues, "now": now}
            for n, tenant_id in enumerate(some):
                values |= {f"tenant_{n}": tenant_id, f"most_{n}": min(most[tenant_id], MOST_AHEAD)}
            count += self._count(_others(len(some)), values)
        return count

    def _count(self, statement: Executable, values: Mapping[str, Any]) -> int:
        return int(self.session.connection().execute(statement, values).scalar_one())

    def _taken_with(self, queue: str, now: datetime) -> list[str]:
        """The queues of the worker that takes stages from this one; of several workers, the one with the fewest."""
        rows = self.session.connection().execute(_WORKERS, {"since": now - _SEEN_WITHIN})
        sets = [names.split(",") for (names,) in rows]
        return min((names for names in sets if queue in names), key=len, default=[queue])

    def _turns(
        self, now: datetime, queues: Sequence[str], *, also: str = "", limit: int = 1_000_000
    ) -> list[_Turn]:
        """Tenants that have something to do in these queues, and one more, whose turn it is first."""
        values: dict[str, Any] = {"now": now, "most": limit, **({"also": also} if also else {})}
        rows = self.session.connection().execute(_turns_in(tuple(queues), bool(also)), values)
        return [_Turn(tenant_id, stages) for tenant_id, stages in rows]


# Made once, since many clients poll: to build and hash a statement anew costs more than to run it.

_AT_ONCE = 50
"""Tenants whose waiting stages are counted by one statement."""
_stages, _tenants, _workers = Stage.__table__.c, Tenant.__table__.c, Worker.__table__.c
_NOW: BindParameter[datetime] = bindparam("now", type_=_stages.not_before.type)
_QUEUES: BindParameter[Sequence[str]] = bindparam("queues", expanding=True)
_WAITS = (_stages.status == "queued", or_(_stages.not_before.is_(None), _stages.not_before <= _NOW))
_OF_MINE = ("tenant_id", "queue", "priority", "queued_at", "id")
_MINE = select(*(_stages[name] for name in _OF_MINE)).where(
    _stages.job_id == bindparam("job_id"), _stages.status == "queued"
)
_AGE: BindParameter[datetime] = bindparam("queued_at", type_=_stages.queued_at.type)
_PRIORITY: BindParameter[int] = bindparam("priority")
_OWN = select(func.count()).select_from(
    select(literal_column("1"))
    .where(
        *_WAITS,
        _stages.queue.in_(_QUEUES),
        _stages.tenant_id == bindparam("tenant_id"),
        or_(
            _stages.priority < _PRIORITY,
            and_(_stages.priority == _PRIORITY, _stages.queued_at < _AGE),
            and_(_stages.priority == _PRIORITY, _stages.queued_at == _AGE, _stages.id < bindparam("id")),
        ),
    )
    .limit(MOST_AHEAD)
    .subquery()
)
_WORKERS = (
    select(_workers.queues)
    .where(_workers.last_seen >= bindparam("since", type_=_workers.last_seen.type))
    .distinct()
)


@cache
def _others(tenants: int) -> Executable:
    """The sum over so many tenants of their waiting stages, each counted up to a limit of its own."""
    counts = [
        select(func.count().label("stages")).select_from(
            select(literal_column("1"))
            .where(*_WAITS, _stages.queue.in_(_QUEUES), _stages.tenant_id == bindparam(f"tenant_{n}"))
            .limit(bindparam(f"most_{n}", type_=Integer))
            .subquery()
        )
        for n in range(tenants)
    ]
    counted = union_all(*counts).subquery()
    return select(func.sum(counted.c.stages))


@cache
def _turns_in(queues: tuple[str, ...], also: bool) -> Executable:
    running = (
        select(_stages.tenant_id, func.count().label("stages"))
        .where(_stages.status == "running")
        .group_by(_stages.tenant_id)
        .subquery()
    )
    served = select(func.max(_stages.started_at)).where(_stages.tenant_id == _tenants.id).scalar_subquery()
    waits = [
        exists().where(*_WAITS, _stages.queue == queue, _stages.tenant_id == _tenants.id) for queue in queues
    ]
    who = or_(*waits)
    if also:
        # Not "or id = …" beside the exists: Postgres would then read every waiting stage for it.
        named = select(_tenants.id).where(_tenants.id == bindparam("also"))
        who = _tenants.id.in_(union(select(_tenants.id).where(who), named))
    stages = func.coalesce(running.c.stages, 0)
    return (
        select(_tenants.id, stages)
        .select_from(_tenants.id.table.outerjoin(running, running.c.tenant_id == _tenants.id))
        .where(who)
        .order_by(stages, served.asc().nulls_first(), _tenants.id)
        .limit(bindparam("most", type_=Integer))
    )
