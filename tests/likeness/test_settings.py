"""Settings from the environment, and the kernel locks."""

from __future__ import annotations

from pathlib import Path

import pytest

from likeness.locks import hold
from likeness.settings import Settings
from problems import Conflict, InvalidParameter


def test_the_environment_and_overrides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIKENESS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LIKENESS_PORT", "9000")
    settings = Settings.load(port=9001, host=None)
    assert (settings.data_dir, settings.port, settings.host) == (tmp_path, 9001, "127.0.0.1")
    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/likeness.db"


def test_a_variable_that_says_nothing_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose hands on what the operator did not set."""
    for name in ("C2PA_CERTIFICATE", "C2PA_KEY", "S3_SSE", "BROKER_URL", "PORT"):
        monkeypatch.setenv(f"LIKENESS_{name}", "")
    settings = Settings.load()
    assert (settings.c2pa_certificate, settings.c2pa_key) == (None, None)
    assert settings.port == 8000


def test_postgres_urls_use_psycopg() -> None:
    settings = Settings(database_url="postgresql://user@host/name")
    assert settings.resolved_database_url == "postgresql+psycopg://user@host/name"


@pytest.mark.parametrize(
    ("name", "value"),
    [("LIKENESS_PORT", "99999"), ("LIKENESS_MAX_UPLOAD_MB", "none"), ("LIKENESS_HEARTBEAT_S", "50")],
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidParameter, match="settings") as caught:
        Settings.load()
    assert name.removeprefix("LIKENESS_").lower() in caught.value.message.lower()


def test_folders_are_the_owners_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    settings.prepare_folders()
    assert settings.data_dir.stat().st_mode & 0o077 == 0


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.lock"
    with hold(path, wait_s=0, what="a worker"):
        with pytest.raises(Conflict, match="a worker is already running"):
            with hold(path, wait_s=0, what="a worker"):
                pass
    with hold(path, wait_s=0, what="a worker"):
        pass


RANDOM = "9f2c4b6d8e1a3057c4d6e8fa1b2c3d4e"
POSTGRES = "postgresql://likeness:3f9a8b7c6d5e4f3a@db/likeness"


def production(tmp_path: Path, **given: object) -> Settings:
    given = {"auth": "keys", **given}
    return Settings.load(environment="production", data_dir=tmp_path / "data", **given)


def test_production_wants_accounts(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter) as caught:
        production(tmp_path, secret_key=RANDOM, auth="local").require_safe()
    assert caught.value.details["fields"] == ["LIKENESS_AUTH"]


def test_development_refuses_nothing(tmp_path: Path) -> None:
    Settings(
        data_dir=tmp_path, database_url="postgresql://postgres:postgres@db/x", secret_key="x"
    ).require_safe()


def test_production_takes_random_secrets(tmp_path: Path) -> None:
    production(tmp_path, secret_key=RANDOM).require_safe()
    production(
        tmp_path,
        secret_key=RANDOM,
        database_url=POSTGRES,
        broker_url="redis://:a8f7e6d5c4b3a291@redis:6379/0",
    ).require_safe()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["LIKENESS_SECRET_KEY"]),
        ({"secret_key": RANDOM[:31]}, ["LIKENESS_SECRET_KEY"]),
        ({"secret_key": "changeme"}, ["LIKENESS_SECRET_KEY"]),
        ({"secret_key": "a" * 40}, ["LIKENESS_SECRET_KEY"]),
        ({"secret_key": RANDOM, "broker_url": "redis://:a8f7e6d5c4b3@redis"}, ["LIKENESS_DATABASE_URL"]),
        (
            {"secret_key": RANDOM, "database_url": "postgresql://likeness:Postgres@db/likeness"},
            ["LIKENESS_DATABASE_URL"],
        ),
        (
            {
                "secret_key": RANDOM,
                "database_url": POSTGRES,
                "broker_url": "redis://:change%2Dme@redis:6379/0",
            },
            ["LIKENESS_BROKER_URL"],
        ),
        (
            {"broker_url": "redis://:redis@redis", "database_url": "postgresql://u:likeness@db/x"},
            ["LIKENESS_BROKER_URL", "LIKENESS_DATABASE_URL", "LIKENESS_SECRET_KEY"],
        ),
    ],
)
def test_production_names_each_unsafe_variable(
    tmp_path: Path, given: dict[str, object], names: list[str]
) -> None:
    settings = production(tmp_path, **given)
    with pytest.raises(InvalidParameter, match="not safe for production") as caught:
        settings.require_safe()
    assert sorted(caught.value.details["fields"]) == names
    for name in names:
        assert name in caught.value.message
    assert RANDOM[:31] not in caught.value.message, "a secret's value is never said"


def test_a_signing_key_is_made_once_in_development_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    key = settings.signing_key()
    assert len(key) == 64
    assert Settings(data_dir=tmp_path / "data").signing_key() == key
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "data").glob(".secret_key*")] == []
    assert Settings(data_dir=tmp_path / "data", secret_key=RANDOM).signing_key() == RANDOM.encode()
    with pytest.raises(InvalidParameter, match="LIKENESS_SECRET_KEY"):
        production(tmp_path / "other").signing_key()


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    assert RANDOM not in repr(production(tmp_path, secret_key=RANDOM))


def test_the_embedded_worker_gets_the_secrets_themselves(tmp_path: Path) -> None:
    """Not the asterisks that a secret is shown as."""
    from workers.supervisor import Supervisor

    settings = production(tmp_path, secret_key=RANDOM)
    settings.prepare_folders()
    handed_on = Supervisor(settings)._environment()
    assert handed_on["LIKENESS_SECRET_KEY"] == RANDOM
    assert handed_on["LIKENESS_ENVIRONMENT"] == "production"
