"""Files in parts: announced, interrupted, gone on with, checked."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from likeness import upload_sessions
from likeness.clock import now
from likeness.database import Database
from likeness.housekeeping import tidy
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Upload
from tests.api.calls import problem

PART = 64 * 1024


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_sessions, "PART_SIZE", PART)


CONTENT = os.urandom(2 * PART + 1000)


def announce(client: TestClient, **more: object) -> dict[str, Any]:
    body = {
        "purpose": "clip",
        "filename": "../my <clip>.mp4",
        "size": len(CONTENT),
        "media_type": "video/mp4",
    }
    answer = client.post("/v1/uploads", json={**body, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def send(client: TestClient, part: dict[str, Any], content: bytes = CONTENT) -> None:
    start = (part["number"] - 1) * PART
    answer = client.put(part["url"], content=content[start : start + part["size"]])
    assert answer.status_code == 200, answer.text


def test_cut_off_and_gone_on_with(client: TestClient, store: LocalStore) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    upload = announce(client, sha256=digest)
    assert (upload["status"], upload["filename"], upload["part_size"]) == ("awaiting", "my <clip>.mp4", PART)
    assert [part["size"] for part in upload["parts"]] == [PART, PART, 1000]
    send(client, upload["parts"][0])
    send(client, upload["parts"][2])
    path = f"/v1/uploads/{upload['id']}"
    early = problem(client.post(f"{path}/complete"), 409, "conflict")
    assert early["details"] == {"missing": [2]}
    problem(client.post("/v1/inspections", json={"upload_id": upload["id"]}), 409, "conflict")
    seen = client.get(path).json()["parts"]
    assert [part["received"] for part in seen] == [True, False, True]
    send(client, seen[1])
    whole = client.post(f"{path}/complete")
    assert (whole.status_code, whole.json()["status"], whole.json()["sha256"]) == (200, "ready", digest)
    assert client.post(f"{path}/complete").json() == whole.json(), "again is no error"
    assert whole.json()["parts"] == []
    assert store.local_path(f"uploads/{upload['id']}/original").read_bytes() == CONTENT
    assert client.post("/v1/inspections", json={"upload_id": upload["id"]}).status_code == 202


def test_without_a_sha256_it_is_found_out(client: TestClient) -> None:
    upload = announce(client)
    assert upload["sha256"] is None
    for part in upload["parts"]:
        send(client, part)
    whole = client.post(f"/v1/uploads/{upload['id']}/complete").json()
    assert whole["sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_other_bytes_than_announced(client: TestClient, store: LocalStore) -> None:
    upload = announce(client, sha256="0" * 64)
    for part in upload["parts"]:
        send(client, part)
    path = f"/v1/uploads/{upload['id']}"
    refused = problem(client.post(f"{path}/complete"), 422, "invalid_parameter")
    assert refused["details"]["received"] == hashlib.sha256(CONTENT).hexdigest()
    assert list(store.keys("uploads")) == []
    again = client.get(path).json()
    assert (again["status"], [part["received"] for part in again["parts"]]) == ("awaiting", [False] * 3)


def test_parts_of_a_wrong_length(client: TestClient) -> None:
    upload = announce(client)
    for part in upload["parts"]:
        client.put(part["url"], content=b"x" * (part["size"] - 1))
    body = problem(client.post(f"/v1/uploads/{upload['id']}/complete"), 409, "conflict")
    assert body["details"] == {"missing": [1, 2, 3]}


@pytest.mark.parametrize(
    "body",
    [
        {"purpose": "clip"},
        {"purpose": "clip", "size": 0},
        {"purpose": "clip", "size": 10, "source_url": "https://example.com/a.mp4"},
        {"purpose": "song", "size": 10},
        {"purpose": "clip", "size": 10, "sha256": "abc"},
        {"purpose": "clip", "size": 10, "extra": 1},
        {"purpose": "clip", "size": "ten"},
    ],
)
def test_announced_wrongly(client: TestClient, body: dict[str, object]) -> None:
    problem(client.post("/v1/uploads", json=body), 422, "invalid_parameter")


def test_too_large(client: TestClient) -> None:
    problem(client.post("/v1/uploads", json={"purpose": "clip", "size": 2**40}), 413, "media_too_large")
    bad = client.post("/v1/uploads", content=b"{", headers={"Content-Type": "application/json"})
    problem(bad, 422, "invalid_parameter")


def test_what_never_comes_is_given_up(
    client: TestClient, settings: Settings, database: Database, store: LocalStore
) -> None:
    upload = announce(client)
    send(client, upload["parts"][0])
    tidy(database, store, settings)
    assert client.get(f"/v1/uploads/{upload['id']}").status_code == 200
    with database.write() as session:
        session.execute(update(Upload).values(expires_at=now() - timedelta(seconds=1)))
    tidy(database, store, settings)
    problem(client.get(f"/v1/uploads/{upload['id']}"), 404, "not_found")
    assert not [path for path in (store.root / ".parts").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1/a.mp4",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "http://localhost/a",
        "nonsense",
    ],
)
def test_addresses_inside_are_not_fetched(client: TestClient, address: str) -> None:
    body = {"purpose": "clip", "source_url": address}
    problem(client.post("/v1/uploads", json=body), 422, "fetch_refused")
