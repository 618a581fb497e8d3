"""The position that a job is told is the number of claims before its own, on both databases."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.repositories.leases import LeaseRepository
from likeness.repositories.turns import MOST_AHEAD, TurnRepository
from likeness.tables import Job, Stage, Tenant, Wake, Worker

START = now()
TENANTS = 4


def job(tenant_id: str, *, priority: int, queued_at: datetime, queue: str = "cpu") -> tuple[Job, Stage, Wake]:
    row = Job(
        id=new_id("job"), tenant_id=tenant_id, kind="inspection", scope="uploads/upl_x", status="queued",
        params={}, progress={}, created_at=START,
    )  # fmt: skip
    stage = Stage(
        id=new_id("stg"), tenant_id=tenant_id, ordinal=0, name="inspect", queue=queue, status="queued",
        priority=priority, queued_at=queued_at, job=row,
    )  # fmt: skip
    return row, stage, Wake(stage=stage, queue=queue, created_at=START)


@st.composite
def queues(draw: st.DrawFn) -> list[dict[str, object]]:
    """Jobs of some tenants, of which some run since some time, some ended, some wait."""
    return [
        {
            "tenant": draw(st.integers(0, TENANTS - 1)),
            "state": draw(st.sampled_from(["queued", "queued", "queued", "running", "ended", "later"])),
            "priority": draw(st.sampled_from([10, 20])),
            "queue": draw(st.sampled_from(["cpu", "cpu", "gpu"])),
            "age": draw(st.integers(0, 5)),
        }
        for _ in range(draw(st.integers(1, 14)))
    ]


def told_and_served(
    database: Database, wanted: list[dict[str, object]], worker: tuple[str, ...] | None
) -> tuple[list[str], list[str]]:
    """Jobs by the position that each was told, and in the order in which they were really taken."""
    tenants = [f"ten_{new_id('x')[-20:]}" for _ in range(TENANTS)]
    with database.write() as session:
        for table in (Wake, Stage, Job, Worker):
            session.query(table).delete()
        for tenant_id in tenants:
            session.add(Tenant(id=tenant_id, name="t", created_at=START))
        session.flush()
        if worker is not None:
            took = {"started_at": now(), "last_seen": now()}
            session.add(Worker(id="w/1", slot="w", host="h", pid=1, queues=",".join(worker), **took))
        for number, each in enumerate(wanted):
            age = timedelta(seconds=int(str(each["age"])))
            row, stage, wake = job(
                tenants[int(str(each["tenant"]))],
                priority=int(str(each["priority"])),
                queued_at=START - age,
                queue=str(each["queue"]),
            )
            started = START - age - timedelta(milliseconds=number)
            if each["state"] == "running":
                row.status = stage.status = "running"
                stage.started_at, stage.lease_until = started, START + timedelta(hours=1)
            elif each["state"] == "ended":
                row.status = stage.status = "succeeded"
                stage.started_at = started
            elif each["state"] == "later":
                stage.not_before = START + timedelta(hours=1)
            session.add_all([row, stage, wake])
    taken = worker or ("cpu",)
    with database.read() as session:
        waiting = [
            (stage.job_id, stage.not_before)
            for stage in session.query(Stage).filter(Stage.status == "queued", Stage.queue.in_(taken))
        ]
        positions = {
            job_id: TurnRepository(session).ahead(job_id, START) for job_id, later in waiting if not later
        }
        for job_id, later in waiting:
            if later:  # it is told how many would be taken before it if its time had come
                assert 0 <= TurnRepository(session).ahead(job_id, START) <= len(positions)
    served, moment = [], START
    while True:
        moment += timedelta(seconds=1)
        with database.write() as session:
            held = LeaseRepository(session).claim(owner="w/1", now=moment, lease_s=9999, queues=taken)
        if held is None:
            break
        served.append(held.job_id)
    assert sorted(positions.values()) == list(range(len(positions))), "each place is told to one"
    return sorted(positions, key=lambda job_id: positions[job_id]), served


@pytest.mark.parametrize("worker", [None, ("cpu",), ("cpu", "gpu")])
@settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
@given(wanted=queues())
def test_everybody_is_told_when_their_turn_comes(
    worker: tuple[str, ...] | None, either_database: Database, wanted: list[dict[str, object]]
) -> None:
    told, served = told_and_served(either_database, wanted, worker)
    assert told == served


def test_a_crowd_of_another_tenant_is_not_before_somebody(either_database: Database) -> None:
    with either_database.write() as session:
        for name in ("crowd", "single"):
            session.add(Tenant(id=f"ten_{name}", name=name, created_at=START))
        session.flush()
        for second in range(20):
            session.add_all(job("ten_crowd", priority=10, queued_at=START - timedelta(seconds=60 - second)))
        mine = job("ten_single", priority=10, queued_at=START)
        session.add_all(mine)
    with either_database.read() as session:
        assert TurnRepository(session).ahead(mine[0].id, START) == 1, (
            "of two who were never served, one is first"
        )
    with either_database.write() as session:
        assert LeaseRepository(session).claim(owner="w/1", now=START, lease_s=60) is not None
    with either_database.read() as session:
        assert TurnRepository(session).ahead(mine[0].id, START) == 0
        last = session.query(Stage).filter(Stage.tenant_id == "ten_crowd", Stage.status == "queued")
        assert TurnRepository(session).ahead(last.order_by(Stage.queued_at.desc())[0].job_id, START) == 19
        assert TurnRepository(session).ahead("job_none", START) == 0


def test_counting_ends_somewhere(either_database: Database) -> None:
    with either_database.write() as session:
        for name in ("a", "b"):
            session.add(Tenant(id=f"ten_{name}", name=name, created_at=START))
            session.flush()
            for second in range(MOST_AHEAD // 2 + 10):
                session.add_all(job(f"ten_{name}", priority=10, queued_at=START + timedelta(seconds=second)))
        last = job("ten_b", priority=20, queued_at=START)
        session.add_all(last)
    with either_database.read() as session:
        assert TurnRepository(session).ahead(last[0].id, START) == MOST_AHEAD
