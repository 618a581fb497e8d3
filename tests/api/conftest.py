from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from likeness.database import Database
from likeness.health import WorkerState
from likeness.settings import Settings
from likeness.store import LocalStore
from tests.likeness.service import (  # noqa: F401
    database,
    either_database,
    postgres_url,
    settings,
    store,
)
from tests.workers.tiny_stages import REGISTRY
from workers.runner import Runner


class Watch:
    """Stands where the supervisor does: what it says is what the service believes."""

    alive = True

    def __call__(self) -> WorkerState:
        return WorkerState(self.alive, 1, 0, "alive" if self.alive else "the worker process is not alive")


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def client(settings: Settings, database: Database, watch: Watch) -> Iterator[TestClient]:
    """A client of the application on a migrated database."""
    with TestClient(create_app(settings, watch=watch), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def runner(settings: Settings, database: Database, store: LocalStore) -> Runner:
    """The worker, in this process: call ``run_all`` to let it work."""
    return Runner(database, store, settings, registry=REGISTRY)
