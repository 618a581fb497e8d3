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
