"""The supervisor and its worker as real processes, killed for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from likeness.database import Database
from likeness.repositories.jobs import JobRepository
from likeness.requests import cancel
from likeness.schema import current_revision, head_revision
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Job
from problems import Conflict
from tests.likeness.service import training
from tests.workers.tiny_stages import STEPS, chain
from workers.supervisor import Supervisor

COMMAND = (sys.executable, "-m", "tests.workers.tiny_stages")


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lines of ``pid step`` from the render stage, which takes about two seconds."""
    path = tmp_path / "steps.log"
    path.touch()
    monkeypatch.setenv("LIKENESS_TINY_LOG", str(path))
    monkeypatch.setenv("LIKENESS_TINY_STEP_S", "0.1")
    return path


@pytest.fixture
def supervisor(settings: Settings) -> Iterator[Supervisor]:
    with Supervisor(settings, command=COMMAND) as supervisor:
        yield supervisor


def job_of(database: Database, job_id: str) -> Job:
    with database.read() as session:
        job = JobRepository(session).get(job_id)
    assert job is not None
    return job


def steps_of(log: Path) -> list[tuple[int, int]]:
    return [(int(pid), int(step)) for pid, step in (line.split() for line in log.read_text().splitlines())]


def test_a_killed_worker_is_replaced_and_its_job_goes_on_from_the_checkpoint(
    settings: Settings,
    database: Database,
    store: LocalStore,
    log: Path,
    supervisor: Supervisor,
) -> None:
    """The lease lasts a minute; that this test does not shows that the successor takes over at once."""
    person, job = training(settings, database, store)
    wait_for(lambda: len(steps_of(log)) >= 5)
    victim = supervisor.state().pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: job_of(database, job).status == "succeeded")
    steps = steps_of(log)
    first = [step for pid, step in steps if pid == victim]
    second = [step for pid, step in steps if pid != victim]
    assert len({pid for pid, _ in steps}) == 2
    assert first == list(range(len(first)))
    assert len(first) >= 5
    # A step may be done twice when the kill fell between doing and saving it, but not those before it.
    assert second in (list(range(len(first), STEPS)), list(range(len(first) - 1, STEPS)))
    render = job_of(database, job).stages[3]
    assert (render.attempt, render.fence) == (2, 2)
    commits = [key for key in store.keys(f"people/{person}") if key.endswith("renderer.safetensors")]
    assert len(commits) == 1
    assert store.local_path(commits[0]).read_text() == chain(b"a clip", 0), "as if it had never been killed"
    assert supervisor.state().restarts == 1


def test_state_survives_a_restart_of_the_service(
    settings: Settings,
    database: Database,
    store: LocalStore,
    log: Path,
) -> None:
    _, job = training(settings, database, store)
    with Supervisor(settings, command=COMMAND):
        wait_for(lambda: len(steps_of(log)) >= 3)
    stage = job_of(database, job).stages[3]
    assert (stage.status, stage.attempt) == ("queued", 0), "put down, not given up"
    with Supervisor(settings, command=COMMAND):
        wait_for(lambda: job_of(database, job).status == "succeeded")
    assert sorted(step for _, step in steps_of(log)) == list(range(STEPS)), "each step once"


def test_cancel_reaches_the_worker(
    settings: Settings,
    database: Database,
    store: LocalStore,
    log: Path,
    supervisor: Supervisor,
) -> None:
    _, job = training(settings, database, store)
    wait_for(lambda: len(steps_of(log)) >= 2)
    cancel(database, job)
    wait_for(lambda: job_of(database, job).status == "canceled")
    assert len(steps_of(log)) < STEPS
    assert supervisor.state().restarts == 0


def test_a_dead_worker_is_said_and_the_schema_is_made_first(settings: Settings) -> None:
    with Supervisor(settings, command=(sys.executable, "-c", "raise SystemExit(3)")) as supervisor:
        wait_for(lambda: supervisor.state().restarts >= 1 and not supervisor.state().alive)
        assert "exit status 3" in supervisor.state().detail
        fresh = Database.of(settings)
        assert current_revision(fresh) == head_revision()
        fresh.close()


def test_what_a_crash_left_half_done_is_swept(settings: Settings, store: LocalStore) -> None:
    settings.prepare_folders()
    (settings.incoming_dir / "half").write_bytes(b"x")
    (store.root / ".incoming" / "trash").mkdir()
    (store.root / ".incoming" / "trash" / "face").write_bytes(b"x")
    with Supervisor(settings, command=COMMAND):
        assert list(settings.incoming_dir.iterdir()) == []
        assert [path for path in store.root.rglob("*") if path.is_file()] == []


def test_one_service_a_data_folder(settings: Settings, supervisor: Supervisor) -> None:
    with pytest.raises(Conflict, match="already running"), Supervisor(settings, command=COMMAND):
        pass
    assert supervisor.state().alive


def test_the_worker_dies_with_a_killed_service(settings: Settings, tmp_path: Path) -> None:
    """SIGKILL gives the supervisor no chance to say anything; the worker must not live on with its lock."""
    script = (
        "import sys, time; from likeness.settings import Settings; from workers.supervisor import Supervisor\n"
        f"with Supervisor(Settings(), command={COMMAND!r}) as s:\n"
        "    print(s.state().pid, flush=True); time.sleep(600)\n"
    )
    env = {**os.environ, "LIKENESS_DATA_DIR": str(settings.data_dir), "PYTHONPATH": os.getcwd()}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=env, text=True
    ) as service:
        assert service.stdout is not None
        worker = psutil.Process(int(service.stdout.readline()))
        service.kill()
    worker.wait(timeout=30)
    with Supervisor(settings, command=COMMAND) as successor:
        assert successor.state().alive


def test_leaving_ends_the_worker(settings: Settings) -> None:
    with Supervisor(settings, command=COMMAND) as supervisor:
        pid = supervisor.state().pid
        assert pid is not None
    assert not psutil.pid_exists(pid)


def test_the_worker_is_told_the_keys_of_the_store(settings: Settings) -> None:
    settings = settings.model_copy(update={"s3_access_key": "key", "s3_secret_key": SecretStr("secret")})
    settings.prepare_folders()
    told = Supervisor(settings)._environment()
    assert (told["LIKENESS_S3_ACCESS_KEY"], told["LIKENESS_S3_SECRET_KEY"]) == ("key", "secret")
    assert "LIKENESS_S3_PATH_STYLE" not in told, "unset stays unset"
