"""SQL on deletions and their receipts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from likeness.ids import new_id
from likeness.repositories.pages import Page, read_page
from likeness.repositories.traces import TraceRepository
from likeness.tables import Deletion


class DeletionRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def open(self, tenant_id: str, subject: str, marked: Iterable[str], when: datetime) -> Deletion:
        """Begin the receipt of a deletion of ``subject`` that takes all ``marked`` ids with it."""
        deletion = Deletion(
            id=new_id("del"),
            tenant_id=tenant_id,
            subject=subject,
            status="pending",
            receipt={"waiting": sorted({subject, *marked}), "deleted": [], "rows": {}, "objects": []},
            created_at=when,
        )
        self.session.add(deletion)
        return deletion

    def get(self, deletion_id: str) -> Deletion | None:
        return self.session.get(Deletion, deletion_id)

    def of_subject(self, subject: str) -> Deletion | None:
        """The newest deletion of something."""
        query = select(Deletion).where(Deletion.subject == subject).order_by(Deletion.id.desc()).limit(1)
        return self.session.scalar(query)

    def page(self, tenant_id: str, *, limit: int, cursor: str | None) -> Page[Deletion]:
        query = select(Deletion).where(Deletion.tenant_id == tenant_id)
        return read_page(self.session, query, Deletion.id, limit=limit, cursor=cursor)

    def gone(
        self,
        identifier: str,
        rows: Mapping[str, int],
        objects: Iterable[str],
        when: datetime,
        *,
        last: bool = True,
    ) -> None:
        """Enter what went with ``identifier`` into every receipt that waits for it; ``last`` unless more of it is to
        come.
        """
        keys = list(objects)
        pending = select(Deletion).where(Deletion.status == "pending").order_by(Deletion.id).with_for_update()
        for deletion in self.session.scalars(pending):
            receipt = deletion.receipt
            if identifier not in receipt["waiting"]:
                continue
            TraceRepository(self.session).forget(deletion.tenant_id, identifier)
            counts = dict(receipt["rows"])
            for table, count in rows.items():
                if count:
                    counts[table] = counts.get(table, 0) + count
            waiting = [each for each in receipt["waiting"] if not (last and each == identifier)]
            deletion.receipt = {
                "waiting": waiting,
                "deleted": [*receipt["deleted"], *([identifier] if last else [])],
                "rows": counts,
                "objects": sorted({*receipt["objects"], *keys}),
            }
            if not waiting:
                deletion.status, deletion.finished_at = "done", when
