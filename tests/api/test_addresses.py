"""Addresses of objects come from one place, and what else follows from the service's public address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from likeness.accounts import create_key
from likeness.database import Database
from likeness.settings import Settings
from likeness.tables import EMBEDDED

ROOT = Path(__file__).parents[2]


def test_nobody_makes_addresses_or_opens_objects_past_the_store() -> None:
    """The store alone knows where clients reach objects: who signs, or reads the folder of objects, by themselves, is
    right in one kind of deployment only."""
    signers = [
        path.relative_to(ROOT).as_posix()
        for folder in ("api", "likeness", "workers", "cli")
        for path in (ROOT / folder).rglob("*.py")
        if "generate_presigned_url" in path.read_text()
    ]
    assert signers == ["likeness/s3_addresses.py"]
    for path in (ROOT / "api").rglob("*.py"):
        assert not re.search(r"\bFileResponse\(|\.local_path\(|objects_dir", path.read_text()), path


@pytest.mark.parametrize(
    ("public_url", "secure"),
    [("https://likeness.example", True), ("http://likeness.example", False), ("", False)],
)
def test_the_cookie_is_for_https_where_the_public_address_is(
    settings: Settings, database: Database, public_url: str, secure: bool
) -> None:
    _, secret = create_key(database, tenant_id=EMBEDDED, name="me", scopes=["admin"])
    behind_a_proxy = settings.model_copy(update={"auth": "keys", "public_url": public_url})
    with TestClient(create_app(behind_a_proxy)) as client:
        answer = client.post("/sign-in", data={"key": secret}, follow_redirects=False)
    assert answer.status_code == 303
    assert ("secure" in answer.headers["set-cookie"].lower()) is secure


def test_the_public_address_is_one_that_pages_may_load_from(settings: Settings) -> None:
    """Somebody who has opened the dashboard by another of its names is sent there for videos."""
    known = settings.model_copy(update={"public_url": "https://likeness.example"})
    with TestClient(create_app(known)) as client:
        policy = client.get("/sign-in").headers["content-security-policy"]
    assert "media-src 'self' https://likeness.example blob:" in policy
