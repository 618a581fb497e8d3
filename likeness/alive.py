"""``python -m likeness.alive``: exit status 0 when a worker or relay on this machine was seen lately; a container's
health check.

It asks the register in the database, in which each process shows itself while it lives: so a process that hangs, or one
that lost the database, is told from one that works.
"""

from __future__ import annotations

import socket
import sys

from sqlalchemy.exc import SQLAlchemyError

from likeness.clock import now
from likeness.database import Database
from likeness.health import alive_within
from likeness.repositories.workers import WorkerRepository
from likeness.settings import Settings
from problems import Problem


def main(host: str | None = None) -> int:
    """Exit status; ``host`` is this machine's name unless given."""
    host = host or socket.gethostname()
    try:
        settings = Settings.load()
        database = Database.of(settings)
        with database.read() as session:
            seen = WorkerRepository(session).seen_since(now() - alive_within(settings))
        database.close()
    except (SQLAlchemyError, Problem, OSError) as error:
        print(f"the register of workers can't be read: {type(error).__name__}", file=sys.stderr)
        return 1
    here = [worker.id for worker in seen if worker.host == host]
    print(", ".join(here) or f"nothing on {host} was seen lately")
    return 0 if here else 1


if __name__ == "__main__":
    sys.exit(main())
