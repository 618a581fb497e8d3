"""Alembic's entry: on the connection from ``likeness.schema``, else on the database of the settings."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from likeness.database import Database
from likeness.settings import Settings
from likeness.tables import Base


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by copying it
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    database = Database.of(Settings())
    with database.engine.begin() as connection:
        _run(connection)
    database.close()
