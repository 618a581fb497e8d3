"""SQL on the audit log; it is only ever added to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from likeness.clock import now
from likeness.ids import new_id
from likeness.repositories.pages import Page, read_page
from likeness.tables import AuditEvent


class AuditRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def enter(
        self, tenant_id: str, actor: str, action: str, subject: str, details: Mapping[str, Any]
    ) -> None:
        """Write down who did what to which resource; ``details`` never hold a secret."""
        self.session.add(
            AuditEvent(
                id=new_id("aud"),
                tenant_id=tenant_id,
                actor=actor,
                action=action,
                subject=subject[:64],
                details=dict(details),
                created_at=now(),
            )
        )

    def page(
        self, tenant_id: str, *, limit: int, cursor: str | None, subject: str | None = None
    ) -> Page[AuditEvent]:
        query = select(AuditEvent).where(AuditEvent.tenant_id == tenant_id)
        if subject:
            query = query.where(AuditEvent.subject == subject)
        return read_page(self.session, query, AuditEvent.id, limit=limit, cursor=cursor)
