"""SQL that asks the database about itself."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session


class DeploymentRepository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def database_time(self) -> datetime:
        """What the database's clock says this moment; SQLite has none of its own and tells this machine's."""
        if self.session.get_bind().dialect.name == "sqlite":
            said = self.session.execute(text("select strftime('%Y-%m-%d %H:%M:%f', 'now')")).scalar_one()
            return datetime.fromisoformat(said).replace(tzinfo=UTC)
        return self.session.execute(text("select clock_timestamp()")).scalar_one().astimezone(UTC)
