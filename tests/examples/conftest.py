from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from likeness.accounts import create_key, create_tenant
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings
from tests.served import Service, served

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A service with accounts and a worker, and an admin key of one tenant."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("examples") / "data",
        auth="keys",
        min_free_mb=1,
        progress_every_s=0,
        poll_s=0.02,
        retry_backoff_s=0,
        webhooks_to_private=True,
    )
    database = Database.of(settings)
    migrate(database)
    _, secret = create_key(database, tenant_id=create_tenant(database, "Acme"), name="a", scopes=["admin"])
    database.close()
    with served(settings) as service:
        yield service, secret


@pytest.fixture
def at_service(keyed: tuple[Service, str], monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service, with address and key in the environment as a user has them."""
    service, secret = keyed
    monkeypatch.setenv("LIKENESS_SERVER", service.url)
    monkeypatch.setenv("LIKENESS_API_KEY", secret)
    return service
