"""What a job says while nothing happens to it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.app import create_app
from likeness.clock import now
from likeness.database import Database
from likeness.repositories.leases import LeaseRepository
from likeness.repositories.workers import WorkerRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Stage, Worker
from tests.api.calls import problem
from tests.likeness.service import training


def enter(database: Database, slot: str, queues: str, age_s: float = 0) -> None:
    seen = now() - timedelta(seconds=age_s)
    with database.write() as session:
        WorkerRepository(session).register(
            Worker(id=f"{slot}/1", slot=slot, host="h", pid=1, queues=queues, started_at=seen, last_seen=seen)
        )


def message(client: TestClient, job_id: str) -> str:
    said: str = client.get(f"/v1/jobs/{job_id}").json()["progress"]["message"]
    assert said in client.get(f"/jobs/{job_id}").text, "the dashboard says it too"
    return said


@pytest.fixture
def job(settings: Settings, database: Database, store: LocalStore) -> str:
    return training(settings, database, store)[1]


def test_a_queue_without_a_worker(client: TestClient, database: Database, job: str) -> None:
    enter(database, "gpu-1", "gpu")
    enter(database, "dead-1", "cpu", age_s=121)
    assert message(client, job) == "no worker takes the queue cpu; jobs wait until one is started"
    enter(database, "cpu-1", "cpu")
    assert message(client, job) == ""


def test_a_pause_is_no_standstill(client: TestClient, database: Database, job: str) -> None:
    with database.write() as session:
        session.execute(
            update(Stage).where(Stage.status == "queued").values(not_before=now() + timedelta(hours=1))
        )
    assert message(client, job) == ""


def test_a_silent_worker(client: TestClient, database: Database, job: str) -> None:
    enter(database, "cpu-1", "cpu")
    with database.write() as session:
        assert LeaseRepository(session).claim(owner="cpu-1/1", now=now(), lease_s=60)
    assert message(client, job) == ""
    with database.write() as session:
        session.execute(
            update(Stage).where(Stage.status == "running").values(lease_until=now() - timedelta(seconds=1))
        )
        WorkerRepository(session).seen("cpu-1/1", now() - timedelta(seconds=300))
        since = f"{now() - timedelta(seconds=300):%Y-%m-%d %H:%M}"
    said = message(client, job)
    assert said.startswith(f"no sign of life since {since}")
    assert said.endswith("UTC; it goes on when a worker for the queue cpu is started")
    enter(database, "cpu-2", "cpu")
    assert message(client, job).endswith("UTC; another worker will take it over")


def test_ready_says_which_queue_nobody_takes(settings: Settings, database: Database, job: str) -> None:
    enter(database, "gpu-1", "gpu")
    with TestClient(create_app(settings)) as client:
        body = problem(client.get("/readyz"), 503, "not_ready")
        assert "no worker takes the queue cpu" in body["detail"]
        enter(database, "cpu-1", "cpu")
        assert client.get("/readyz").json()["status"] == "ready"
