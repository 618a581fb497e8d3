"""The benchmark of the API, on a real one: a small load on SQLite; on Postgres by `./dev long`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.api import ApiBench, run, served_by
from benchmarks.uploaders import upload_all
from cli.main import app
from problems import InvalidParameter
from tests.likeness.internet import Site, answer


def plausible(result: dict[str, Any]) -> None:
    assert set(result) == {
        "p50_ms", "p99_ms", "requests", "errors", "peak_rss_mb", "startup_seconds", "torch_imported",
        "upload_mb_per_s",
    }  # fmt: skip
    assert result["errors"] == 0, result
    assert 0 < result["p50_ms"] <= result["p99_ms"]
    assert 30 < result["peak_rss_mb"] < 400
    assert result["startup_seconds"] > 0.2
    assert result["torch_imported"] is False
    assert result["upload_mb_per_s"] > 0.5


@pytest.mark.slow
def test_a_small_load_on_an_api_that_it_starts() -> None:
    result = run(ApiBench("sqlite", clients=6, uploads=3, upload_mb=3, poll_s=2.0, jobs=2))
    plausible(result)
    assert result["requests"] >= 12


@pytest.mark.parametrize(("status", "errors"), [("201 Created", 0), ("413 Too Large", 3)])
def test_an_upload_counts_when_it_was_taken(status: str, errors: int) -> None:
    site = Site({"*": answer(status=status)}, whole_bodies=True)
    try:
        told = asyncio.run(upload_all(f"http://127.0.0.1:{site.port}", 3, 2))
    finally:
        site.close()
    assert told["errors"] == errors
    assert told["seconds"] > 0
    assert sorted(head.split()[1] for head in site.requests) == [
        f"/v1/uploads?purpose=clip&filename={index}.mp4" for index in range(3)
    ]
    assert site.received == 3 * 2 * 10**6


def test_another_database_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="oracle"):
        served_by("oracle")


@pytest.mark.slow
def test_the_benchmark_ends_with_its_figures() -> None:
    answer = CliRunner().invoke(app, ["bench", "api", "--quick", "--json"])
    assert answer.exit_code == 0, answer.output
    result = json.loads(answer.stdout.splitlines()[-1])
    plausible(result)
    assert result["requests"] >= 200
