"""``likeness keys`` on a database of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from likeness.accounts import authenticate
from likeness.database import Database
from likeness.refusals import Unauthenticated
from likeness.settings import Settings
from likeness.tables import EMBEDDED


def keys(tmp_path: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run a subcommand with --json; returns its object."""
    result = CliRunner().invoke(app, ["keys", *arguments, "--data-dir", str(tmp_path), "--json"])
    assert result.exit_code == code, result.output
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database.of(Settings(data_dir=tmp_path))


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one tenant and one key."""
    folder = tmp_path_factory.mktemp("keys")
    keys(folder, "create", "--tenant", "Acme")
    return folder


def test_a_key_from_its_making_to_its_end(tmp_path: Path, database: Database) -> None:
    made = keys(tmp_path, "create", "--tenant", "Acme", "--name", "ci", "--scopes", "read,render")
    assert made["tenant_made"] is True
    account = authenticate(database, made["key"])
    assert (account.tenant_id, account.scopes) == (made["tenant_id"], {"read", "render"})
    again = keys(tmp_path, "create", "--tenant", "Acme", "--scopes", "admin")
    assert (again["tenant_made"], again["tenant_id"]) == (False, made["tenant_id"])

    listed = keys(tmp_path, "list", "--tenant", "Acme")["keys"]
    assert [each["id"] for each in listed] == [again["id"], made["id"]]
    assert made["key"] not in json.dumps(listed)
    table = CliRunner().invoke(app, ["keys", "list", "--data-dir", str(tmp_path)]).stdout
    assert made["id"] in table
    assert "Acme" in table

    assert keys(tmp_path, "revoke", made["id"])["revoked"] is True
    with pytest.raises(Unauthenticated):
        authenticate(database, made["key"])
    assert keys(tmp_path, "list")["keys"][1]["revoked_at"]


def test_without_a_tenant_it_is_those_without_account(tmp_path: Path) -> None:
    assert keys(tmp_path, "create")["tenant_id"] == EMBEDDED


def test_the_key_alone_is_on_stdout(tmp_path: Path, database: Database) -> None:
    result = CliRunner().invoke(app, ["keys", "create", "--data-dir", str(tmp_path)])
    assert authenticate(database, result.stdout.strip()).tenant_id == EMBEDDED
    assert "only time" in result.stderr


def test_limits_are_changed_one_by_one(tmp_path: Path, database: Database) -> None:
    secret = keys(tmp_path, "create", "--tenant", "Acme")["key"]
    keys(tmp_path, "limits", "--tenant", "Acme", "--concurrent-jobs", "4", "--storage-gb", "1.5")
    shown = keys(
        tmp_path, "limits", "--tenant", "Acme", "--video-minutes", "2.5", "--concurrent-jobs", "none"
    )
    assert shown["limits"] == {
        "concurrent_jobs": None,
        "video_minutes_per_month": 2.5,
        "storage_bytes": 1_500_000_000,
        "requests_per_minute": None,
    }
    assert authenticate(database, secret).limits.storage_bytes == 1_500_000_000


@pytest.mark.parametrize(
    ("arguments", "slug"),
    [
        (["create", "--tenant", "New", "--scopes", "fly"], "invalid_parameter"),
        (["create", "--tenant", "New", "--scopes", ""], "invalid_parameter"),
        (["create", "--tenant", " "], "invalid_parameter"),
        (["revoke", "key_none"], "not_found"),
        (["limits", "--tenant", "Nobody"], "not_found"),
        (["list", "--tenant", "Nobody"], "not_found"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(acme: Path, arguments: list[str], slug: str) -> None:
    error = keys(acme, *arguments, code=3)["error"]
    assert error["slug"] == slug
    assert error["remedy"]
    assert len(keys(acme, "list")["keys"]) == 1
    assert keys(acme, "limits", "--tenant", "New", code=3)["error"]["slug"] == "not_found"


@pytest.mark.parametrize("value", ["-1", "nan", "many", "inf"])
def test_a_limit_that_is_no_number(acme: Path, value: str) -> None:
    error = keys(acme, "limits", "--tenant", "Acme", f"--concurrent-jobs={value}", code=3)["error"]
    assert error["slug"] == "invalid_parameter"


def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert run(app, ["migrate", "--data-dir", str(tmp_path)]).exit_code == 0
    assert run(app, ["migrate", "--data-dir", str(tmp_path), "--down", "0001"]).exit_code == 0
    error = keys(tmp_path, "create", code=3)["error"]
    assert error["slug"] == "conflict"
    assert "likeness migrate" in error["remedy"]
