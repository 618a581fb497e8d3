"""Who asks: tenants, their API keys, what a key may do, and how much a tenant may use.

A deployment has accounts (``LIKENESS_AUTH=keys``) or none (``local``: whoever reaches the port acts for the one
embedded tenant). Keys are random, shown once and kept as their sha256: what is random needs no slow hash.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.refusals import Forbidden, QuotaExceeded, RateLimited, Unauthenticated
from likeness.repositories.accounts import FoundKey, KeyRepository, TenantRepository, UsageRepository
from likeness.repositories.audit import AuditRepository
from likeness.tables import EMBEDDED, ApiKey, Tenant
from problems import Conflict, InvalidParameter, NotFound

log = logging.getLogger("likeness.accounts")

Scope = Literal["read", "train", "render", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "train", "render", "admin")
"""read: look at everything; train: uploads, consents, people, trainings, inspections; render: motions, videos;
admin: keys, webhooks, deletions and everything else."""
KEY_PREFIX = "lk_"
_SHOWN = len(KEY_PREFIX) + 8
_SEEN_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Limits:
    """What a tenant may use at most; None is no limit."""

    concurrent_jobs: int | None = None
    """Jobs that wait or run at the same time."""
    video_minutes_per_month: float | None = None
    """Minutes of video made in a calendar month (UTC)."""
    storage_bytes: int | None = None
    """Bytes of uploads that are kept."""
    requests_per_minute: int | None = None
    """Of each key; None is the deployment's own ``rate_per_minute``."""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Limits:
        """From a tenant's row."""
        return cls(**{name: stored.get(name) for name in (field.name for field in fields(cls))})


@dataclass(frozen=True)
class Account:
    """Who a request acts for."""

    tenant_id: str
    actor: str
    """An API key's id, or ``local``."""
    scopes: frozenset[str]
    limits: Limits = Limits()
    key_id: str | None = None
    session: str | None = None
    """Of a signed-in browser: what its session is known by (:mod:`likeness.sessions`)."""

    def may(self, *scopes: Scope) -> bool:
        """What any of these scopes allows. Admin may everything."""
        return "admin" in self.scopes or not self.scopes.isdisjoint(scopes)

    def require(self, *scopes: Scope) -> None:
        """Raise Forbidden with none of these scopes."""
        if not self.may(*scopes):
            wanted = " or ".join(scopes)
            raise Forbidden(
                f"this key may not do that: it lacks the scope {wanted}",
                remedy=f"use a key with the scope {wanted}; an admin makes one with POST /v1/api-keys",
                details={"scope": scopes[0], "scopes": sorted(self.scopes)},
            )


LOCAL = Account(EMBEDDED, "local", frozenset(SCOPES))
"""Everybody, where there are no accounts."""


# -- keys ----------------------------------------------------------------------------------------------------


def create_tenant(database: Database, name: str, limits: Limits | None = None) -> str:
    """Enter a tenant; returns the id."""
    if not name.strip():
        raise InvalidParameter("the tenant has no name", remedy="give one", details={"field": "name"})
    tenant = Tenant(id=new_id("ten"), name=name.strip(), limits=_stored(limits or Limits()), created_at=now())
    with database.write() as session:
        TenantRepository(session).add(tenant)
    return tenant.id


def set_limits(database: Database, tenant_id: str, limits: Limits) -> None:
    """Replace what a tenant may use."""
    with database.write() as session:
        tenant = _tenant(session, tenant_id)
        before, tenant.limits = tenant.limits, _stored(limits)
        details = {"before": before, "after": tenant.limits}
        AuditRepository(session).enter(tenant_id, "local", "tenant.limits_changed", tenant_id, details)


def create_key(
    database: Database, *, tenant_id: str, name: str, scopes: Iterable[str], actor: str = "local"
) -> tuple[ApiKey, str]:
    """Make a key; returns its row and the key itself, which nobody can read again.

    Raises:
        InvalidParameter: no scope, an unknown one, or no name.
        NotFound: no such tenant.
    """
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise InvalidParameter(
            f"{', '.join(unknown) or 'nothing'} is no scope",
            remedy=f"use one or more of {', '.join(SCOPES)}",
            details={"field": "scopes"},
        )
    if not name.strip():
        raise InvalidParameter("the key has no name", remedy="give one", details={"field": "name"})
    secret = KEY_PREFIX + base64.b32encode(secrets.token_bytes(30)).decode().lower()
    row = ApiKey(
        id=new_id("key"),
        tenant_id=tenant_id,
        name=name.strip(),
        prefix=secret[:_SHOWN],
        digest=_digest(secret),
        scopes=wanted,
        created_at=now(),
    )
    with database.write() as session:
        _tenant(session, tenant_id)
        KeyRepository(session).add(row)
        AuditRepository(session).enter(
            tenant_id,
            actor,
            "api_key.created",
            row.id,
            {"name": row.name, "scopes": wanted, "after": {"scopes": wanted, "revoked": False}},
        )
    return row, secret


def revoke_key(
    database: Database, key_id: str, *, tenant_id: str | None = None, actor: str = "local"
) -> None:
    """End a key; at once, for every process.

    Raises:
        NotFound: no such key.
        Conflict: it is the tenant's last key that may make keys.
    """
    with database.write() as session:
        keys = KeyRepository(session)
        row = keys.get(key_id)
        if row is None or (tenant_id is not None and row.tenant_id != tenant_id):
            raise NotFound(
                f"there is no key {key_id!r}",
                remedy="list keys with GET /v1/api-keys",
                details={"id": key_id},
            )
        TenantRepository(session).lock(row.tenant_id)
        session.refresh(row)
        if row.revoked_at is not None:
            return
        others = [key for key in keys.of_tenant(row.tenant_id) if key.id != key_id and not key.revoked_at]
        if (
            tenant_id is not None
            and "admin" in row.scopes
            and not any("admin" in key.scopes for key in others)
        ):
            raise Conflict(
                "this is the last key that may make keys",
                remedy="make another admin key first, or revoke it with `likeness keys revoke` on the server",
                details={"id": key_id},
            )
        row.revoked_at = now()
        details = {"before": {"scopes": row.scopes, "revoked": False}, "after": {"revoked": True}}
        AuditRepository(session).enter(row.tenant_id, actor, "api_key.revoked", key_id, details)


def authenticate(database: Database, secret: str) -> Account:
    """The account of a key.

    Raises:
        Unauthenticated: no such key, or it was revoked.
    """
    moment = now()
    with database.read() as session:
        found = KeyRepository(session).by_digest(_digest(secret))
    if found is None:
        raise Unauthenticated(
            "the key is not known, or was revoked",
            remedy="send Authorization: Bearer lk_… with a key of this service",
        )
    if found.last_used_at is None or moment - found.last_used_at > _SEEN_EVERY:
        try:
            with database.write() as session:
                KeyRepository(session).used(found.id, moment)
        except SQLAlchemyError:
            # On a full disk nothing can be written, but everything can still be looked at and deleted.
            log.warning("when a key was last used could not be written", exc_info=True)
    return account_of(found)


def account_of(found: FoundKey) -> Account:
    """Who acts with a key."""
    return Account(
        found.tenant_id, found.id, frozenset(found.scopes), Limits.of(found.limits), key_id=found.id
    )


# -- limits --------------------------------------------------------------------------------------------------


class RateLimiter:
    """A token bucket for each key, in this process: with several API processes each has its own."""

    _MOST = 10_000

    def __init__(self, clock: Any = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, who: str, per_minute: int) -> None:
        """Count one request.

        Raises:
            RateLimited: too many; ``details.retry_after_s`` says when to come again.
        """
        if per_minute <= 0:
            return
        moment = self._clock()
        tokens, since = self._buckets.get(who, (float(per_minute), moment))
        tokens = min(float(per_minute), tokens + (moment - since) * per_minute / 60)
        if tokens < 1:
            wait = (1 - tokens) * 60 / per_minute
            raise RateLimited(
                f"more than {per_minute} requests a minute",
                remedy="wait as Retry-After says; poll less often, or use events and webhooks instead",
                details={"retry_after_s": round(wait, 1), "per_minute": per_minute},
            )
        if len(self._buckets) >= self._MOST and who not in self._buckets:
            self._buckets.clear()  # everybody starts anew, which is better than to grow without bound
        self._buckets[who] = (tokens - 1, moment)


def require_room_for_job(session: Session, tenant_id: str, *, video: bool, count: int = 1) -> None:
    """Refuse further jobs to a tenant who has used what they may.

    Raises:
        QuotaExceeded: names the limit.
    """
    limits = Limits.of(_tenant(session, tenant_id).limits)
    usage = UsageRepository(session)
    if limits.concurrent_jobs is not None:
        TenantRepository(session).lock(tenant_id)
        active = usage.active_jobs(tenant_id)
        if active + count > limits.concurrent_jobs:
            raise _over("concurrent_jobs", limits.concurrent_jobs, active, "wait until one has ended")
    if video and limits.video_minutes_per_month is not None:
        start = month_start(now())
        minutes = usage.total(tenant_id, "video_seconds", start) / 60
        if minutes >= limits.video_minutes_per_month:
            raise _over(
                "video_minutes_per_month",
                limits.video_minutes_per_month,
                round(minutes, 1),
                "wait for next month",
            )


def require_room_for_bytes(session: Session, tenant_id: str, size: int) -> None:
    """Refuse an upload that would make a tenant keep more than they may.

    Raises:
        QuotaExceeded: names the limit.
    """
    limits = Limits.of(_tenant(session, tenant_id).limits)
    if limits.storage_bytes is not None:
        TenantRepository(session).lock(tenant_id)
        stored = UsageRepository(session).stored_bytes(tenant_id)
        if stored + size > limits.storage_bytes:
            raise _over("storage_bytes", limits.storage_bytes, stored, "delete uploads that are not needed")


def month_start(moment: datetime) -> datetime:
    """When the month of a moment began."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _over(limit: str, allowed: float, used: float, remedy: str) -> QuotaExceeded:
    return QuotaExceeded(
        f"the quota {limit} is used up: {used} of {allowed}",
        remedy=f"{remedy}, or ask the operator of this service for more",
        details={"limit": limit, "allowed": allowed, "used": used},
    )


def _tenant(session: Session, tenant_id: str) -> Tenant:
    tenant = TenantRepository(session).get(tenant_id)
    if tenant is None:
        raise NotFound(
            f"there is no tenant {tenant_id!r}",
            remedy="list them with `likeness keys list`",
            details={"id": tenant_id},
        )
    return tenant


def _stored(limits: Limits) -> dict[str, Any]:
    values = {field.name: getattr(limits, field.name) for field in fields(limits)}
    for name, value in values.items():
        if value is not None and value < 0:
            raise InvalidParameter(
                f"the limit {name} is negative", remedy="use 0 or more", details={"field": name}
            )
    return {name: value for name, value in values.items() if value is not None}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
