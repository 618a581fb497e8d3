"""The commands of docs/api.md, run as they stand there, against a service with a worker on tiny stages."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from api.app import create_app
from likeness.database import Database
from likeness.settings import Settings
from likeness.store import LocalStore
from tests.workers.tiny_stages import chain
from workers.runner import Runner, work_forever

TUTORIAL = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def address(settings: Settings, database: Database, runner: Runner) -> Iterator[str]:
    """A served address, with a worker in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_config=None))
    threads = [
        threading.Thread(target=server.run, kwargs={"sockets": [listener]}),
        threading.Thread(target=work_forever, args=(runner,)),
    ]
    for thread in threads:
        thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    runner.stop.set()
    for thread in threads:
        thread.join()
    listener.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl")
def test_the_tutorial(address: str, tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    (tmp_path / "recording.wav").write_bytes(b"sound")
    script = "\n".join(re.findall(r"```bash\n(.*?)```", TUTORIAL.read_text(), re.DOTALL))
    assert script.count("http://127.0.0.1:8000") == 1
    script = script.replace("http://127.0.0.1:8000", address)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'trainable': True" in done.stdout
    assert (tmp_path / "video.mp4").read_bytes() == chain(b"a clip", 0).encode() + b"soundlearned"
    assert (tmp_path / "ada.likeness").read_bytes().startswith(b"PK")
    assert list(store.keys("people")) == [], "the last command deleted the person"


def test_the_operations_page_lists_every_setting() -> None:
    text = (TUTORIAL.parent / "operations.md").read_text()
    for name in Settings.model_fields:
        assert f"`LIKENESS_{name.upper()}`" in text, name
