"""The database's schema and its migrations, which lie in ``migrations/`` at the root of the checkout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from likeness.database import Database
from problems import InternalProblem

_ROOT = Path(__file__).resolve().parents[1]


def migrate(database: Database, revision: str = "head") -> None:
    """Bring the database up to ``revision``; nothing happens when it is there already."""
    with _changing(database) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the database down to ``revision``; ``base`` removes every table."""
    with _changing(database) as connection:
        command.downgrade(_config(connection), revision)


def current_revision(database: Database) -> str | None:
    """The revision the database is on; None when it is empty."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


@cache
def head_revision() -> str | None:
    """The newest revision the code knows."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


@contextmanager
def _changing(database: Database) -> Iterator[Connection]:
    """A transaction in which tables may be made anew.

    SQLite alters a table by copying it and dropping the old one, and with foreign keys on a drop deletes the rows that
    point to it. So they are off meanwhile (which only works before the transaction), and checked before the commit.
    """
    if database.engine.dialect.name != "sqlite":
        with database.engine.begin() as connection:
            yield connection
        return
    with database.engine.connect().execution_options(likeness_write=True) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("pragma foreign_keys = off")
        try:
            with connection.begin():
                yield connection
                broken = connection.exec_driver_sql("pragma foreign_key_check").all()
                if broken:
                    raise InternalProblem(
                        f"rows would be left without what they point to: {broken[:3]}",
                        remedy="nothing was changed; report this with the version you came from",
                    )
        finally:
            driver.execute("pragma foreign_keys = on")


def _config(connection: object | None) -> Config:
    config = Config(_ROOT / "alembic.ini")
    config.set_main_option("script_location", str(_ROOT / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
