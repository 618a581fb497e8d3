"""Clients that mean no good, against the real server."""

from __future__ import annotations

import json
import logging
import socket
import time
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import bodies
from api.app import create_app
from likeness.accounts import create_key, create_tenant
from likeness.database import Database
from likeness.settings import Settings
from tests.api.calls import person, upload
from tests.api.conftest import Watch
from tests.served import served

EVIL = "<script>alert(1)</script>"


def test_who_falls_silent_in_the_middle_is_sent_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "LONGEST_SILENCE_S", 0.3)
    with served(settings, works=False) as service:
        place = urlsplit(service.url)
        assert place.hostname is not None
        with socket.create_connection((place.hostname, place.port or 80), timeout=20) as line:
            head = f"POST /v1/uploads?purpose=clip HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Length: 1000\r\n\r\n"
            line.sendall(head.encode() + b"half")
            began = time.monotonic()
            answer = line.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"upload_stalled" in answer
        assert time.monotonic() - began < 15
        assert [path for path in settings.incoming_dir.iterdir() if path.name != ".probe"] == []


def test_names_are_text_wherever_they_are_shown(client: TestClient) -> None:
    who = person(client, EVIL)
    clip = upload(client, name=f"{EVIL}.mp4")
    job = client.post("/v1/inspections", json={"upload_id": clip}).json()["id"]
    client.post("/v1/consents", json={"subject_name": EVIL})
    for path in ("/", f"/people/{who}", "/jobs", f"/jobs/{job}", "/consents"):
        text = client.get(path).text
        assert EVIL not in text, path
        policy = client.get(path).headers["content-security-policy"]
        assert "unsafe-inline" not in policy
        assert "script-src 'self'" in policy
    assert client.get(f"/v1/persons/{who}").json()["name"] == EVIL, "the API tells it as it is"


@pytest.mark.parametrize("name", ["a\r\nSet-Cookie: x=1", "a\nevil: 1", 'a";x="', "\u202egnp.exe"])
def test_file_names_make_no_headers(client: TestClient, name: str) -> None:
    answer = client.post("/v1/uploads", params={"purpose": "clip", "filename": name}, content=b"x")
    assert answer.status_code == 201
    shown = answer.json()["filename"]
    assert "\n" not in shown
    assert "\r" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/v1/objects/../likeness.db",
        "/v1/objects/%2e%2e%2fsecret_key",
    ],
)
def test_no_way_out_of_a_folder(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (403, 404, 422)


def test_no_secret_is_ever_logged(
    settings: Settings, database: Database, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    app: FastAPI = create_app(settings.model_copy(update={"auth": "keys"}), watch=watch)
    _, key = create_key(database, tenant_id=create_tenant(database, "t"), name="k", scopes=["admin"])
    with TestClient(app, raise_server_exceptions=False) as client:
        client.post("/sign-in", data={"key": key})
        client.headers["Authorization"] = f"Bearer {key}"
        made = client.post("/v1/api-keys", json={"name": "b", "scopes": ["read"]}).json()["key"]
        hook = client.post("/v1/webhook-endpoints", json={"url": "https://example.com/a"}).json()["secret"]
        client.get(f"/v1/jobs?cursor={'x' * 65}")
        client.get("/v1/jobs/%0aFAKE 127.0.0.1 line")
        address = client.post("/v1/uploads", json={"purpose": "clip", "size": 5}).json()["parts"][0]["url"]
        client.put(address, content=b"12345")
    # the test's own client logs what it asks for
    text = "\n".join(each.getMessage() for each in caplog.records if each.name.split(".")[0] != "httpx")
    assert "/v1/uploads" in text, "requests are logged"
    for secret in (
        key,
        made,
        hook,
        address.rpartition("signature=")[2],
        client.cookies.get("likeness_session"),
    ):
        assert secret
        assert secret not in text
    assert "\nFAKE" not in text


def test_headers_that_are_no_use_to_an_attacker(client: TestClient) -> None:
    answer = client.get("/v1/jobs", headers={"X-Request-Id": "a\tb<script>"})
    assert answer.headers["x-request-id"].startswith("req_")
    answer = client.get("/", headers={"X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example"})
    assert "evil.example" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert json.loads(client.get("/openapi.json").text)
