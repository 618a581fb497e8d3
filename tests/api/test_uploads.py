"""Uploads, well and badly made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from likeness.database import Database
from likeness.deletion import purge
from likeness.refusals import StoreUnavailable
from likeness.settings import Settings
from likeness.store import LocalStore
from tests.api.calls import problem, upload


@pytest.fixture(autouse=True)
def _nothing_left_in_the_incoming_folder(settings: Settings) -> Iterator[None]:
    yield
    assert [path for path in settings.incoming_dir.iterdir() if path.name != ".probe"] == []


def test_a_form(client: TestClient, store: LocalStore) -> None:
    content = (
        bytes(range(256)) * 6000
    )  # 1.5 MB with every byte value, boundaries' dashes and line ends included
    digest = hashlib.sha256(content).hexdigest()
    answer = client.post(
        "/v1/uploads",
        data={"purpose": "clip", "sha256": digest},
        files={"file": ("../../clip <b>.mp4", content, "video/mp4")},
    )
    assert answer.status_code == 201
    body = answer.json()
    assert (body["filename"], body["size"], body["sha256"]) == ("clip <b>.mp4", len(content), digest)
    assert answer.headers["location"] == f"/v1/uploads/{body['id']}"
    assert client.get(answer.headers["location"]).json() == body
    assert store.local_path(f"uploads/{body['id']}/original").read_bytes() == content


def test_a_plain_body(client: TestClient, store: LocalStore) -> None:
    answer = client.post(
        "/v1/uploads?purpose=recording&filename=a.ogg",
        content=b"sound",
        headers={"Content-Type": "audio/ogg"},
    )
    assert answer.status_code == 201
    assert (answer.json()["purpose"], answer.json()["filename"]) == ("recording", "a.ogg")


def test_a_chunked_body(client: TestClient) -> None:
    answer = client.post("/v1/uploads?purpose=clip", content=iter([b"a", b"b" * 100_000]))
    assert (answer.status_code, answer.json()["size"]) == (201, 100_001)


@pytest.mark.parametrize(
    ("form", "content", "status", "code"),
    [
        ({"purpose": "clip"}, b"", 422, "unreadable_media"),
        ({"purpose": "film"}, b"x", 422, "invalid_parameter"),
        ({}, b"x", 422, "invalid_parameter"),
        ({"purpose": "clip", "sha256": "0" * 64}, b"x", 422, "invalid_parameter"),
        ({"purpose": "clip"}, b"x" * (2 * 2**20 + 1), 413, "media_too_large"),
        ({"purpose": "clip", "note": "x" * 70_000}, b"x", 422, "invalid_parameter"),
        ({"purpose": "clip", **{f"f{number}": "" for number in range(40)}}, b"x", 422, "invalid_parameter"),
    ],
)
def test_bad_forms(
    client: TestClient, store: LocalStore, form: dict[str, str], content: bytes, status: int, code: str
) -> None:
    problem(client.post("/v1/uploads", data=form, files={"file": ("a.mp4", content)}), status, code)
    assert list(store.keys()) == []
    assert client.get("/v1/uploads").json()["data"] == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"whatever"),
        ("multipart/form-data; boundary=b", b"no form at all"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf a fi',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nclip\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            (
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n'
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="b"\r\n\r\ny\r\n--b--\r\n'
            ),
        ),
    ],
)
def test_broken_forms(client: TestClient, store: LocalStore, kind: str, body: bytes) -> None:
    answer = client.post("/v1/uploads", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert answer.json()["code"] in ("invalid_parameter", "unreadable_media")
    assert list(store.keys()) == []


def test_too_large_is_said_before_the_bytes_are_sent(client: TestClient) -> None:
    answer = client.post("/v1/uploads?purpose=clip", content=b"x", headers={"Content-Length": str(10**10)})
    problem(answer, 413, "media_too_large")


def test_a_length_that_lies_is_counted(client: TestClient) -> None:
    blocks = (b"x" * 2**20 for _ in range(3))
    problem(client.post("/v1/uploads?purpose=clip", content=blocks), 413, "media_too_large")


def test_list_and_delete(client: TestClient, store: LocalStore) -> None:
    clip, sound = upload(client), upload(client, purpose="recording")
    assert [item["id"] for item in client.get("/v1/uploads?purpose=recording").json()["data"]] == [sound]
    assert client.delete(f"/v1/uploads/{clip}").status_code == 200
    problem(client.delete(f"/v1/uploads/{clip}"), 404, "not_found")
    assert list(store.keys()) == [f"uploads/{sound}/original"]


@pytest.mark.parametrize("path", ["../../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..", "%00"])
@pytest.mark.parametrize(
    "where", ["/v1/uploads/{}", "/v1/videos/{}/download", "/v1/persons/{}/package", "/static/{}"]
)
def test_paths_lead_nowhere(client: TestClient, where: str, path: str) -> None:
    answer = client.get(where.format(path))
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_a_deletion_outlives_a_store_that_is_away(
    client: TestClient,
    settings: Settings,
    database: Database,
    store: LocalStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identifier = upload(client)

    def away(_self: LocalStore, _prefix: str) -> int:
        raise StoreUnavailable("the object store does not answer", remedy="start it")

    with monkeypatch.context() as broken:
        broken.setattr(LocalStore, "delete_prefix", away)
        answer = client.delete(f"/v1/uploads/{identifier}")
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert list(store.keys())
    purge(database, store, settings)
    assert list(store.keys()) == []
    problem(client.get(f"/v1/uploads/{identifier}"), 404, "not_found")


@pytest.mark.parametrize("name", ["Łukasz – Probe.mp4", "動画.mp4", "clip 🎬.mov"])
def test_names_in_any_script(client: TestClient, name: str) -> None:
    """curl and browsers send them as plain UTF-8."""
    body = (
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nclip\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + b'"\r\n\r\nx\r\n--b--\r\n'
    )
    answer = client.post(
        "/v1/uploads", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert (answer.status_code, answer.json()["filename"]) == (201, name)
