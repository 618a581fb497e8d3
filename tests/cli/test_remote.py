"""``likeness inspect``, ``personalize`` and ``dub`` against a service."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.remote import RemoteWork
from cli.tuning import TUNED
from likeness.accounts import create_key, create_tenant
from likeness.client import Client
from likeness.client.answers import Job, Progress
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings
from tests.served import Service, served
from tests.workers.tiny_stages import chain


def deployment(folder: Path, **more: Any) -> Settings:
    return Settings(
        data_dir=folder / "data", min_free_mb=1, progress_every_s=0, poll_s=0.02, retry_backoff_s=0, **more
    )


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A service with accounts and a worker, and a key of one tenant."""
    settings = deployment(tmp_path_factory.mktemp("keyed"), auth="keys")
    database = Database.of(settings)
    migrate(database)
    tenant = create_tenant(database, "Acme")
    _, secret = create_key(database, tenant_id=tenant, name="cli", scopes=["read", "train", "render"])
    database.close()
    with served(settings) as service:
        yield service, secret


@pytest.fixture
def command(keyed: tuple[Service, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command against it; returns its exit code, its JSON and what it said on stderr."""
    service, secret = keyed
    monkeypatch.setenv("LIKENESS_API_KEY", secret)
    monkeypatch.setattr("cli.remote._POLL_S", 0.05)

    def run(*arguments: object) -> tuple[int, dict[str, Any], str]:
        result = CliRunner().invoke(app, [*map(str, arguments), "--server", service.url, "--json"])
        lines = result.stdout.splitlines()
        return result.exit_code, json.loads(lines[-1]) if lines else {}, result.stderr

    return run


def test_from_clip_to_video(command: Any, tmp_path: Path, keyed: tuple[Service, str]) -> None:
    clip, recording, person, video = (tmp_path / name for name in ("c.mp4", "r.wav", "p.likeness", "v.mp4"))
    clip.write_bytes(b"a clip")
    recording.write_bytes(b"sound")
    code, report, _ = command("inspect", clip)
    assert (code, report["trainable"], report["name"]) == (0, True, "c.mp4")

    code, learned, said = command(
        "personalize", clip, "-o", person, "--subject", "Ada Example", "--attest", "--seed", 3
    )
    assert (code, learned["person"], learned["bytes"]) == (0, str(person), person.stat().st_size)
    assert person.read_bytes().startswith(b"PK")
    assert "upload c.mp4" in said
    assert "render" in said
    assert "% of all" in said

    for who in (person, learned["person_id"]):  # the file's bytes say whose it is
        code, dubbed, _ = command("dub", who, recording, "-o", video, "--pose", "still")
        assert (code, dubbed["video"], dubbed["person_id"]) == (0, str(video), learned["person_id"])
        assert video.read_bytes().startswith(chain(b"a clip", 3).encode() + b"soundstill")
        video.unlink()
    service, secret = keyed
    consents = list(Client(service.url, secret).consents.list())
    assert [(each.subject_name, each.status) for each in consents] == [("Ada Example", "attested")]
    code, again, _ = command("personalize", clip, "-o", person, "--consent", consents[0].id)
    assert (code, again["preset"]) == (0, "preview")


def test_a_job_that_fails_ends_as_it_would_here(command: Any, tmp_path: Path) -> None:
    clip = tmp_path / "c.mp4"
    clip.write_bytes(b"no face")
    code, report, _ = command("inspect", clip)
    assert (code, report["trainable"]) == (1, False)
    out = tmp_path / "p.likeness"
    code, answer, said = command("personalize", clip, "-o", out, "--subject", "Bo Example", "--attest")
    assert (code, answer["error"]["slug"]) == (3, "no_face")
    assert "film again with the face in view" in said
    assert not out.exists()


def test_the_same_words_for_people(
    keyed: tuple[Service, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service, secret = keyed
    monkeypatch.setenv("LIKENESS_API_KEY", secret)
    monkeypatch.setenv("LIKENESS_SERVER", service.url)
    clip = tmp_path / "c.mp4"
    clip.write_bytes(b"no face")
    result = CliRunner().invoke(app, ["inspect", str(clip)])
    assert result.exit_code == 1, result.output
    assert "no face in frame 7 (frames 7)" in result.stdout
    assert "not trainable" in result.stdout


def test_without_a_key_it_is_refused(keyed: tuple[Service, str], tmp_path: Path) -> None:
    clip = tmp_path / "c.mp4"
    clip.write_bytes(b"a clip")
    result = CliRunner().invoke(app, ["inspect", str(clip), "--server", keyed[0].url, "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["slug"] == "unauthenticated"
    assert "likeness keys create" in result.stderr


def test_a_person_file_that_nobody_has(command: Any, tmp_path: Path) -> None:
    for name in ("p.likeness", "r.wav"):
        (tmp_path / name).write_bytes(b"other")
    code, answer, _ = command("dub", tmp_path / "p.likeness", tmp_path / "r.wav", "-o", tmp_path / "o.mp4")
    assert (code, answer["error"]["slug"]) == (3, "not_found")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--subject", "Ada"],
        ["--attest"],
        ["--consent", "con_1", "--attest"],
        ["--consent", "con_1", "--frames", "3"],
        ["--consent", "con_1", "--model", "bfm"],
    ],
)
def test_options_that_do_not_fit_together(options: list[str], tmp_path: Path) -> None:
    arguments = [
        "personalize",
        "c.mp4",
        "-o",
        str(tmp_path / "p"),
        "--server",
        "http://127.0.0.1:9",
        *options,
    ]
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_consent_has_no_meaning_here(tmp_path: Path) -> None:
    arguments = ["personalize", "c.mp4", "-o", str(tmp_path / "p"), "--subject", "Ada", "--attest"]
    assert CliRunner().invoke(app, arguments).exit_code == 2


@pytest.mark.slow
def test_ctrl_c_leaves_the_job_running_and_says_so(tmp_path: Path) -> None:
    # Nobody works here, so the job waits for as long as the test needs.
    (tmp_path / "c.mp4").write_bytes(b"a clip")
    with served(deployment(tmp_path), works=False) as service:
        client = Client(service.url)
        command = [sys.executable, "-m", "cli", "inspect", "c.mp4", "--server", service.url]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, TUNED: "1", "PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 30
        while not (jobs := list(client.jobs.list())):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(0.7)  # it has looked at the job
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        assert f"the inspection {jobs[0].id} goes on" in said
        assert client.jobs.get(jobs[0].id).status == "queued", "it was left alone"
        # what it says to run does what it says
        [address] = re.findall(r"curl -X POST.* (http\S+)/cancel", said)
        assert address == f"{service.url}/v1/inspections/{jobs[0].id}"
        assert client.inspections.cancel(jobs[0].id).status == "canceled"


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    clip = tmp_path / "c.mp4"
    clip.write_bytes(b"a clip")
    result = CliRunner().invoke(app, ["inspect", str(clip), "--server", "http://127.0.0.1:9"])
    assert result.exit_code == 4
    assert "likeness up" in result.stderr


def test_each_stage_has_its_bar() -> None:
    # What a row says while a stage has not said anything yet is the former one's, which must not end it.
    now = datetime.now(UTC)
    ticks: list[tuple[str, int, int, str]] = []
    work = RemoteWork(
        Client("http://127.0.0.1:9"),
        lambda tick: ticks.append((tick.stage, tick.done, tick.total, tick.message)),  # type: ignore[arg-type]
    )

    def look(
        status: str, stage: str, percent: float, done: int, total: int, eta: float | None = None
    ) -> None:
        progress = Progress(percent, done, total, eta)
        job = Job(
            id="job_1", object="training", status=status, stage=stage, progress=progress, created_at=now
        )
        work._draw(job)

    look("queued", "validate", 0, 0, 0)
    look("running", "validate", 2, 5, 10, 90)
    look("running", "validate", 5, 10, 10)
    look("running", "fit", 5, 10, 10, 61)
    look("running", "fit", 9, 300, 300)
    look("running", "fit", 12, 1, 20)
    look("succeeded", "fit", 100, 20, 20)
    assert ticks == [
        ("validate", 0, 0, "waits"),
        ("validate", 5, 10, "2 % of all, 1:30 left"),
        ("validate", 9, 10, "5 % of all"),
        ("validate", 1, 1, ""),
        ("fit", 0, 0, "5 % of all, 1:01 left"),
        ("fit", 299, 300, "9 % of all"),
        ("fit", 1, 20, "12 % of all"),
        ("fit", 20, 20, "100 % of all"),
    ]
