"""``likeness bench api``: do answers stay quick, and memory small, while many people watch and large files come in."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.job_stack import ROOT, JobStack, Processes
from benchmarks.pollers import Polling, poll
from likeness.database import Database
from likeness.intake import Intake
from likeness.requests import request_inspection
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.stores import store_of
from problems import InvalidParameter
from training.progress import Progress, Tick, silent

_NOBODY = "redis://127.0.0.1:1/0"
"""A broker that is not there: the API never talks to one, it only starts no worker of its own when it has one."""
_IMPORTED = """
import pathlib, sys
import cli.main, uvicorn, workers.supervisor
from api.app import create_app
from likeness.settings import Settings
create_app(Settings(data_dir=pathlib.Path(sys.argv[1])))
print("torch" in sys.modules)
"""
"""What ``likeness up`` does before it serves."""


@dataclass(frozen=True)
class ApiBench:
    """What is measured."""

    database: Literal["postgres", "sqlite"] = "postgres"
    clients: int = 200
    """Dashboards and programs that ask for a job once a second: half for its JSON, half for its card."""
    uploads: int = 20
    """Files that come in at once, meanwhile."""
    upload_mb: int = 100
    """Size of each, 10^6 bytes."""
    poll_s: float = 15.0
    """How long is polled at least, s; it goes on until the uploads are in."""
    jobs: int = 50
    """Jobs that are asked for."""
    patience_s: float = 300.0
    """How long uploads may take, s."""

    def quick(self) -> ApiBench:
        """The same within half a minute."""
        return replace(self, clients=50, uploads=4, upload_mb=20, poll_s=5.0)


def served_by(database: str) -> Literal["postgres", "sqlite"]:
    """The database of this name.

    Raises:
        InvalidParameter: there is no such choice.
    """
    if database == "postgres":
        return "postgres"
    if database == "sqlite":
        return "sqlite"
    raise InvalidParameter(
        f"{database!r} is no database that the API is measured with",
        remedy="use postgres or sqlite",
        details={"field": "database"},
    )


def run(bench: ApiBench, progress: Progress = silent) -> dict[str, Any]:
    """Run the benchmark on an API, and a Postgres where asked for, which it starts.

    Returns:
        ``p50_ms`` and ``p99_ms`` of an answer while files come in, ``requests``, ``errors`` (answers that were not
        200, and uploads that failed), ``peak_rss_mb`` of the API's process (MiB), ``startup_seconds`` from its start
        to the first answer (``sqlite``: of the embedded mode in an empty folder, migrations and all),
        ``torch_imported``, ``upload_mb_per_s`` of all uploads together.
    """
    with tempfile.TemporaryDirectory(prefix="likeness-api-") as name:
        folder = Path(name)
        progress(Tick("api.start", 0, 1))
        embedded_s = _embedded_startup(folder / "embedded") if bench.database == "sqlite" else None
        with _deployment(bench, folder) as (processes, database):
            paths = _paths(processes.settings, database, bench.jobs)
            began = time.perf_counter()
            address = processes.api()
            startup_s = time.perf_counter() - began
            progress(Tick("api.load", 0, 1))
            polling, uploading = asyncio.run(_load(bench, address, paths))
            peak = _peak_rss_mb(processes.processes[-1].pid)
        torch_imported = _imports_torch(folder / "imports")
    spread = polling.spread()
    return {
        "p50_ms": spread["p50"],
        "p99_ms": spread["p99"],
        "requests": spread["requests"],
        "errors": spread["errors"] + uploading["errors"],
        "peak_rss_mb": round(peak, 1),
        "startup_seconds": round(startup_s if embedded_s is None else embedded_s, 2),
        "torch_imported": torch_imported,
        "upload_mb_per_s": round(
            (bench.uploads - uploading["errors"]) * bench.upload_mb / uploading["seconds"], 1
        ),
    }


@contextmanager
def _deployment(bench: ApiBench, folder: Path) -> Iterator[tuple[Processes, Database]]:
    """An API's settings and its migrated database; no worker takes the jobs, so that only the API is measured."""
    if bench.database == "postgres":
        with JobStack(folder / "stack", log_level="INFO") as stack:
            yield stack, stack.database
        return
    settings = Settings(data_dir=folder / "data", broker_url=_NOBODY, min_free_mb=1)
    processes, database = Processes(folder, settings), Database.of(settings)
    migrate(database)
    try:
        yield processes, database
    finally:
        processes.close()
        database.close()


def _embedded_startup(folder: Path) -> float:
    """Seconds until ``likeness up`` answers, started for the first time."""
    processes = Processes(folder, Settings(data_dir=folder / "data"))
    began = time.perf_counter()
    try:
        processes.api()
        took = time.perf_counter() - began
        processes.processes[-1].send_signal(
            signal.SIGTERM
        )  # its worker is in a session of its own: let it end that
        processes.processes[-1].wait(60)
    finally:
        processes.close()
    return took


def _paths(settings: Settings, database: Database, count: int) -> list[str]:
    """What is asked for: each job once as JSON and once as the card that its page polls."""
    with Intake(settings, database, store_of(settings)) as intake:
        intake.write(b"a clip")
        upload = intake.finish(filename="a.mp4", media_type="video/mp4", purpose="clip").id
    jobs = [request_inspection(database, upload_id=upload) for _ in range(count)]
    return [path for job in jobs for path in (f"/v1/jobs/{job}", f"/jobs/{job}/card")]


async def _load(bench: ApiBench, address: str, paths: list[str]) -> tuple[Polling, dict[str, float]]:
    over = asyncio.Event()

    async def upload() -> dict[str, float]:
        began = time.monotonic()
        await asyncio.sleep(min(1.0, bench.poll_s / 5))  # everybody is connected by then
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.uploaders", address, str(bench.uploads), str(bench.upload_mb),
            stdout=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        try:
            async with asyncio.timeout(bench.patience_s):
                told, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        await asyncio.sleep(began + bench.poll_s - time.monotonic())
        over.set()
        return json.loads(told)

    polled = poll(address, paths, clients=bench.clients, seconds=bench.patience_s, over=over)
    async with asyncio.TaskGroup() as group:
        polling, uploading = group.create_task(polled), group.create_task(upload())
    return polling.result(), uploading.result()


def _peak_rss_mb(pid: int) -> float:
    """The most memory that a process has had so far, MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _imports_torch(folder: Path) -> bool:
    """Whether whoever serves the API has loaded torch."""
    told = subprocess.run(
        [sys.executable, "-c", _IMPORTED, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return told.stdout.strip() == "True"
