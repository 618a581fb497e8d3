"""``likeness up`` as a process: it starts, is ready, takes an upload, and stops in good order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def running(data_dir: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process and its address, once it answers."""
    command = [sys.executable, "-c", "import typer, cli.up; a = typer.Typer(); cli.up.register(a); a()"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LIKENESS_MIN_FREE_MB": "1"}
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", "0", "--data-dir", str(data_dir)], stderr=stream, env=env, cwd=ROOT
        )
    try:
        deadline = time.monotonic() + 60
        while (found := re.search(r"http://\S+", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process, found.group()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_stops_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "data", tmp_path / "log") as (process, url):
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/readyz").json()["status"] == "ready"
        sent = httpx.post(f"{url}/v1/uploads?purpose=clip", content=b"x" * 2**20)
        assert sent.status_code == 201
        process.send_signal(number)
        assert process.wait(timeout=40) == 0
        log = (tmp_path / "log").read_text()
        assert "the service is gone" not in log, "the worker was told to stop, not orphaned"
        assert "what was running goes on" in log
    if number is signal.SIGTERM:
        with running(tmp_path / "data", tmp_path / "log2") as (_, again):
            uploads = httpx.get(f"{again}/v1/uploads").json()["data"]
            assert [item["id"] for item in uploads] == [sent.json()["id"]]


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with running(tmp_path / "data", tmp_path / "log") as (_, url):
        port = url.rsplit(":", 1)[1]
        second = subprocess.run(
            [
                *[sys.executable, "-c", "import typer, cli.up; a = typer.Typer(); cli.up.register(a); a()"],
                *["--port", port, "--data-dir", str(tmp_path / "other")],
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert second.returncode == 3
        assert f"port {port}" in second.stderr
        assert not (tmp_path / "other").exists(), "nothing was made"
