"""SQL of the measurements at /metrics. Each query reads what is alive now, or a bounded number of recent rows: none
grows with the history."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from likeness.ids import least_id
from likeness.repositories.outbox import due, waiting
from likeness.tables import Job, Stage, Wake, WebhookDelivery

LIVE = ("queued", "running", "canceling")
ENDED = ("succeeded", "failed", "canceled")

_LONGEST_JOB = timedelta(days=7)
"""Jobs that were asked for earlier are not looked at: ids sort by time, so this bounds what is read."""
_MOST_ROWS = 10_000
_MOST_WAITING = 500
"""Stages at the head of a queue among which the one that waits the longest is looked for."""


class MeasureRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def live_stages(self) -> Sequence[tuple[str, str, str, int]]:
        """Queue, stage name, status (queued or running) and how many."""
        query = (
            select(Stage.queue, Stage.name, Stage.status, func.count())
            .where(Stage.status.in_(("queued", "running")))
            .group_by(Stage.queue, Stage.name, Stage.status)
        )
        return [(queue, name, status, count) for queue, name, status, count in self.session.execute(query)]

    def silent(self, now: datetime) -> int:
        """Running stages whose worker has given no sign of life for the length of a lease."""
        query = select(func.count()).where(Stage.status == "running", Stage.lease_until < now)
        return self.session.scalar(query) or 0

    def oldest_wait(self, now: datetime, queue: str) -> float:
        """Seconds that the longest waiting of the queue's due stages has waited; 0 when none waits.

        A stage waits since it was queued, since the stage before it was done, since its pause was over, or since its
        last worker took it, whichever came last.
        """
        query = (
            select(Stage.id, Stage.job_id, Stage.queued_at, Stage.not_before, Stage.started_at)
            .where(*waiting(now, queue))
            .order_by(Stage.queued_at)
            .limit(_MOST_WAITING)
        )
        rows = self.session.execute(query).all()
        done = self.session.execute(
            select(Stage.job_id, func.max(Stage.finished_at).label("ended"))
            .where(Stage.job_id.in_({row.job_id for row in rows}), Stage.status == "succeeded")
            .group_by(Stage.job_id)
        )
        before = {row.job_id: row.ended for row in done}
        since = [
            max(
                filter(None, (row.queued_at, row.not_before, row.started_at, before.get(row.job_id))),
                default=now,
            )
            for row in rows
        ]
        return max(0.0, (now - min(since, default=now)).total_seconds())

    def live_jobs(self, kinds: Collection[str]) -> Counter[tuple[str, str]]:
        """How many jobs of these kinds have not ended, by kind and status. The index on jobs begins with the kind."""
        query = select(Job.kind, Job.status, func.count()).where(Job.status.in_(LIVE), Job.kind.in_(kinds))
        found = self.session.execute(query.group_by(Job.kind, Job.status))
        return Counter({(kind, status): count for kind, status, count in found})

    def ended(self, now: datetime, *, within: timedelta) -> Counter[tuple[str, str]]:
        """How many jobs ended in that time, by kind and status."""
        query = (
            select(Job.kind, Job.status, func.count())
            .where(
                Job.id >= least_id("job", now - within - _LONGEST_JOB),
                Job.status.in_(ENDED),
                Job.finished_at >= now - within,
            )
            .group_by(Job.kind, Job.status)
        )
        return Counter({(kind, status): count for kind, status, count in self.session.execute(query)})

    def durations(self, now: datetime, *, within: timedelta) -> Sequence[tuple[str, float]]:
        """Stage name and seconds of each run that ended well in that time; of the newest 10,000 stages."""
        newest = (
            select(Stage.name, Stage.status, Stage.reused, Stage.started_at, Stage.finished_at)
            .where(Stage.id >= least_id("stg", now - within - _LONGEST_JOB))
            .order_by(Stage.id.desc())
            .limit(_MOST_ROWS)
            .subquery()
        )
        query = select(newest.c.name, newest.c.started_at, newest.c.finished_at).where(
            newest.c.status == "succeeded",
            newest.c.reused.is_(False),
            newest.c.started_at.is_not(None),
            newest.c.finished_at >= now - within,
        )
        return [(name, (ended - began).total_seconds()) for name, began, ended in self.session.execute(query)]

    def outbox(self, now: datetime) -> tuple[int, float]:
        """Due wake-ups that were not yet sent, and for how many seconds the oldest has been due."""
        count, created, latest = self.session.execute(
            select(func.count(), func.min(Wake.created_at), func.min(Wake.not_before)).where(due(Wake, now))
        ).one()
        since = min(filter(None, (created if latest is None else max(created, latest),)), default=now)
        return count, max(0.0, (now - since).total_seconds())

    def deliveries(self) -> dict[str, int]:
        """Webhook deliveries that are pending, and that were given up; counted up to 10,000 each."""
        found = {}
        for status in ("pending", "failed"):
            some = (
                select(WebhookDelivery.id)
                .where(WebhookDelivery.status == status)
                .limit(_MOST_ROWS)
                .subquery()
            )
            found[status] = self.session.scalar(select(func.count()).select_from(some)) or 0
        return found
