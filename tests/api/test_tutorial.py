"""docs/api.md: its commands, run as they stand there against a service with a worker on tiny stages; its tables."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import likeness.refusals  # noqa: F401 - its problems belong to the family
from api.app import create_app
from cli.tuning import TUNED
from likeness.accounts import SCOPES
from likeness.settings import Settings
from likeness.stores import store_of
from likeness.webhooks import EVENTS
from problems import Problem
from tests.served import Service, served
from tests.workers.tiny_stages import chain

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "api.md"
TEXT = TUTORIAL.read_text()


@pytest.fixture
def service(settings: Settings) -> Iterator[Service]:
    with served(settings.model_copy(update={"auth": "keys"})) as service:
        yield service


@pytest.fixture
def folder(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where somebody types along: with a clip, a recording, the `likeness` command and the service's address."""
    folder = tmp_path / "typed"
    folder.mkdir()
    (folder / "clip.mp4").write_bytes(b"a clip")
    (folder / "recording.wav").write_bytes(b"sound")
    command = tmp_path / "bin" / "likeness"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv(TUNED, "1")
    monkeypatch.setenv("LIKENESS_DATA_DIR", str(service.settings.data_dir))
    monkeypatch.setenv("LIKENESS_SERVER", service.url)
    return folder


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL))


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl")
def test_the_tutorial(service: Service, folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", blocks("bash")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'trainable': True" in done.stdout
    assert "event: stage" in done.stdout
    assert "event: end" in done.stdout
    assert (folder / "video.mp4").read_bytes().startswith(chain(b"a clip", 0).encode() + b"soundlearned")
    assert (folder / "ada.likeness").read_bytes().startswith(b"PK")
    assert "\nTrue\n" in done.stdout, "the video was known as ours"
    assert '"status":"done"' in done.stdout.splitlines()[-1], "the receipt"
    assert list(store_of(service.settings).keys("people")) == [], "the last command deleted the person"


def test_the_python_of_the_tutorial(service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = subprocess.run(
        ["likeness", "keys", "create", "--tenant", "acme"], capture_output=True, text=True, check=True
    )
    monkeypatch.setenv("LIKENESS_API_KEY", made.stdout.strip())
    monkeypatch.chdir(folder)
    exec(compile(blocks("python"), str(TUTORIAL), "exec"), {})
    assert (folder / "bea.mp4").read_bytes().startswith(chain(b"a clip", 0).encode() + b"soundclip")


def _family(kind: type[Problem] = Problem) -> list[type[Problem]]:
    return [member for child in kind.__subclasses__() for member in (child, *_family(child))]


def test_the_table_of_errors_is_the_family() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \| (yes|no) \|", TEXT, re.MULTILINE)
    told = {code: (int(status), retryable == "yes") for code, status, retryable in rows}
    assert len(told) == len(rows), "no code twice"
    served_kinds = [
        kind
        for kind in _family()
        if kind.__module__.split(".")[0] in ("problems", "api") or kind.__module__ == "likeness.refusals"
    ]
    for kind in served_kinds:
        assert told.get(kind.slug) == (kind.status, kind.retryable), kind.slug
    assert set(told) <= {kind.slug for kind in _family()}, "a code that there is not"


def test_what_the_reference_names_is_there(settings: Settings) -> None:
    for scope in SCOPES:
        assert f"| `{scope}` |" in TEXT
    for event in EVENTS:
        kind, _, ending = event.partition(".")
        assert f"`{kind}`" in TEXT or f"`{event}`" in TEXT
        assert f"`.{ending}`" in TEXT or f"`{event}`" in TEXT
    known = {re.sub(r"\{\w+\}", "{}", path) for path in create_app(settings).openapi()["paths"]}
    named = {
        re.sub(r"\{\w+\}", "{}", path) for path in re.findall(r"/v1/[a-z-]+(?:/(?:[a-z-]+|\{\w+\}))*", TEXT)
    }
    assert len(named) > 20
    assert named <= known


def test_the_operations_page_lists_every_setting() -> None:
    text = (TUTORIAL.parent / "operations.md").read_text()
    for name in Settings.model_fields:
        assert f"`LIKENESS_{name.upper()}`" in text, name
