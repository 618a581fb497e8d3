"""``likeness doctor`` as a command."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli import doctor
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[typer.Typer]:
    app = typer.Typer()
    doctor.register(app)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("LIKENESS_PORT", str(probe.getsockname()[1]))
        monkeypatch.setenv("LIKENESS_MIN_FREE_MB", "1")
        yield app


def test_a_good_embedded_service(app: typer.Typer, tmp_path: Path) -> None:
    migrate(Database.of(Settings(data_dir=tmp_path)))
    done = CliRunner().invoke(app, ["--data-dir", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.output.splitlines()[-1])
    assert said["ok"] is True
    assert [check["name"] for check in said["checks"]] == [
        *(
            "secrets",
            "disk",
            "database",
            "broker",
            "store",
            "relay",
            "loops",
            "clock",
            "addresses",
            "libraries",
            "device",
            "recogniser",
            "service",
        )
    ]
    assert all(check["ok"] for check in said["checks"])


def test_what_is_bad_is_named_and_ends_with_1(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_ENVIRONMENT", "production")
    monkeypatch.setenv("LIKENESS_BROKER_URL", "redis://:changeme@127.0.0.1:1/0")
    done = CliRunner().invoke(app, ["--data-dir", str(tmp_path), "--json"])
    assert done.exit_code == 1
    found = {check["name"]: check for check in json.loads(done.output.splitlines()[-1])["checks"]}
    assert [name for name, check in found.items() if not check["ok"]] == ["secrets", "database", "broker"]
    for variable in ("LIKENESS_SECRET_KEY", "LIKENESS_BROKER_URL", "LIKENESS_DATABASE_URL"):
        assert variable in found["secrets"]["detail"]
    assert "likeness migrate" in found["database"]["detail"]
    assert "BAD  broker" in done.output
    assert "changeme" not in done.output


def test_a_recogniser_that_is_named_must_be_there(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(Database.of(Settings(data_dir=tmp_path)))
    run = ["--data-dir", str(tmp_path)]
    assert "none: a person hears the words" in CliRunner().invoke(app, run).output
    monkeypatch.setenv("LIKENESS_RECOGNISER", "faster-whisper")
    monkeypatch.setenv("LIKENESS_RECOGNISER_MODEL", str(tmp_path))
    done = CliRunner().invoke(app, run)
    assert done.exit_code == 1
    assert "BAD  recogniser the recogniser faster-whisper" in done.output
    assert "LIKENESS_RECOGNISER" in done.output
