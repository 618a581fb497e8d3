"""The database's schema and its migrations, which lie in ``migrations/`` at the root of the checkout."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from likeness.database import Database

_ROOT = Path(__file__).resolve().parents[1]


def migrate(database: Database, revision: str = "head") -> None:
    """Bring the database up to ``revision``; nothing happens when it is there already."""
    with database.engine.begin() as connection:
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the database down to ``revision``; ``base`` removes every table."""
    with database.engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def current_revision(database: Database) -> str | None:
    """The revision the database is on; None when it is empty."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@cache
def head_revision() -> str | None:
    """The newest revision the code knows."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def _config(connection: object | None) -> Config:
    config = Config(_ROOT / "alembic.ini")
    config.set_main_option("script_location", str(_ROOT / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
