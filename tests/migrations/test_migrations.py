"""The migrations, up and down, on both databases, against the tables that the code declares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from likeness.database import Database
from likeness.schema import current_revision, downgrade, head_revision, migrate
from likeness.settings import Settings
from likeness.tables import Base


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    postgres = request.param == "postgres"
    database = Database(request.getfixturevalue("postgres_url")) if postgres else Database.of(settings)
    yield database
    database.close()


def test_up_and_down_and_up_again(empty: Database) -> None:
    assert current_revision(empty) is None
    migrate(empty)
    assert current_revision(empty) == head_revision() is not None
    tables = set(inspect(empty.engine).get_table_names())
    assert tables == {*Base.metadata.tables, "alembic_version"}
    downgrade(empty, "base")
    assert set(inspect(empty.engine).get_table_names()) == {"alembic_version"}
    migrate(empty)
    assert current_revision(empty) == head_revision()


def test_the_migrations_make_what_the_code_declares(empty: Database) -> None:
    migrate(empty)
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_migrating_twice_keeps_the_data(empty: Database) -> None:
    migrate(empty)
    row = "insert into workers values ('a/1', 'a', 'here', 1, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
    with empty.write() as session:
        session.execute(text(row))
    migrate(empty)
    with empty.read() as session:
        assert session.execute(text("select count(*) from workers")).scalar() == 1


def test_a_failed_migration_leaves_nothing(empty: Database) -> None:
    """DDL is transactional on both databases: half a schema would have to be repaired by hand."""
    with empty.write() as session:
        session.execute(text("create table stages (id integer)"))
    with pytest.raises(Exception, match="stages"):
        migrate(empty)
    assert set(inspect(empty.engine).get_table_names()) <= {"stages", "alembic_version"}
