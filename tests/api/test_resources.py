"""Versions, batches, webhooks, deletions that keep videos, pictures: what the other files leave."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fastapi.testclient import TestClient

from likeness.clock import now
from likeness.database import Database
from likeness.repositories.leases import LeaseRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.webhooks import signature
from tests.api.calls import person, problem, train, upload
from workers.hooks import send_due
from workers.runner import Runner


@pytest.fixture
def ada(client: TestClient, runner: Runner) -> str:
    """Somebody who was learned once."""
    who = person(client)
    train(client, who, upload(client))
    runner.run_all()
    return who


def video(client: TestClient, who: str, **more: Any) -> dict[str, Any]:
    body = {"person_id": who, "audio": {"upload_id": upload(client, b"sound", "recording")}, **more}
    return body


def test_versions(client: TestClient, runner: Runner, ada: str) -> None:
    path = f"/v1/persons/{ada}/versions"
    train(client, ada, upload(client, b"another clip"), seed=2)
    runner.run_all()
    versions = client.get(path).json()["data"]
    assert [(each["number"], each["promoted"]) for each in versions] == [(2, True), (1, False)]
    back = client.post(f"{path}/1/promote").json()["data"]
    assert [each["promoted"] for each in back] == [False, True]
    assert client.get(f"/v1/persons/{ada}").json()["weights"]["sha256"] == versions[1]["sha256"]
    problem(client.delete(f"{path}/1"), 409, "conflict")
    gone = client.delete(f"{path}/2")
    assert (gone.status_code, gone.json()["status"]) == (200, "done"), gone.text
    assert [each["number"] for each in client.get(path).json()["data"]] == [1]
    problem(client.post(f"{path}/2/promote"), 404, "not_found")
    assert client.get(f"/v1/persons/{ada}").json()["status"] == "ready"


def test_a_batch_is_all_or_nothing(client: TestClient, database: Database, runner: Runner, ada: str) -> None:
    good, bad = video(client, ada), {"person_id": "per_none", "audio": {"upload_id": "upl_none"}}
    refused = problem(client.post("/v1/batches", json={"items": [good, bad]}), 422, "invalid_parameter")
    assert refused["details"]["errors"][0]["index"] == 1
    assert client.get("/v1/videos").json()["data"] == []
    dry = client.post("/v1/batches", json={"items": [good, bad], "dry_run": True}).json()
    assert (dry["items"], [error["index"] for error in dry["errors"]]) == (2, [1])
    made = client.post("/v1/batches", json={"name": "three", "items": [good] * 3})
    assert (made.status_code, made.json()["counts"]) == (202, {"queued": 3})
    batch = made.json()["id"]
    runner.run_once()
    assert client.post(f"/v1/batches/{batch}/cancel").json()["counts"] == {"succeeded": 1, "canceled": 2}
    assert client.get(f"/v1/batches/{batch}").json()["status"] == "done"
    assert len(client.get("/v1/videos", params={"batch_id": batch}).json()["data"]) == 3
    assert client.get("/v1/batches").json()["data"][0]["name"] == "three"
    problem(client.post("/v1/batches", json={"items": []}), 422, "invalid_parameter")
    # One that is being deleted while its worker puts it down keeps no other from being canceled.
    batch = client.post("/v1/batches", json={"items": [good] * 3}).json()["id"]
    with database.write() as session:
        held = LeaseRepository(session).claim(owner="w/1", now=now(), lease_s=60)
    assert held is not None
    assert client.delete(f"/v1/videos/{held.job_id}").status_code == 202
    assert client.post(f"/v1/batches/{batch}/cancel").json()["counts"] == {"canceling": 1, "canceled": 2}
    with database.write() as session:
        LeaseRepository(session).cancel(held, now=now())


def test_a_dry_run_of_a_video(client: TestClient, ada: str) -> None:
    answer = client.post("/v1/videos", json=video(client, ada, dry_run=True))
    assert (answer.status_code, answer.json()["errors"]) == (200, [])
    assert client.get("/v1/videos").json()["data"] == []
    both = video(client, ada)
    both["audio"]["url"] = "https://example.com/a.wav"
    problem(client.post("/v1/videos", json=both), 422, "invalid_parameter")


def test_metadata_comes_back(client: TestClient, ada: str) -> None:
    made = client.post("/v1/videos", json=video(client, ada, metadata={"project": "7"})).json()
    assert client.get(f"/v1/videos/{made['id']}").json()["metadata"] == {"project": "7"}
    too_many = {str(index): "x" for index in range(17)}
    problem(client.post("/v1/videos", json=video(client, ada, metadata=too_many)), 422, "invalid_parameter")


def test_a_videos_options_are_kept_and_contradictions_named(client: TestClient, ada: str) -> None:
    asked = {"picture": "alpha", "format": "mov", "height": 720, "fps": 50.0, "crf": 12}
    body = video(client, ada, pose={"mode": "clip", "length_mismatch": "loop"}, output=asked)
    made = client.post("/v1/videos", json=body).json()
    assert made["output"] == asked
    usual = client.post("/v1/videos", json=video(client, ada)).json()
    assert usual["output"] == {"picture": "frame", "format": "mp4", "height": None, "fps": 25.0, "crf": 18}
    clear = client.post("/v1/videos", json=video(client, ada, output={"picture": "alpha"})).json()
    assert clear["output"]["format"] == "webm"
    for wrong, field in (
        ({"output": {"picture": "alpha", "format": "mp4"}}, "output.format"),
        ({"pose": {"length_mismatch": "hold"}}, "pose.length_mismatch"),
        ({"pose": {"mode": "clip", "face": {"x": 0.5, "y": 0.5}}}, "pose.face"),
        ({"output": {"height": 63}}, "output.height"),
        ({"output": {"fps": 61}}, "output.fps"),
        ({"output": {"crf": 36}}, "output.crf"),
        ({"pose": {"mode": "reference", "face": {"x": 1.5, "y": 0.5}}}, "pose.face.x"),
    ):
        answer = client.post("/v1/videos", json=video(client, ada, **wrong))
        told = problem(answer, 422, "invalid_parameter")
        assert field in json.dumps(told)


def test_deleting_a_person_who_is_to_stay_in_videos(
    client: TestClient, runner: Runner, store: LocalStore, ada: str
) -> None:
    job = client.post("/v1/videos", json=video(client, ada)).json()["id"]
    runner.run_all()
    content = client.get(f"/v1/videos/{job}/download").content
    receipt = client.delete(f"/v1/persons/{ada}", params={"keep_videos": True}).json()
    assert receipt["status"] == "done"
    assert client.get(f"/v1/videos/{job}/download").content == content
    left = [key for key in store.keys("people") if ada in key]
    assert left
    assert all(key.endswith(("video.mp4", "thumbnail.jpg", "manifest.json")) for key in left)
    assert not [key for key in left if "likeness" in key]
    problem(client.get(f"/v1/persons/{ada}/package"), 404, "not_found")
    assert client.get("/v1/persons").json()["data"] == []
    assert client.delete(f"/v1/videos/{job}").json()["status"] == "done"
    runner.run_all()
    client.get("/v1/deletions")
    assert client.delete(f"/v1/uploads/{upload(client)}").status_code == 200  # purges what waited
    assert [key for key in store.keys("people") if ada in key] == []
    problem(client.get(f"/v1/persons/{ada}"), 404, "not_found")


def test_a_receipt_lists_all_that_there_was(
    client: TestClient, runner: Runner, store: LocalStore, ada: str
) -> None:
    client.post("/v1/videos", json=video(client, ada))
    runner.run_all()
    before = set(store.keys())
    receipt = client.delete(f"/v1/persons/{ada}").json()
    assert list(store.keys()) == []
    assert set(receipt["objects"]) == before
    assert "Ada" not in json.dumps(receipt)
    again = client.get(f"/v1/deletions/{receipt['id']}").json()
    assert again == receipt
    assert client.get("/v1/deletions").json()["data"][0]["id"] == receipt["id"]


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    taken: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).taken.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    handler = type("Handler", (Receiver,), {"taken": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_webhooks_from_entry_to_redelivery(
    settings: Settings, database: Database, client: TestClient, receiver: HTTPServer
) -> None:
    address = f"http://127.0.0.1:{receiver.server_port}/hook"
    refused = client.post("/v1/webhook-endpoints", json={"url": address})
    problem(refused, 422, "fetch_refused")
    client.app.state.settings = settings.model_copy(update={"webhooks_to_private": True})  # type: ignore[attr-defined]
    open_settings = client.app.state.settings  # type: ignore[attr-defined]
    made = client.post("/v1/webhook-endpoints", json={"url": address, "events": ["inspection.succeeded"]})
    endpoint, secret = made.json()["id"], made.json()["secret"]
    path = f"/v1/webhook-endpoints/{endpoint}"
    assert secret.startswith("whsec_")
    assert client.get(path).json()["secret"] is None
    client.post(f"{path}/test")
    assert send_due(database, open_settings) == 1
    headers, body = receiver.RequestHandlerClass.taken[0]  # type: ignore[attr-defined]
    stamp = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == signature(secret, headers["webhook-id"], stamp, body)
    assert json.loads(body)["type"] == "webhook.test"

    newer = client.post(f"{path}/rotate").json()["secret"]
    assert newer != secret
    delivery = client.get(f"{path}/deliveries").json()["data"][0]
    assert (delivery["status"], delivery["last_status"]) == ("delivered", 204)
    client.post(f"{path}/deliveries/{delivery['id']}/redeliver")
    assert send_due(database, open_settings) == 1
    headers, body = receiver.RequestHandlerClass.taken[1]  # type: ignore[attr-defined]
    assert headers["webhook-id"] == delivery["event_id"]
    stamp = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"].split() == [
        signature(key, headers["webhook-id"], stamp, body) for key in (newer, secret)
    ]
    assert base64.b64decode(headers["webhook-signature"].split()[0].removeprefix("v1,"))
    assert client.patch(path, json={"enabled": False}).json()["enabled"] is False
    problem(client.patch(path, json={"events": ["person.born"]}), 422, "invalid_parameter")
    assert client.delete(path).status_code == 204
    problem(client.get(path), 404, "not_found")


def test_a_webhook_endpoint_moves_with_its_secret_and_what_waits(
    settings: Settings, database: Database, client: TestClient, receiver: HTTPServer
) -> None:
    open_settings = settings.model_copy(update={"webhooks_to_private": True})
    client.app.state.settings = open_settings  # type: ignore[attr-defined]
    made = client.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/old", "events": []}).json()
    path = f"/v1/webhook-endpoints/{made['id']}"
    client.post(f"{path}/test")
    address = f"http://127.0.0.1:{receiver.server_port}/hook"
    moved = client.patch(path, json={"url": address})
    assert (moved.status_code, moved.json()["url"], moved.json()["secret"]) == (200, address, None)
    assert client.get(path).json()["url"] == address
    assert send_due(database, open_settings) == 1
    headers, body = receiver.RequestHandlerClass.taken[0]  # type: ignore[attr-defined]
    stamp = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == signature(made["secret"], headers["webhook-id"], stamp, body)
    assert client.patch(path, json={"events": ["training.failed"]}).json()["url"] == address
    entries = [entry["action"] for entry in client.get("/v1/audit-events").json()["data"]]
    assert "change_webhook" in entries


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://10.0.0.1/hook", "fetch_refused"),
        ("http://169.254.169.254/latest", "fetch_refused"),
        ("http://localhost/hook", "fetch_refused"),
        ("ftp://example.org/hook", "fetch_refused"),
        ("https://ada:secret@example.org/hook", "fetch_refused"),
        ("short", "invalid_parameter"),
        ("https://example.org/" + "x" * 2048, "invalid_parameter"),
    ],
)
def test_a_webhook_endpoint_moves_only_to_where_one_could_be_entered(
    client: TestClient, url: str, code: str
) -> None:
    made = client.post("/v1/webhook-endpoints", json={"url": "https://example.org/hook"}).json()
    path = f"/v1/webhook-endpoints/{made['id']}"
    problem(client.post("/v1/webhook-endpoints", json={"url": url}), 422, code)
    problem(client.patch(path, json={"url": url, "enabled": False}), 422, code)
    after = client.get(path).json()
    assert (after["url"], after["enabled"]) == ("https://example.org/hook", True), "nothing of it was done"


def test_the_system(client: TestClient) -> None:
    body = client.get("/v1/system").json()
    assert {check["name"] for check in body["checks"]} >= {"database", "disk", "worker"}
    assert body["queues"] == {name: {"queued": 0, "running": 0} for name in ("cpu", "gpu")}
    assert body["auth"] == "local"
