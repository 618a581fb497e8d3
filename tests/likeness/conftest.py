from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.likeness.object_servers import moto_server, rclone_server
from tests.likeness.service import (  # noqa: F401
    database,
    either_database,
    postgres_database,
    postgres_url,
    settings,
    store,
)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """The URL of one S3 server for the whole run; each test makes a bucket of its own."""
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The same of rclone, with the folder that its buckets are folders of."""
    folder = tmp_path_factory.mktemp("rclone")
    with rclone_server(folder) as url:
        yield url, folder
