"""``likeness up``: REST, dashboard and one worker, in one command."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal import exit_code, show_problem
from problems import Conflict, Problem

if TYPE_CHECKING:
    from workers.stopping import StopFlag


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port. [default: 8000]")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder for everything. [default: ./.likeness]")
    ] = None,
) -> None:
    """Serve REST and the dashboard, with one worker beside them, until Ctrl-C."""
    from workers.stopping import end, stopped_by_signals

    # Nothing is torn out of what it does: each part looks by itself whether it is to go on.
    stop = stopped_by_signals()
    try:
        _serve(host, port, data_dir, stop)
    except Problem as problem:
        show_problem(problem)
        raise typer.Exit(exit_code(problem)) from None
    typer.echo("Stopped; what was running goes on with the next `likeness up`.", err=True)
    end(0)


def _serve(host: str | None, port: int | None, data_dir: Path | None, stop: StopFlag) -> None:
    with _no_collections():
        import uvicorn

        from api.app import create_app
        from api.serving import server_config
        from likeness.logs import write_logs
        from likeness.settings import Settings
        from workers.supervisor import Supervisor

    settings = Settings.load(host=host, port=port, data_dir=data_dir)
    settings.require_safe()
    write_logs(settings)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if settings.auth == "local" and settings.host not in ("127.0.0.1", "localhost", "::1"):
        logging.getLogger("likeness").warning(
            "listening on %s: there are no accounts, so whoever reaches this port can do everything",
            settings.host,
        )
    listener = _listen(settings.host, settings.port)
    with ExitStack() as parts:
        parts.enter_context(listener)
        if stop.is_set():
            return
        # With a broker the workers are processes of their own, and so are the migrations.
        watch = None if settings.broker_url else parts.enter_context(Supervisor(settings)).state
        with _no_collections():
            application = create_app(settings, watch=watch)
        # What is there now stays: to look through it again and again would hold up every answer meanwhile.
        gc.freeze()
        shown = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
        typer.echo(
            f"Likeness is on http://{shown}:{listener.getsockname()[1]} with its data in {settings.data_dir}",
            err=True,
        )

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                self.should_exit = True  # a second signal is no reason to break off what ends within seconds

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                # From here on the signals are this server's; earlier ones were noted.
                self.should_exit = self.should_exit or stop.is_set()

        Server(server_config(application)).run(sockets=[listener])


@contextmanager
def _no_collections() -> Iterator[None]:
    """Modules and routes are made to stay: looking for garbage among them meanwhile cost a seventh of the start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is started or written."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=256)
    except OSError as error:
        raise Conflict(
            f"can't listen on {host} port {port}: {error.strerror or error}",
            remedy="stop what listens there, or use --port with another number",
            details={"host": host, "port": port},
        ) from error
