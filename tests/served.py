"""The real service on a port of this machine, with a worker on tiny stages in a thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from api.app import create_app
from api.serving import server_config
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.stores import store_of
from tests.workers.tiny_stages import REGISTRY
from workers.process import work_forever
from workers.runner import Runner


@dataclass(frozen=True)
class Service:
    """What a test needs of it."""

    url: str
    settings: Settings
    database: Database
    runner: Runner
    app: FastAPI


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """The address of an application that is served in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    # A stream that is still followed must not hold the test up.
    server = uvicorn.Server(server_config(app, grace_s=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def served(settings: Settings, *, works: bool = True) -> Iterator[Service]:
    """The service with its worker; without one it takes jobs that nobody does (``works=False``)."""
    database = Database.of(settings)
    migrate(database)
    runner = Runner(database, store_of(settings), settings, registry=REGISTRY)
    worker = threading.Thread(target=work_forever, args=(runner,))
    app = create_app(settings)
    with listening(app) as url:
        if works:
            worker.start()
        try:
            yield Service(url, settings, database, runner, app)
        finally:
            runner.stop.set()
            if works:
                worker.join()
    database.close()
