"""``python -m likeness.alive``: exit status 0 when the workers and relays on this machine work; a container's health
check.

It asks the register in the database, in which each process shows itself while it lives, with how its loops go: so a
process that hangs, one that lost the database, and one of whose loops fails or stands still are told from one that
works.
"""

from __future__ import annotations

import socket
import sys

from sqlalchemy.exc import SQLAlchemyError

from likeness.clock import now
from likeness.database import Database
from likeness.health import alive_within, loops_in_trouble
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
    here = [worker for worker in seen if worker.host == host]
    if not here:
        print(f"nothing on {host} was seen lately")
        return 1
    found = [f"{worker.id}: {trouble}" for worker in here for trouble in loops_in_trouble(worker, settings)]
    print("; ".join(found) or ", ".join(worker.id for worker in here))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
