"""SQL on tenants, their keys, and what they have used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session, selectinload

from likeness.job_states import ACTIVE
from likeness.tables import ApiKey, Job, Tenant, Upload, UsageRecord


class TenantRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, tenant: Tenant) -> None:
        self.session.add(tenant)

    def get(self, tenant_id: str) -> Tenant | None:
        return self.session.get(Tenant, tenant_id)

    def lock(self, tenant_id: str) -> None:
        """Let what is counted for a tenant stand until this transaction ends: others that count wait."""
        self.session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True))

    def all(self) -> list[Tenant]:
        return list(self.session.scalars(select(Tenant).order_by(Tenant.id)))


@dataclass(frozen=True, slots=True)
class FoundKey:
    """A key that may be used, with its tenant's limits."""

    id: str
    tenant_id: str
    scopes: list[str]
    last_used_at: datetime | None
    limits: dict[str, Any]


class KeyRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, key: ApiKey) -> None:
        self.session.add(key)

    def get(self, key_id: str) -> ApiKey | None:
        return self.session.get(ApiKey, key_id)

    def of_tenant(self, tenant_id: str | None = None) -> list[ApiKey]:
        """Newest first, revoked ones included; of everybody without a tenant."""
        query = select(ApiKey).order_by(ApiKey.id.desc())
        if tenant_id is not None:
            query = query.where(ApiKey.tenant_id == tenant_id)
        return list(self.session.scalars(query))

    def by_digest(self, digest: str) -> FoundKey | None:
        """The key, unless it was revoked."""
        row = self.session.connection().execute(_BY_DIGEST, {"digest": digest}).one_or_none()
        return FoundKey(*row) if row is not None else None

    def by_id(self, key_id: str) -> FoundKey | None:
        """The same, by its id."""
        row = self.session.connection().execute(_BY_ID, {"id": key_id}).one_or_none()
        return FoundKey(*row) if row is not None else None

    def used(self, key_id: str, when: datetime) -> None:
        self.session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=when))


class UsageRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, tenant_id: str, job_id: str, kind: str, amount: float, when: datetime) -> None:
        self.session.add(
            UsageRecord(tenant_id=tenant_id, job_id=job_id, kind=kind, amount=amount, created_at=when)
        )

    def total(self, tenant_id: str, kind: str, since: datetime) -> float:
        """Of one kind, from a moment on."""
        query = select(func.coalesce(func.sum(UsageRecord.amount), 0.0)).where(
            UsageRecord.tenant_id == tenant_id, UsageRecord.kind == kind, UsageRecord.created_at >= since
        )
        return float(self.session.scalar(query) or 0.0)

    def by_day(self, tenant_id: str, since: datetime, until: datetime) -> list[tuple[str, str, float]]:
        """``(YYYY-MM-DD, kind, amount)``, the days in UTC."""
        query = (
            select(UsageRecord.created_at, UsageRecord.kind, UsageRecord.amount)
            .where(
                UsageRecord.tenant_id == tenant_id,
                UsageRecord.created_at >= since,
                UsageRecord.created_at < until,
            )
            .order_by(UsageRecord.id)
        )
        sums: dict[tuple[str, str], float] = {}
        for when, kind, amount in self.session.execute(query):
            day = (when.date().isoformat(), kind)
            sums[day] = sums.get(day, 0.0) + amount
        return [(day, kind, amount) for (day, kind), amount in sorted(sums.items())]

    def active_jobs(self, tenant_id: str) -> int:
        query = select(func.count()).where(Job.tenant_id == tenant_id, Job.status.in_(ACTIVE))
        return self.session.scalar(query) or 0

    def stored_bytes(self, tenant_id: str) -> int:
        """Bytes of uploads, those included that are still coming in."""
        query = select(func.coalesce(func.sum(Upload.size), 0)).where(
            Upload.tenant_id == tenant_id, Upload.deleting_at.is_(None)
        )
        return int(self.session.scalar(query) or 0)

    def work_per_video_second(self, *, last: int = 50) -> float | None:
        """Seconds of work for a second of video, over the newest videos; None when none was made yet."""
        made = (
            select(UsageRecord.job_id, func.sum(UsageRecord.amount).label("seconds"))
            .where(UsageRecord.kind == "video_seconds")
            .group_by(UsageRecord.job_id)
            .order_by(UsageRecord.job_id.desc())
            .limit(last)
            .subquery()
        )
        work = select(func.sum(UsageRecord.amount)).where(
            UsageRecord.job_id.in_(select(made.c.job_id)), UsageRecord.kind.in_(_WORK)
        )
        seconds = self.session.scalar(select(func.sum(made.c.seconds)))
        spent = self.session.scalar(work)
        return float(spent) / float(seconds) if seconds and spent else None

    def mean_training_seconds(self, preset: str, *, last: int = 50) -> float | None:
        """Of the newest trainings with a preset that ran every stage; None when there was none."""
        jobs = self.session.scalars(
            select(Job)
            .where(Job.kind == "training", Job.status == "succeeded")
            .order_by(Job.id.desc())
            .limit(last)
            .options(selectinload(Job.stages))
        )
        spent = [
            sum(
                (stage.finished_at - stage.started_at).total_seconds()
                for stage in job.stages
                if stage.finished_at is not None and stage.started_at is not None
            )
            for job in jobs
            if job.params.get("preset") == preset and not any(stage.reused for stage in job.stages)
        ]
        return sum(spent) / len(spent) if spent else None


_WORK = ("cpu_seconds", "gpu_seconds")
_keys, _tenants = ApiKey.__table__.c, Tenant.__table__.c
_FOUND = (
    select(_keys.id, _keys.tenant_id, _keys.scopes, _keys.last_used_at, _tenants.limits)
    .select_from(_keys.id.table.join(_tenants.id.table, _tenants.id == _keys.tenant_id))
    .where(_keys.revoked_at.is_(None))
)
_BY_DIGEST = _FOUND.where(_keys.digest == bindparam("digest"))
_BY_ID = _FOUND.where(_keys.id == bindparam("id"))
