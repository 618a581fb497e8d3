"""The fault schedule on real Postgres, Redis, Celery workers and relays: a short one; long ones by `./dev long`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from benchmarks.day_of_jobs import Day, simulate
from benchmarks.fault_schedule import FaultSchedule, Ordeal
from benchmarks.job_stack import JobStack
from cli.main import app
from likeness.tables import Stage


def nothing_is_lost(faults: dict[str, Any]) -> None:
    zeros = ("lost", "left_running", "expired_leases", "undeleted")
    for name in (*zeros, "duplicated", "stale_commits", "unverified", "wrong_results"):
        assert faults[name] == 0, faults
    assert set(faults["statuses"]) <= {"succeeded", "canceled"}, faults
    assert faults["statuses"]["succeeded"] > faults["jobs"] / 2


@pytest.mark.slow
def test_a_dozen_jobs_survive_what_may_happen(tmp_path: Path) -> None:
    with JobStack(tmp_path) as stack:
        ordeal = Ordeal(stack, FaultSchedule(jobs=12, seed=3, workers=2, tenants=2, patience_s=90))
        nothing_is_lost(ordeal.run())
        with stack.database.read() as session:
            owners = {stage.tenant_id for stage in session.scalars(select(Stage))}
        assert len(owners) == 2
    assert sum(ordeal.faults.values()) >= 2


@pytest.mark.slow
def test_the_benchmark_ends_with_its_figures() -> None:
    answer = CliRunner().invoke(app, ["bench", "jobs", "--quick", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout.splitlines()[-1])
    nothing_is_lost(result["faults"])
    assert set(result["claims_per_s"]) == {"500", "5000"}
    # A queue ten times as long must not make claims slower; three is the noise of a busy machine.
    assert result["claims_per_s"]["5000"] > result["claims_per_s"]["500"] / 3
    assert 0 < result["enqueue_to_start_ms"]["p50"] <= result["enqueue_to_start_ms"]["p99"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.timeout(1500)
def test_hundreds_of_jobs_survive_what_may_happen(tmp_path: Path, seed: int) -> None:
    with JobStack(tmp_path) as stack:
        nothing_is_lost(Ordeal(stack, FaultSchedule(jobs=250, seed=seed)).run())


def test_a_simulated_day_knows_what_runs_out() -> None:
    small = Day(jobs=600, gpus=4, cpus=4, tenants=20)
    calm = simulate(small)
    assert calm["wait_s"]["video"]["p50"] < 1
    assert max(calm["busy"].values()) < 1
    crowded = simulate(Day(jobs=6000, gpus=4, cpus=4, tenants=20))
    assert crowded["wait_s"]["video"]["p50"] > 60
    assert 0.95 < crowded["busy"]["cpu"] < 1.02
