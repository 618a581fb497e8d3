"""The embedded supervisor: keeps one worker process alive beside the API.

The worker is a child of its own session, so that Ctrl-C in a terminal reaches the supervisor only, which lets
the worker put down its stage first. It is restarted at once when it dies, and with growing pauses when it
dies young.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from pydantic import SecretStr

from likeness.database import Database
from likeness.health import WorkerState
from likeness.locks import hold
from likeness.loops import Board, Loop
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.stores import store_of

log = logging.getLogger("likeness.supervisor")

_ROOT = Path(__file__).resolve().parents[1]
_YOUNG_S = 5.0
_LONGEST_PAUSE_S = 30.0


class Supervisor:
    """A context manager: the worker runs while the block does, on a database that was migrated first and a data
    folder in which what a crash left half received or half deleted was swept up.

    Raises on entry:
        Conflict: another supervisor owns the data folder.
    """

    def __init__(self, settings: Settings, *, command: Sequence[str] | None = None) -> None:
        self._settings = settings
        self._command = tuple(command or (sys.executable, "-m", "workers.process"))
        self._stop = threading.Event()
        self._mutex = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        self._last_exit: int | None = None
        self._pause = 0.0
        self._loop = Loop("supervisor", self._watch, pause_s=0, board=Board(), stop=self._stop, turn_s=None)
        self._thread = threading.Thread(target=self._loop.run, name="supervisor", daemon=True)
        self._held = ExitStack()

    def __enter__(self) -> Supervisor:
        self._settings.prepare_folders()
        lock = self._settings.locks_dir / "service.lock"
        self._held.enter_context(hold(lock, wait_s=1.0, what="the service"))
        try:
            database = Database.of(self._settings)
            migrate(database)
            database.close()
            store = store_of(self._settings)  # worker and API wait for one that is not there yet
            if isinstance(store, LocalStore):  # nobody else uses the folder: the lock says so
                store.sweep()
            for path in self._settings.incoming_dir.iterdir():
                path.unlink()
            self._start()
        except BaseException:
            self._held.close()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._mutex:
            child = self._child
        if child is not None:
            self._end(child)
        self._thread.join()
        self._held.close()

    def state(self) -> WorkerState:
        """Whether the worker is alive this moment."""
        with self._mutex:
            child, last = self._child, self._last_exit
        if child is not None and child.poll() is None:
            return WorkerState(True, child.pid, self._restarts, f"alive, process {child.pid}")
        how = "" if last is None else f" ({_how(last)})"
        return WorkerState(
            False, None, self._restarts, f"the worker process is not alive{how}; it is being restarted"
        )

    def _watch(self) -> None:
        """One turn: wait until the worker ends, and start another."""
        with self._mutex:
            child = self._child
        started = time.monotonic()
        if child is not None:
            code = _wait_and_clear(child)
            with self._mutex:
                self._last_exit, self._child = code, None
            if self._stop.is_set():
                return
            log.warning("the worker ended (%s); restarting it", _how(code))
            young = time.monotonic() - started < _YOUNG_S and self._restarts > 0
            self._pause = min(_LONGEST_PAUSE_S, max(0.5, self._pause * 2)) if young else 0.0
            if self._stop.wait(self._pause):
                return
            self._restarts += 1
        self._start()

    def _start(self) -> None:
        with self._mutex:
            if self._stop.is_set():
                return
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,  # its closing tells the worker that we are gone
                env={**os.environ, **self._environment()},
                start_new_session=True,
            )

    def _environment(self) -> Mapping[str, str]:
        settings = self._settings
        values = {name: getattr(settings, name) for name in type(settings).model_fields}
        handed_on = {
            f"LIKENESS_{name.upper()}": value.get_secret_value()
            if isinstance(value, SecretStr)
            else str(value)
            for name, value in values.items()
            if name != "allowed_hosts" and value is not None
        }
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**handed_on, "LIKENESS_WORKER_SLOT": self._slot(), "PYTHONPATH": os.pathsep.join(paths)}

    def _slot(self) -> str:
        """The name of this data folder's worker, made once: several services may share one Postgres."""
        path = self._settings.data_dir / "instance"
        if not path.is_file():
            temporary = path.with_name(f".instance.{os.getpid()}.tmp")
            temporary.write_text(f"embedded-{secrets.token_hex(8)}")
            os.replace(temporary, path)
        return path.read_text().strip()

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        child.terminate()
        try:
            child.wait(self._settings.stop_grace_s)
        except subprocess.TimeoutExpired:
            log.warning("the worker did not put down its stage in time; its checkpoint will be used")
            child.kill()
        child.wait()


def _wait_and_clear(child: subprocess.Popen[bytes]) -> int:
    """Wait for the worker's death and kill what it had started.

    The group is killed before the worker is reaped: until then nobody else can be given its number.
    """
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    return child.wait()


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
