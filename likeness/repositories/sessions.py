"""SQL on sessions of the dashboard."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from likeness.tables import SignIn


class SessionRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def add(self, digest: str, key_id: str, when: datetime, until: datetime) -> None:
        self.session.add(SignIn(digest=digest, key_id=key_id, created_at=when, expires_at=until))

    def key_of(self, digest: str, now: datetime) -> str | None:
        """Id of the key that a session was opened with; None when there is no such session any more."""
        query = select(SignIn.key_id).where(SignIn.digest == digest, SignIn.expires_at > now)
        return self.session.scalar(query)

    def delete(self, digest: str) -> None:
        self.session.execute(delete(SignIn).where(SignIn.digest == digest))

    def keep_newest(self, key_id: str, count: int) -> None:
        """End a key's sessions but the newest ones."""
        newest = (
            select(SignIn.digest)
            .where(SignIn.key_id == key_id)
            .order_by(SignIn.created_at.desc())
            .limit(count)
        )
        kept = list(self.session.scalars(newest))
        self.session.execute(delete(SignIn).where(SignIn.key_id == key_id, SignIn.digest.not_in(kept)))

    def any_old(self, now: datetime) -> bool:
        """Whether :meth:`forget_old` has something to do."""
        return self.session.scalar(select(SignIn.digest).where(SignIn.expires_at < now).limit(1)) is not None

    def forget_old(self, now: datetime) -> None:
        self.session.execute(delete(SignIn).where(SignIn.expires_at < now))
