"""SQL on requests that may come twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from likeness.refusals import InProgress, KeyReused
from likeness.tables import IdempotencyKey

KEPT_FOR = timedelta(hours=24)
ABANDONED_AFTER = timedelta(minutes=1)
"""Whoever answers a request says several times in this time that it still does: else its process is gone. More than a
writer of SQLite may have to wait for its turn."""
UNREAD = ""
"""The fingerprint of a request whose body is still coming in."""


@dataclass(frozen=True)
class Replay:
    """The answer that the first request got."""

    status: int
    headers: dict[str, Any]
    body: bytes
    fingerprint: str
    """Of the first request."""

    def require_same(self, key: str, fingerprint: str) -> None:
        """Raise KeyReused when the first request was another one."""
        if fingerprint != self.fingerprint:
            raise _reused(key)


class IdempotencyRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def begin(self, tenant_id: str, key: str, fingerprint: str, now: datetime) -> Replay | None:
        """Take the key for a first request (None), or find the answer that its first request got.

        ``now`` is what :meth:`beat`, :meth:`keep` and :meth:`release` then know the request by. Whoever gets an answer
        to a request whose body was not read yet (``UNREAD``) reads it and calls :meth:`Replay.require_same`.

        Raises:
            InProgress: the first one has not been answered yet.
            KeyReused: the first one was another request.
        """
        row = self.session.get(IdempotencyKey, (tenant_id, key), with_for_update=True)
        if row is not None and (
            now - row.created_at > KEPT_FOR or (row.status is None and now - row.created_at > ABANDONED_AFTER)
        ):
            self.session.delete(row)
            self.session.flush()
            row = None
        if row is None:
            try:
                with self.session.begin_nested():
                    self.session.add(
                        IdempotencyKey(tenant_id=tenant_id, key=key, fingerprint=fingerprint, created_at=now)
                    )
            except IntegrityError:  # Postgres: another one took it between our look and our insert
                raise _in_progress(key) from None
            return None
        if UNREAD not in (row.fingerprint, fingerprint) and row.fingerprint != fingerprint:
            raise _reused(key)
        if row.status is None:
            raise _in_progress(key)
        return Replay(row.status, dict(row.headers or {}), row.body or b"", row.fingerprint)

    def beat(self, tenant_id: str, key: str, since: datetime, now: datetime) -> bool:
        """Say that a request is still being answered; False when another one has taken its place."""
        return self._change(tenant_id, key, since, created_at=now)

    def keep(
        self,
        tenant_id: str,
        key: str,
        since: datetime,
        *,
        fingerprint: str,
        status: int,
        headers: dict[str, Any],
        body: bytes,
    ) -> bool:
        """Remember the answer; False when another request has taken this one's place."""
        return self._change(
            tenant_id, key, since, fingerprint=fingerprint, status=status, headers=headers, body=body
        )

    def release(self, tenant_id: str, key: str, since: datetime) -> None:
        """Forget a request that was not answered for good: the next one is a first one."""
        self.session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.tenant_id == tenant_id,
                IdempotencyKey.key == key,
                IdempotencyKey.created_at == since,
                IdempotencyKey.status.is_(None),
            )
        )

    def release_all(self) -> None:
        """Forget every request that was not answered: for the start of a service that is the only one."""
        self.session.execute(delete(IdempotencyKey).where(IdempotencyKey.status.is_(None)))

    def _change(self, tenant_id: str, key: str, since: datetime, **values: Any) -> bool:
        changed = self.session.execute(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.tenant_id == tenant_id,
                IdempotencyKey.key == key,
                IdempotencyKey.created_at == since,
                IdempotencyKey.status.is_(None),
            )
            .values(**values)
            .returning(IdempotencyKey.key)
        )
        return changed.first() is not None

    def any_old(self, now: datetime) -> bool:
        """Whether :meth:`forget_old` has something to do."""
        query = select(IdempotencyKey.key).where(IdempotencyKey.created_at < now - KEPT_FOR)
        return self.session.scalar(query.limit(1)) is not None

    def forget_old(self, now: datetime) -> None:
        self.session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEPT_FOR))


def _reused(key: str) -> KeyReused:
    return KeyReused(
        f"the Idempotency-Key {key[:80]!r} was used with another request",
        remedy="use a new key for each request, and the same key only to send the very same one again",
        details={"field": "Idempotency-Key"},
    )


def _in_progress(key: str) -> InProgress:
    return InProgress(
        f"the request with the Idempotency-Key {key[:80]!r} has not been answered yet",
        remedy="wait a second and send it again",
        details={"retry_after_s": 1},
    )
