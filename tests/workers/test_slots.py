"""Who may take over whose stages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from benchmarks.job_stack import Processes, RedisServer
from likeness.clock import now
from likeness.database import Database
from likeness.repositories.leases import LeaseRepository
from likeness.repositories.workers import WorkerRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Stage, Worker
from problems import Conflict
from tests.likeness.service import training
from workers.presence import identity
from workers.slots import hold_slot


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server.url
    server.stop()


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def claim(database: Database, owner: str, *, ago: timedelta = timedelta(0)) -> str:
    """Take the next stage, under a lease that nobody here waits for."""
    with database.write() as session:
        held = LeaseRepository(session).claim(owner=owner, now=now() - ago, lease_s=3600)
    assert held is not None
    return held.stage_id


def expired(database: Database, stage_id: str) -> bool:
    with database.read() as session:
        stage = session.get(Stage, stage_id)
        assert stage is not None
        assert stage.lease_until is not None
        return stage.lease_until < now()


def test_each_start_of_a_process_has_a_name_of_its_own() -> None:
    names = {identity("cpu") for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith("cpu-") and f"-{os.getpid()}/" in name for name in names)
    assert len(identity("cpu-gpu" * 9)) < 128


def test_workers_of_one_slots_name_end_no_leases_of_each_other(
    settings: Settings, database: Database, store: LocalStore, tmp_path: Path
) -> None:
    """Two machines may have the same host name: their data folders, and so their locks, are different ones."""
    here, there = (settings.model_copy(update={"data_dir": tmp_path / name}) for name in ("here", "there"))
    slot, mine, theirs = "host-cpu-1", "cpu-host-10/aa", "cpu-host-10/bb"
    for owner in (mine, theirs):
        training(settings, database, store, owner.encode())
    with ExitStack() as first:
        for place, owner in ((here, mine), (there, theirs)):
            first.enter_context(hold_slot(database, place, slot, owner))()
        stages = [claim(database, owner) for owner in (mine, theirs)]
    with hold_slot(database, here, slot, "cpu-host-11/cc") as takeover:
        assert not expired(database, stages[0]), "not before it is asked to"
        takeover()
        assert expired(database, stages[0])
        assert not expired(database, stages[1])


def test_a_slot_has_one_holder_and_its_takeover_is_done_once(
    settings: Settings, database: Database, store: LocalStore
) -> None:
    impatient = settings.model_copy(update={"lease_s": 0.05, "heartbeat_s": 0.01})
    training(settings, database, store)
    with hold_slot(database, impatient, "slot", "a/1") as takeover:
        takeover()
        stage = claim(database, "a/1")
        takeover()
        assert not expired(database, stage), "its own"
        with (
            pytest.raises(Conflict, match="already running"),
            hold_slot(database, impatient, "slot", "b/1"),
        ):
            pass


def test_what_the_database_refuses_is_not_forgotten(
    settings: Settings, database: Database, store: LocalStore
) -> None:
    training(settings, database, store)
    with hold_slot(database, settings, "slot", "a/1") as takeover:
        takeover()
    stage = claim(database, "a/1")
    with database.write() as session:
        session.add(
            Worker(
                id="a/1", slot="a", host="h", pid=1, queues="", started_at=now(), last_seen=now(), loops={}
            )
        )
    away = Database(f"sqlite:///{settings.data_dir}/nowhere/likeness.db")
    with (
        hold_slot(away, settings, "slot", "b/1") as takeover,
        pytest.raises(Exception, match="unable to open"),
    ):
        takeover()
    with hold_slot(database, settings, "slot", "c/1") as takeover:
        takeover()
    assert expired(database, stage), "b never ran, so a's stage is still to be taken over"
    with database.read() as session:
        assert WorkerRepository(session).get("a/1") is None


def test_an_idle_celery_worker_frees_what_a_dead_one_held_and_a_killed_one_is_replaced(
    settings: Settings, database: Database, store: LocalStore, redis_url: str, tmp_path: Path
) -> None:
    """No relay runs, and nobody wakes it."""
    training(settings, database, store)
    stage = claim(database, "dead/1", ago=timedelta(hours=2))
    served = Settings(
        data_dir=settings.data_dir,
        broker_url=redis_url,
        min_free_mb=1,
        heartbeat_s=0.2,
        lease_s=5.0,
        sweep_s=0.1,
    )
    processes = Processes(tmp_path / "processes", served)

    def status() -> str:
        with database.read() as session:
            found = session.get(Stage, stage)
            assert found is not None
            return found.status

    def workers() -> set[str]:
        with database.read() as session:
            seen = WorkerRepository(session).seen_since(now() - timedelta(seconds=5))
        return {worker.id for worker in seen if worker.queues}

    try:
        parent = processes.start("-m", "benchmarks.fast_stages", "gpu")
        wait_for(lambda: status() == "queued")
        [before] = workers()
        assert claim(database, before) == stage
        for child in psutil.Process(parent.pid).children(recursive=True):
            child.kill()
        wait_for(lambda: status() == "queued")
        wait_for(lambda: bool(workers() - {before}))
        for _ in range(5):
            parent.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        assert parent.wait(60) == 0
        log = (tmp_path / "processes" / "processes.log").read_text()
        assert "Traceback" not in log, log
        assert "Fatal" not in log, log
    finally:
        processes.close()


def test_a_worker_stops_at_the_first_of_many_signals(settings: Settings, database: Database) -> None:
    """Before, while and after it waits for work."""
    environment = {**os.environ, "LIKENESS_DATA_DIR": str(settings.data_dir), "LIKENESS_MIN_FREE_MB": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "worker"], env=environment, stderr=subprocess.PIPE, text=True
    )

    def there() -> bool:
        with database.read() as session:
            return bool(WorkerRepository(session).all())

    wait_for(there)
    for _ in range(20):
        process.terminate()
        time.sleep(0.005)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert not there()
