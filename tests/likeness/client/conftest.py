from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from likeness.client import Client, RetryConfig
from likeness.settings import Settings
from tests.served import Service, served

QUICK = RetryConfig(first_pause_s=0.01, timeout_s=20)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all tests of a file: each makes its own people."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("served") / "data",
        min_free_mb=1,
        max_upload_mb=64,
        progress_every_s=0,
        poll_s=0.02,
        retry_backoff_s=0,
        webhooks_to_private=True,
    )
    with served(settings) as service:
        yield service


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service.url, retry=QUICK)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a clip")
    return path
