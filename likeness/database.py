"""One engine for SQLite (embedded) and Postgres, sync, with explicit read and write transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.orm import Session

from likeness import clock
from likeness.settings import Settings


class Database:
    """Opens transactions. SQLite runs in WAL mode: readers and the writer never wait for each other."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        self.shared = self.engine.dialect.name != "sqlite"
        """Whether it may be used from several machines, whose clocks differ."""
        if not self.shared:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
            self._reading = self.engine
        else:
            # Postgres takes a snapshot for each statement in any case, so a BEGIN and a ROLLBACK around reads would
            # only be two more round trips.
            self._reading = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def of(cls, settings: Settings) -> Database:
        """The database of a deployment; its folder exists afterwards."""
        settings.prepare_folders()
        return cls(settings.resolved_database_url)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """For reading only. On SQLite all of it sees one state, on Postgres each statement its own."""
        with Session(self._reading, expire_on_commit=False) as session:
            self._tell_time(session)
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end of the block and rolls back when it raises.

        On SQLite it takes the write lock at its start (BEGIN IMMEDIATE): a transaction that reads first and
        writes later would otherwise fail half-way instead of waiting for its turn.
        """
        engine = self.engine.execution_options(likeness_write=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            self._tell_time(session)
            yield session

    def _tell_time(self, session: Session) -> None:
        """Let :mod:`likeness.clock` follow a database that several machines share."""
        if self.shared and clock.must_ask():
            clock.follow(session.execute(text("select clock_timestamp()")).scalar_one())

    def ping(self) -> None:
        """Raise whatever the driver raises when the database can't be reached."""
        with self.engine.connect() as connection:
            connection.execute(text("select 1"))

    def close(self) -> None:
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would hide ours
    cursor = connection.cursor()
    cursor.execute("pragma busy_timeout = 30000")
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = full")
    cursor.execute("pragma foreign_keys = on")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("likeness_write", False)
    connection.exec_driver_sql("begin immediate" if write else "begin")
