"""What a worker's memory has no room for lies in the data folder, and goes with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from likeness.settings import Settings
from workers.spill import spilling_to_disk


@pytest.fixture(autouse=True)
def _no_folder_of_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)


def test_temporary_files_lie_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    before = tempfile.gettempdir()
    with spilling_to_disk(settings) as folder:
        assert folder.parent == settings.data_dir / "spill"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert Path(tempfile.mkdtemp()).parent == folder
        said = "import tempfile; print(tempfile.gettempdir())"
        child = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
        assert child.stdout.strip() == str(folder), "decoders are processes of their own"
    assert tempfile.gettempdir() == before
    assert "TMPDIR" not in os.environ
    assert list((settings.data_dir / "spill").iterdir()) == []


def test_a_folder_that_the_operator_has_chosen_is_left_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with spilling_to_disk(Settings(data_dir=tmp_path / "data")) as folder:
        assert folder == tmp_path
    assert not (tmp_path / "data" / "spill").exists()


def test_a_killed_workers_spill_goes_with_the_next_start_and_a_living_ones_stays(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    code = f"""
import pathlib, sys, tempfile
from likeness.settings import Settings
from workers.spill import spilling_to_disk
with spilling_to_disk(Settings(data_dir={str(settings.data_dir)!r})) as folder:
    (folder / "frames").write_bytes(b"a face")
    print(folder, flush=True)
    sys.stdin.read()
"""
    start = [sys.executable, "-c", code]
    workers = [
        subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        killed, living = (Path((worker.stdout or sys.stdin).readline().strip()) for worker in workers)
        workers[0].send_signal(signal.SIGKILL)
        workers[0].wait()
        assert (killed / "frames").exists()
        with spilling_to_disk(settings):
            assert not killed.exists()
            assert (living / "frames").exists()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    pipe.close()


@pytest.mark.parametrize("arguments", [["-m", "cli", "worker", "--once"], ["-m", "workers.process"]])
def test_each_way_to_start_a_worker_spills_there(tmp_path: Path, arguments: list[str]) -> None:
    """Told by what it cleans away: another's leftovers are found in the folder that it uses itself."""
    data = tmp_path / "data"
    Settings(data_dir=data).prepare_folders()
    from likeness.database import Database
    from likeness.schema import migrate

    database = Database.of(Settings(data_dir=data))
    migrate(database)
    database.close()
    left = data / "spill" / "0123456789abcdef"
    left.mkdir(parents=True)
    environment = {**os.environ, "LIKENESS_DATA_DIR": str(data), "LIKENESS_WORKER_SLOT": "embedded"}
    worker = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while left.exists():
            assert worker.poll() in (None, 0), (worker.stderr or sys.stdin).read()
            if worker.poll() == 0:
                break
    finally:
        worker.kill()
        worker.communicate()
    assert not left.exists()
