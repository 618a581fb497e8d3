"""``likeness worker``: a worker by itself, for a deployment whose API runs elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import exit_code, show_problem
from problems import Problem


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker")(worker)


def worker(
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for everything. [default: ./.likeness]")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Stop when no stage is waiting.")] = False,
    queue: Annotated[
        list[str] | None,
        typer.Option(help="cpu or gpu, may be given twice: be a Celery worker for it (LIKENESS_BROKER_URL)."),
    ] = None,
) -> None:
    """Run waiting stages until Ctrl-C; without a broker `likeness up` has a worker of its own."""
    from likeness.database import Database
    from likeness.logs import write_logs
    from likeness.settings import Settings
    from likeness.stores import store_of
    from workers.process import serve
    from workers.runner import Runner
    from workers.spill import spilling_to_disk
    from workers.stopping import end

    try:
        settings = Settings.load(data_dir=data_dir)
        settings.require_safe()
        write_logs(settings)
        settings.prepare_folders()
        with spilling_to_disk(settings):
            if queue and not once:
                from workers.celery_app import work

                status = work(settings, queue)
            elif not once:
                status = serve(settings)
            else:
                store = store_of(settings)
                store.prepare()
                count = Runner(Database.of(settings), store, settings).run_all()
                typer.echo(f"{count} stage(s) run")
                return
        end(status)
    except Problem as problem:
        show_problem(problem)
        raise typer.Exit(exit_code(problem)) from None
