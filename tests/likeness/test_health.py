"""What doctor and /readyz find, with a real Redis, on both databases."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from benchmarks.job_stack import RedisServer
from likeness import alive, health
from likeness.clock import now, own_time
from likeness.database import Database
from likeness.health import (
    Check,
    alive_within,
    check_broker,
    check_clock,
    check_loops,
    check_relay,
    check_secrets,
    check_store,
    check_worker,
    checks,
    deployment_checks,
)
from likeness.repositories.workers import WorkerRepository
from likeness.settings import Settings
from likeness.store import LocalStore, StoredObject
from likeness.tables import Worker
from tests.likeness.service import training


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


def with_broker(settings: Settings, url: str = "redis://127.0.0.1:1/0") -> Settings:
    return settings.model_copy(update={"broker_url": url})


def enter(
    database: Database,
    slot: str,
    queues: str,
    *,
    age_s: float = 0,
    host: str = "host",
    loops: dict[str, Any] | None = None,
) -> None:
    seen = now() - timedelta(seconds=age_s)
    with database.write() as session:
        WorkerRepository(session).register(
            Worker(
                id=f"{slot}/1",
                slot=slot,
                host=host,
                pid=1,
                queues=queues,
                started_at=seen,
                last_seen=seen,
                loops=loops or {},
            )
        )


def test_a_queue_that_nobody_takes_is_named(
    settings: Settings, either_database: Database, store: LocalStore
) -> None:
    database = either_database
    assert not check_worker(database, settings, None).ok
    enter(database, "host-gpu-1", "gpu")
    assert check_worker(database, settings, None).ok, "nothing waits in the other queue"
    training(settings, database, store)
    found = check_worker(database, with_broker(settings), None)
    assert not found.ok
    assert "no worker takes the queue cpu" in found.detail
    assert "likeness worker --queue cpu" in found.detail
    enter(database, "host-cpu-1", "cpu")
    assert check_worker(database, settings, None) == Check("worker", True, "2 alive (1 for cpu, 1 for gpu)")


def test_a_silent_worker_and_a_relay_take_no_queue(
    settings: Settings, database: Database, store: LocalStore
) -> None:
    training(settings, database, store)
    enter(database, "host-cpu-1", "cpu", age_s=alive_within(settings).total_seconds() + 1)
    enter(database, "relay-host-1", "")
    assert "no worker takes the queue cpu" in check_worker(database, settings, None).detail


def test_a_relay_is_needed_with_a_broker_only(settings: Settings, database: Database) -> None:
    assert check_relay(database, settings).ok
    served = with_broker(settings)
    assert "no relay is alive" in check_relay(database, served).detail
    assert [check.ok for check in checks(database, served, None)] == [True, True, False, False, True]
    enter(database, "relay-host-1", "")
    assert check_relay(database, served).ok


def test_a_good_broker(settings: Settings, server: RedisServer) -> None:
    [found] = check_broker(with_broker(settings, server.url))
    assert found.ok
    assert found.detail.startswith("Redis ")


def test_a_broker_that_may_drop_or_forget_is_warned_of(settings: Settings, server: RedisServer) -> None:
    client = redis.Redis.from_url(server.url)
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendonly", "no")
    try:
        found = check_broker(with_broker(settings, server.url))
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
    assert [(check.ok, check.warning) for check in found] == [(True, False), (False, True), (False, True)]
    assert "allkeys-lru" in found[1].detail
    assert "append-only" in found[2].detail


def test_a_missing_broker_is_bad_and_its_password_not_said(settings: Settings) -> None:
    [found] = check_broker(with_broker(settings, "redis://:a-password-1@127.0.0.1:1/0"))
    assert not found.ok
    assert not found.warning
    assert "a-password-1" not in found.detail


def test_the_store_takes_and_gives_back_a_probe(settings: Settings, store: LocalStore) -> None:
    settings.prepare_folders()
    assert check_store(store, settings).ok
    assert list(store.keys()) == [], "the probe is gone"
    assert list(settings.incoming_dir.iterdir()) == []


def test_a_store_that_changes_bytes_is_found(settings: Settings, store: LocalStore) -> None:
    settings.prepare_folders()

    class Torn(LocalStore):
        def put_file(self, key: str, source: Path, *, move: bool = False) -> StoredObject:
            stored = super().put_file(key, source, move=move)
            path = self.local_path(key)
            path.write_bytes(path.read_bytes()[:-1])
            return stored

    found = check_store(Torn(settings.objects_dir), settings)
    assert not found.ok
    assert list(store.keys()) == []


def test_a_store_that_can_not_be_written_is_found(settings: Settings, store: LocalStore) -> None:
    settings.prepare_folders()
    shutil.rmtree(settings.objects_dir)
    settings.objects_dir.write_text("not a folder")
    found = check_store(store, settings)
    assert not found.ok
    assert "a probe failed" in found.detail


def test_clocks_are_compared(
    settings: Settings, either_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_clock(either_database).ok
    monkeypatch.setattr(health, "own_time", lambda: own_time() - timedelta(seconds=30))
    found = check_clock(either_database)
    assert not found.ok
    assert "30.0 s behind the database" in found.detail
    monkeypatch.setattr(health, "own_time", lambda: own_time() + timedelta(seconds=30))
    assert "30.0 s ahead of the database" in check_clock(either_database).detail


def test_secrets_are_checked_in_production(settings: Settings) -> None:
    assert check_secrets(settings).ok
    found = check_secrets(settings.model_copy(update={"environment": "production"}))
    assert not found.ok
    assert "LIKENESS_SECRET_KEY" in found.detail


def test_a_whole_deployment(
    settings: Settings, either_database: Database, store: LocalStore, server: RedisServer
) -> None:
    served = with_broker(settings, server.url)
    enter(either_database, "relay-host-1", "")
    enter(either_database, "host-cpu-1", "cpu,gpu")
    found = deployment_checks(either_database, store, served)
    assert [check.name for check in found] == [
        *("secrets", "disk", "database", "broker", "store", "worker", "relay", "loops", "clock")
    ]
    assert all(check.ok for check in found), found


def test_a_health_check_tells_its_own_machine(
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LIKENESS_DATA_DIR", str(settings.data_dir))
    enter(database, "one-cpu-1", "cpu", host="one")
    enter(database, "two-cpu-1", "cpu", host="two", age_s=3600)
    assert alive.main("one") == 0
    assert alive.main("two") == 1
    assert alive.main("three") == 1
    assert "one-cpu-1/1" in capsys.readouterr().out
    monkeypatch.setenv("LIKENESS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    assert alive.main("one") == 1


def loop(**changes: object) -> dict[str, Any]:
    """One that goes well, but for the changes."""
    return {"turned_s": 1.0, "failing_s": None, "fault": "", "within_s": 60.0, **changes}


def test_a_loop_that_fails_or_stands_still_is_named_with_its_process(
    settings: Settings, either_database: Database
) -> None:
    enter(
        either_database,
        "relay-one-1",
        "",
        loops={"sweep": loop(), "stages": loop(turned_s=9e9, within_s=None)},
    )
    assert check_loops(either_database, settings).ok
    failing = loop(failing_s=95.0, fault="store_unavailable: no answer")
    enter(either_database, "relay-two-1", "", loops={"tidy": failing, "orphans": loop(failing_s=2.0)})
    enter(either_database, "worker-1", "cpu", loops={"leases": loop(turned_s=700.0)})
    enter(either_database, "gone-1", "cpu", loops={"leases": loop(turned_s=800.0)}, age_s=3600)
    found = check_loops(either_database, settings)
    assert not found.ok
    assert "loop tidy has failed for 95 s (store_unavailable: no answer) in relay-two-1" in found.detail
    assert "loop leases has stood still for 700 s in worker-1" in found.detail
    assert "orphans" not in found.detail, "it may yet go well again"
    assert "gone" not in found.detail
    ready = {check.name: check.ok for check in checks(either_database, settings, None)}
    assert ready["loops"] is False


def test_a_container_with_a_loop_that_stands_still_is_not_well(
    settings: Settings,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LIKENESS_DATA_DIR", str(settings.data_dir))
    enter(database, "relay-one-1", "", host="one", loops={"sweep": loop()})
    assert alive.main("one") == 0
    enter(database, "relay-one-2", "", host="one", loops={"sweep": loop(turned_s=100.0)})
    assert alive.main("one") == 1
    assert "relay-one-2/1: the loop sweep has stood still for 100 s" in capsys.readouterr().out
