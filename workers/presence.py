"""A process in the register of workers: that it lives, and how its loops go."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from likeness.clock import now
from likeness.database import Database
from likeness.loops import Board, Loop
from likeness.repositories.workers import WorkerRepository
from likeness.settings import Settings
from likeness.tables import Worker

_MOST_HOST = 48
"""Letters of a host name in an identity."""


def identity(role: str) -> str:
    """A name that no other start of any process has, on whatever machine: ``<role>-<host>-<pid>/<random>``."""
    return f"{role[:24]}-{socket.gethostname()[:_MOST_HOST]}-{os.getpid()}/{secrets.token_hex(8)}"


@contextmanager
def present(
    database: Database, owner: str, settings: Settings, *, board: Board, queues: Sequence[str] = ()
) -> Iterator[None]:
    """Be in the register of workers while the block runs; a database that is away is waited for beside it."""
    began = now()

    def show() -> None:
        moment = now()
        with database.write() as session:
            register = WorkerRepository(session)
            if not register.seen(owner, moment, board.read()):
                register.register(
                    Worker(
                        id=owner,
                        slot=owner.split("/")[0],
                        host=socket.gethostname(),
                        pid=os.getpid(),
                        queues=",".join(queues),
                        started_at=began,
                        last_seen=moment,
                        loops=board.read(),
                    )
                )

    def leave() -> None:
        with database.write() as session:
            WorkerRepository(session).leave(owner)

    beat = settings.heartbeat_s
    presence = Loop("presence", show, pause_s=beat, longest_pause_s=beat, board=board, at_once=False)
    presence.turn()  # whoever looks from now on finds it
    with presence.beside():
        yield
    Loop("leave", leave, pause_s=0, board=board).turn()
