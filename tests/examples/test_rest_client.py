from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import uvicorn

from api.app import create_app
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "rest_client.py"
    spec = importlib.util.spec_from_file_location("rest_client", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The real service without a worker, on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(data_dir=tmp_path / "data", port=port, min_free_mb=1)
    database = Database.of(settings)
    migrate(database)
    database.close()
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)


def run(example: ModuleType, service: str, tmp_path: Path, *options: str, clip: Path, recording: Path) -> int:
    arguments = ["--base", service, "--name", "Ada Example", *options]
    code = example.main([*arguments, str(clip), str(recording), str(tmp_path / "out.mp4")])
    assert isinstance(code, int)
    return code


def test_it_gets_as_far_as_the_queue(
    example: ModuleType, service: str, tmp_path: Path, sample_clip: Path, sample_recording: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    # No worker runs here, so the training is accepted and waits; the client gives up as it was told to.
    code = run(
        example,
        service,
        tmp_path,
        "--i-have-consent",
        "--timeout",
        "0",
        clip=sample_clip,
        recording=sample_recording,
    )
    out, err = capsys.readouterr()
    assert code == 1
    assert "training queued" in out
    assert "still queued" in err


def test_without_consent_it_is_refused(
    example: ModuleType, service: str, tmp_path: Path, sample_clip: Path, sample_recording: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code = run(example, service, tmp_path, clip=sample_clip, recording=sample_recording)
    assert code == 1
    assert "onsent" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_said_so(
    example: ModuleType,
    tmp_path: Path,
    sample_clip: Path,
    sample_recording: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = run(example, "http://127.0.0.1:9", tmp_path, clip=sample_clip, recording=sample_recording)
    assert code == 1
    assert "likeness up" in capsys.readouterr().err
