"""Files in parts: announced, interrupted, gone on with, checked."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import update

from api.app import create_app
from likeness import upload_sessions
from likeness.clock import now
from likeness.database import Database
from likeness.housekeeping import tidy
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.stores import store_of
from likeness.tables import Tenant, Upload
from tests.api.calls import at_once, problem
from tests.likeness.object_servers import ACCESS_KEY, SECRET_KEY, moto_server

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


def stored(store: LocalStore) -> int:
    """Bytes of everything that the store holds, parts included."""
    return sum(
        path.stat().st_size for path in store.root.rglob("*") if path.is_file() and path.suffix != ".json"
    )


def test_parts_of_a_wrong_length(client: TestClient, store: LocalStore) -> None:
    upload = announce(client)
    for part in upload["parts"]:
        for size in (part["size"] - 1, part["size"] + 1, 2**20, 0):
            refused = client.put(part["url"], content=b"x" * size)
            assert refused.status_code in (413, 422), (part, size)
            chunked = client.put(part["url"], content=iter([b"x" * size]))
            assert chunked.status_code in (413, 422), (part, size)
        assert client.put(part["url"].replace("size=", "size=1"), content=b"x").status_code == 403
    assert stored(store) == 0
    body = problem(client.post(f"/v1/uploads/{upload['id']}/complete"), 409, "conflict")
    assert body["details"] == {"missing": [1, 2, 3]}
    # the addresses are still good, and a part that is sent again takes the place of the first
    for part in upload["parts"]:
        send(client, part, bytes(len(CONTENT)))
        send(client, part)
    assert stored(store) == len(CONTENT)
    assert client.post(f"/v1/uploads/{upload['id']}/complete").status_code == 200
    assert client.put(upload["parts"][0]["url"], content=bytes(PART)).status_code == 404
    assert stored(store) == len(CONTENT)


def test_one_byte_takes_one_byte(client: TestClient, store: LocalStore, database: Database) -> None:
    """Also where the tenant's quota has room for no more."""
    with database.write() as session:
        session.execute(update(Tenant).values(limits={"storage_bytes": 1}))
    upload = announce(client, size=1)
    [part] = upload["parts"]
    problem(client.put(part["url"], content=bytes(2**20)), 413, "media_too_large")
    problem(client.put(part["url"], content=(bytes(2**16) for _ in range(64))), 413, "media_too_large")
    assert stored(store) == 0
    assert client.put(part["url"], content=b"x").status_code == 200
    assert client.post(f"/v1/uploads/{upload['id']}/complete").status_code == 200
    refused = client.post("/v1/uploads", json={"purpose": "clip", "size": 1, "filename": "b"})
    problem(refused, 429, "quota_exceeded")
    problem(client.post("/v1/uploads?purpose=clip", content=b"x"), 429, "quota_exceeded")


def test_a_quota_is_held_before_the_bytes_are_sent(client: TestClient, database: Database) -> None:
    with database.write() as session:
        session.execute(update(Tenant).values(limits={"storage_bytes": 1000}))
    told = client.post("/v1/uploads?purpose=clip", content=b"x", headers={"Content-Length": str(2**20)})
    problem(told, 429, "quota_exceeded")


def test_a_store_that_takes_more_than_was_announced(settings: Settings, database: Database) -> None:
    """Some servers do not hold a client to the length that an address was signed for."""
    with moto_server() as url:
        options = {
            "store": "s3", "s3_bucket": "clips", "s3_endpoint_url": url, "s3_region": "us-east-1",
            "s3_access_key": ACCESS_KEY, "s3_secret_key": SecretStr(SECRET_KEY), "s3_make_bucket": True,
            "s3_public_url": url,
        }  # fmt: skip
        settings = settings.model_copy(update=options)
        s3 = store_of(settings)
        s3.prepare()
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            upload = announce(client, size=1000)
            [part] = upload["parts"]
            assert "content-length" in part["url"], "it is part of what is signed"
            httpx.put(part["url"], content=bytes(2**20))
            assert [each.size for each in s3.parts(*names(database))] == [2**20], "this server does not"
            path = f"/v1/uploads/{upload['id']}"
            refused = problem(client.post(f"{path}/complete"), 409, "conflict")
            assert refused["details"] == {"missing": [1]}
            assert s3.parts(*names(database)) == [], "what was too much is gone"
            [part] = client.get(path).json()["parts"]
            assert part["received"] is False
            httpx.put(part["url"], content=bytes(1000))
            assert client.post(f"{path}/complete").json()["size"] == 1000


def names(database: Database) -> tuple[str, str]:
    """Key and multipart upload of the one upload there is."""
    with database.read() as session:
        row = session.query(Upload).one()
    assert row.multipart_id is not None
    return row.object_key, row.multipart_id


def test_what_the_store_forgot_is_sent_again(
    client: TestClient, store: LocalStore, database: Database
) -> None:
    upload = announce(client)
    path = f"/v1/uploads/{upload['id']}"
    send(client, upload["parts"][0])
    store.abort_parts(*names(database))
    assert client.put(upload["parts"][1]["url"], content=bytes(PART)).status_code == 404
    assert problem(client.post(f"{path}/complete"), 409, "conflict")["details"] == {"missing": [1, 2, 3]}
    for part in client.get(path).json()["parts"]:
        send(client, part)
    assert client.post(f"{path}/complete").status_code == 200


def test_completed_by_many_at_once(client: TestClient, store: LocalStore) -> None:
    """Each hears that it is done, or that somebody does it; none fails."""
    upload = announce(client)
    for part in upload["parts"]:
        send(client, part)
    path = f"/v1/uploads/{upload['id']}/complete"
    answers = at_once([lambda: client.post(path)] * 8)
    assert {answer.status_code for answer in answers} <= {200, 409}, [answer.text for answer in answers]
    assert client.post(path).json()["status"] == "ready"
    assert store.local_path(f"uploads/{upload['id']}/original").read_bytes() == CONTENT


def test_refused_by_many_at_once(client: TestClient, store: LocalStore) -> None:
    upload = announce(client, sha256="0" * 64)
    for part in upload["parts"]:
        send(client, part)
    path = f"/v1/uploads/{upload['id']}"
    answers = at_once([lambda: client.post(f"{path}/complete")] * 8)
    assert {answer.status_code for answer in answers} <= {409, 422}, [answer.text for answer in answers]
    assert list(store.keys("uploads")) == []
    client.post(f"{path}/complete")
    for part in client.get(path).json()["parts"]:
        send(client, part)
    problem(client.post(f"{path}/complete"), 422, "invalid_parameter")


def test_parts_that_are_sent_anew_while_they_are_put_together(client: TestClient) -> None:
    upload = announce(client)
    for part in upload["parts"]:
        send(client, part)
    calls = [lambda: client.post(f"/v1/uploads/{upload['id']}/complete")] * 4
    calls += [
        partial(client.put, part["url"], content=os.urandom(part["size"])) for part in upload["parts"]
    ] * 2
    answers = at_once(calls)
    assert {answer.status_code for answer in answers} <= {200, 404, 409}, [answer.text for answer in answers]


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
