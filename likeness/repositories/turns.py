"""SQL on whose turn it is: which stage a worker takes next, and how many it would take before a certain one.

Turns go to the tenant with the fewest running stages, of several to the one that was served the longest ago; within a
tenant by priority and age. So somebody's thousand jobs delay another's first by no more than what runs already, and the
cost grows with the tenants that wait, not with their jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
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
        mine = self.session.scalar(select(Stage).where(Stage.job_id == job_id, Stage.status == "queued"))
        if mine is None:
            return 0
        queues = self._taken_with(mine.queue, now)
        before = or_(
            Stage.priority < mine.priority,
            and_(Stage.priority == mine.priority, Stage.queued_at < mine.queued_at),
            and_(Stage.priority == mine.priority, Stage.queued_at == mine.queued_at, Stage.id < mine.id),
        )
        own = self._waiting(mine.tenant_id, now, queues, before, limit=MOST_AHEAD)
        turns = self._turns(now, queues, also=mine.tenant_id)
        place, me = next((n, turn) for n, turn in enumerate(turns) if turn.tenant_id == mine.tenant_id)
        level, count = me.running + own, own
        for n, other in enumerate(turns):
            if n == place:
                continue
            if count >= MOST_AHEAD:
                break
            first = other.running > me.running or (other.running == me.running and n < place)
            most = min(level - other.running + first, MOST_AHEAD - count)
            if most > 0:
                count += self._waiting(other.tenant_id, now, queues, limit=most)
        return min(count, MOST_AHEAD)

    def _waiting(
        self,
        tenant_id: str,
        now: datetime,
        queues: Sequence[str],
        *which: ColumnElement[bool],
        limit: int,
    ) -> int:
        """How many due stages of a tenant wait in these queues, counted up to ``limit``."""
        count = 0
        for queue in queues:
            some = (
                select(Stage.id)
                .where(*waiting(now, queue), Stage.tenant_id == tenant_id, *which)
                .limit(limit)
                .subquery()
            )
            count += self.session.scalar(select(func.count()).select_from(some)) or 0
        return min(count, limit)

    def _taken_with(self, queue: str, now: datetime) -> list[str]:
        """The queues of the worker that takes stages from this one; of several workers, the one with the fewest."""
        query = select(Worker.queues).where(Worker.last_seen >= now - _SEEN_WITHIN).distinct()
        sets = [names.split(",") for names in self.session.scalars(query)]
        return min((names for names in sets if queue in names), key=len, default=[queue])

    def _turns(
        self, now: datetime, queues: Sequence[str], *, also: str | None = None, limit: int | None = None
    ) -> list[_Turn]:
        """Tenants that have something to do in these queues, and one more, whose turn it is first."""
        running = (
            select(Stage.tenant_id, func.count().label("stages"))
            .where(Stage.status == "running")
            .group_by(Stage.tenant_id)
            .subquery()
        )
        served = select(func.max(Stage.started_at)).where(Stage.tenant_id == Tenant.id).scalar_subquery()
        busy = func.coalesce(running.c.stages, 0)
        waits: list[ColumnElement[bool]] = [
            exists().where(*waiting(now, queue), Stage.tenant_id == Tenant.id) for queue in queues
        ]
        if also is not None:
            waits.append(Tenant.id == also)
        query = (
            select(Tenant.id, busy)
            .outerjoin(running, running.c.tenant_id == Tenant.id)
            .where(or_(*waits))
            .order_by(busy, served.asc().nulls_first(), Tenant.id)
        )
        if limit is not None:
            query = query.limit(limit)
        return [_Turn(tenant_id, stages) for tenant_id, stages in self.session.execute(query)]
