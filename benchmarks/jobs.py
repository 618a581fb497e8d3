"""``likeness bench jobs``: does the service lose anything, and how fast does it hand out work."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import delete, func, insert, select

from benchmarks.fault_schedule import FaultSchedule, Ordeal
from benchmarks.job_stack import JobStack
from benchmarks.pollers import poll
from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.intake import Intake
from likeness.repositories.leases import LeaseRepository
from likeness.requests import request_inspection
from likeness.tables import Job, Stage, Tenant, Wake
from training.progress import Progress, Tick, silent
from workers.relay import Relay


@dataclass(frozen=True)
class JobsBench:
    """What is measured."""

    schedule: FaultSchedule = field(default_factory=FaultSchedule)
    queues: tuple[int, ...] = (1_000, 100_000)
    """Lengths of the queue at which claims are timed."""
    claimers: int = 32
    """Workers that compete for them."""
    tenants: int = 20
    """Owners of the queued stages."""
    claim_s: float = 10.0
    """How long claims are timed at each length, s."""
    starts: int = 200
    """Jobs whose way from request to start is timed."""
    wakes: int = 5_000
    """Wake-ups that a relay sends."""
    clients: int = 200
    """Clients that ask for a job each, once a second."""
    poll_s: float = 15.0
    """How long they do, s."""

    @classmethod
    def quick(cls) -> JobsBench:
        """A look within two minutes."""
        return cls(FaultSchedule(jobs=40, patience_s=120), (500, 5_000), 8, 5, 2.0, 20, 500, 20, 5.0)


def run(bench: JobsBench, progress: Progress = silent) -> dict[str, Any]:
    """Run the benchmark on real servers, which it starts.

    Returns:
        ``faults`` (``benchmarks.fault_schedule``), ``claims_per_s`` and ``claim_ms`` (p50 and p99 of one claim) by
        length of the queue, ``enqueue_to_start_ms``, ``wakes_per_s`` of one relay, ``polling`` (milliseconds of an
        answer while all clients ask, how many there were, and how many were none).
    """
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="likeness-jobs-") as name:
        folder = Path(name)
        with JobStack(folder / "faults", s3=True) as stack:
            result["faults"] = Ordeal(stack, bench.schedule, progress).run()
        with JobStack(folder / "speed", lease_s=60.0, heartbeat_s=10.0) as stack:
            progress(Tick("jobs.start", 0, 1))
            result["enqueue_to_start_ms"] = _starts(stack, bench.starts)
            progress(Tick("jobs.polling", 0, 1))
            result["polling"] = asyncio.run(_polling(stack, bench.clients, bench.poll_s))
        with JobStack(folder / "claims", lease_s=600.0) as stack:
            result["claims_per_s"], result["claim_ms"] = {}, {}
            for length in bench.queues:
                progress(Tick("jobs.claims", 0, 1, f"{length} queued"))
                rate, times = _claims(stack.database, bench, length)
                result["claims_per_s"][str(length)] = rate
                result["claim_ms"][str(length)] = times
            result["wakes_per_s"] = _wakes(stack, bench.wakes)
    return result


def _starts(stack: JobStack, count: int) -> dict[str, float]:
    """Milliseconds from the request's commit to the start of its stage, one at a time, on idle workers."""
    stack.relay()
    stack.worker("cpu", "gpu")
    with Intake(stack.settings, stack.database, stack.store) as intake:
        intake.write(b"a clip")
        upload = intake.finish(filename="a.mp4", media_type="video/mp4", purpose="clip").id
    waits = []
    for index in range(count + 3):
        job_id = request_inspection(stack.database, upload_id=upload)
        while True:
            with stack.database.read() as session:
                stage = session.scalar(select(Stage).where(Stage.job_id == job_id))
                if stage is not None and stage.status == "succeeded":
                    break
            time.sleep(0.01)
        assert stage.started_at is not None
        assert stage.queued_at is not None
        if index >= 3:  # the first ones wait for the worker to be up
            waits.append(1000 * (stage.started_at - stage.queued_at).total_seconds())
    return _spread(waits)


async def _polling(stack: JobStack, clients: int, seconds: float) -> dict[str, float]:
    """Milliseconds of an answer to ``GET /v1/jobs/ID`` while so many clients ask once a second."""
    address = stack.api()
    with stack.database.read() as session:
        jobs = list(session.scalars(select(Job.id).limit(50)))
    paths = [f"/v1/jobs/{job_id}" for job_id in jobs]
    return (await poll(address, paths, clients=clients, seconds=seconds)).spread()


def _claims(database: Database, bench: JobsBench, length: int) -> tuple[float, dict[str, float]]:
    """Claims a second of all claimers together, and the milliseconds of one."""
    _fill(database, bench.tenants, length)
    over, counts, times = threading.Event(), [0] * bench.claimers, list[float]()

    def compete(index: int) -> None:
        while not over.is_set():
            began = time.perf_counter()
            with database.write() as session:
                claim = LeaseRepository(session).claim(
                    owner=f"w{index}/1", now=now(), lease_s=600, queues=("cpu",)
                )
            if claim is None:
                return
            times.append(1000 * (time.perf_counter() - began))
            counts[index] += 1

    threads = [threading.Thread(target=compete, args=(index,)) for index in range(bench.claimers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    # Half of a short queue at most: a claim from an empty one says nothing.
    while time.perf_counter() - began < bench.claim_s and sum(counts) < length // 2:
        time.sleep(0.01)
    over.set()
    elapsed = time.perf_counter() - began
    for thread in threads:
        thread.join()
    return round(sum(counts) / elapsed, 1), _spread(times)


def _fill(database: Database, tenants: int, length: int) -> None:
    """Exactly ``length`` queued stages of so many tenants."""
    with database.write() as session:
        session.execute(delete(Stage))
        session.execute(delete(Job))
        owners = [new_id("ten") for _ in range(tenants)]
        moment = now()
        session.execute(
            insert(Tenant), [{"id": owner, "name": "t", "created_at": moment} for owner in owners]
        )
        jobs, stages = [], []
        for index in range(length):
            owner, job_id = owners[index % tenants], new_id("job")
            jobs.append(
                {"id": job_id, "tenant_id": owner, "kind": "inspection", "scope": "uploads/upl_x", "status": "queued",
                 "params": {}, "progress": {}, "created_at": moment, "attempt": 1}
            )  # fmt: skip
            stages.append(
                {"id": new_id("stg"), "tenant_id": owner, "job_id": job_id, "ordinal": 0, "name": "inspect",
                 "queue": "cpu", "status": "queued", "priority": 10, "reused": False, "attempt": 0, "fence": 0,
                 "queued_at": moment + timedelta(milliseconds=index)}
            )  # fmt: skip
        for table, rows in ((Job, jobs), (Stage, stages)):
            for part in _parts(rows, 5_000):
                session.execute(insert(table), part)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("analyze")


def _parts(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _wakes(stack: JobStack, count: int) -> float:
    """Wake-ups that one relay hands to the broker in a second."""
    with stack.database.write() as session:
        stages = list(session.scalars(select(Stage.id).limit(1)))
        rows = [{"stage_id": stages[0], "queue": "cpu", "created_at": now()} for _ in range(count)]
        session.execute(delete(Wake))
        session.execute(insert(Wake), rows)
    relay = Relay(stack.database, stack.store, stack.settings)
    began = time.perf_counter()
    while relay.dispatch():
        pass
    elapsed = time.perf_counter() - began
    with stack.database.read() as session:
        assert not session.scalar(select(func.count()).select_from(Wake))
    return round(count / elapsed, 1)


def _spread(values: list[float]) -> dict[str, float]:
    return {name: round(float(np.percentile(values, at)), 1) for name, at in (("p50", 50), ("p99", 99))}


def with_jobs(bench: JobsBench, jobs: int, seed: int) -> JobsBench:
    """The same with another load of the fault schedule."""
    return replace(bench, schedule=replace(bench.schedule, jobs=jobs, seed=seed))
