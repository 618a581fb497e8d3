"""``likeness relay``: wakes workers, frees what dead ones held, sends webhooks; for a deployment with a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import exit_code, show_problem
from problems import Problem


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("relay")(relay)


def relay(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for everything. [default: ./.likeness]")
    ] = None,
) -> None:
    """Relay until Ctrl-C. It may run twice: the second takes over when the first one dies."""
    from likeness.settings import Settings
    from workers.relay import serve
    from workers.stopping import end

    try:
        end(serve(Settings.load(data_dir=data_dir)))
    except Problem as problem:
        show_problem(problem)
        raise typer.Exit(exit_code(problem)) from None
