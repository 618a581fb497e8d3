"""``likeness migrate``: bring the database's schema up to date (`likeness up` does it by itself)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import exit_code, show_problem
from problems import InvalidParameter, Problem


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(migrate)


def migrate(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for everything. [default: ./.likeness]")
    ] = None,
    down: Annotated[
        str | None, typer.Option(help="Go down to this revision instead; base removes every table.")
    ] = None,
) -> None:
    """Bring the database up to the newest schema."""
    from alembic.util import CommandError

    from likeness.database import Database
    from likeness.schema import current_revision, downgrade, migrate
    from likeness.settings import Settings

    try:
        database = Database.of(Settings.load(data_dir=data_dir))
        try:
            downgrade(database, down) if down else migrate(database)
        except CommandError as error:
            raise InvalidParameter(
                f"the database can't be brought to {down or 'the newest schema'}: {error}",
                remedy="use a revision that migrations/versions has, or the code the database was written by",
            ) from error
        typer.echo(f"the schema is at {current_revision(database) or 'base'}")
    except Problem as problem:
        show_problem(problem)
        raise typer.Exit(exit_code(problem)) from None
