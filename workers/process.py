"""A worker as a process: stages one after the other, with everything beside them that must not end.

Run by hand: ``likeness worker``. The embedded service starts it as ``python -m workers.process``.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import ExitStack

from likeness.database import Database
from likeness.logs import write_logs
from likeness.loops import Board, Loop, persist
from likeness.settings import Settings
from likeness.stores import store_of
from workers.hooks import sending
from workers.presence import identity, present
from workers.runner import EXIT_TAINTED, STAGES, Runner, StageSpec
from workers.slots import hold_slot
from workers.spill import spilling_to_disk
from workers.stopping import end, stopped_by_signals
from workers.tidying import tidying

log = logging.getLogger("likeness.process")


def work_forever(runner: Runner) -> int:
    """Run stages until ``runner.stop`` is set; returns the process's exit status. A store that is not there yet is
    waited for.
    """
    settings, database, board = runner.settings, runner.database, runner.board
    with ExitStack() as parts:
        parts.enter_context(present(database, runner.owner, settings, board=board, queues=runner.queues))
        if not persist("store", runner.store.prepare, stop=runner.stop, board=board):
            return 0
        if not settings.broker_url:  # there is no relay
            parts.enter_context(sending(database, settings, board=board))
        parts.enter_context(
            tidying(
                database,
                runner.store,
                settings,
                board=board,
                every_s=settings.sweep_s if settings.broker_url else settings.poll_s,
                takeover=runner.takeover,
            )
        )

        # A stage may take hours; that it lives is what its lease says.
        Loop(
            "stages",
            runner.run_once,
            pause_s=settings.poll_s,
            stop=_Over(runner),
            board=board,
            turn_s=None,
            eager=True,
        ).run()
    return EXIT_TAINTED if runner.tainted else 0


class _Over:
    """Set when the runner is to stop, or its process is to be replaced."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def is_set(self) -> bool:
        return self._runner.tainted or self._runner.stop.is_set()

    def set(self) -> None:
        self._runner.stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        return self._runner.tainted or self._runner.stop.wait(timeout)


def serve(settings: Settings, *, slot: str | None = None, registry: Mapping[str, StageSpec] = STAGES) -> int:
    """Be a worker process until SIGTERM or SIGINT; returns the exit status.

    With ``slot`` the process holds the slot's kernel lock in the data folder, so at most one worker has it;
    having got the lock, it knows that its predecessor is dead and takes over that one's leases without
    waiting for them.
    """
    stop = stopped_by_signals()
    write_logs(settings)
    database, store, board = Database.of(settings), store_of(settings), Board()
    owner = identity("worker")
    with ExitStack() as held:
        takeover = None
        if slot is not None:
            takeover = held.enter_context(hold_slot(database, settings, slot, owner))
        return work_forever(
            Runner(
                database,
                store,
                settings,
                registry=registry,
                owner=owner,
                stop=stop,
                board=board,
                takeover=takeover,
            )
        )


def die_with_parent() -> None:
    """End this process group as soon as standard input closes: the parent is gone, however it went."""

    def watch() -> None:
        # Not through sys.stdin: at its end Python wants the lock of that file, which a reader keeps.
        while os.read(0, 1):
            pass
        log.error("the service is gone; so am I")
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> int:
    """The embedded worker: the supervisor names the slot and holds the other end of standard input."""
    die_with_parent()
    settings = Settings()
    with spilling_to_disk(settings):
        return serve(settings, slot=os.environ["LIKENESS_WORKER_SLOT"])


if __name__ == "__main__":
    end(main())
