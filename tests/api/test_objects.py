"""Objects at signed addresses, and downloads with a store that is elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.stores import store_of
from tests.api.calls import person, problem, train, upload
from tests.likeness.conftest import moto  # noqa: F401
from workers.runner import Runner

Put = Callable[[str, bytes], None]


@pytest.fixture
def put(store: LocalStore, tmp_path: Path) -> Put:
    def put(key: str, content: bytes) -> None:
        (tmp_path / "source").write_bytes(content)
        store.put_file(key, tmp_path / "source")

    return put


@pytest.fixture(autouse=True)
def _nothing_left_in_the_incoming_folder(store: LocalStore) -> Iterator[None]:
    yield
    assert list((store.root / ".incoming").iterdir()) == []


def test_addresses_are_relative_where_the_service_has_no_public_one(
    client: TestClient, store: LocalStore, put: Put
) -> None:
    put("people/a", b"0123456789")
    address = store.signed_get("people/a", expires_s=60)
    assert address.startswith("/v1/objects/people/a?expires=")
    answer = client.get(address)
    assert (answer.content, answer.headers["content-type"]) == (b"0123456789", "application/octet-stream")
    assert "content-disposition" not in answer.headers
    assert client.get(address, headers={"Range": "bytes=2-4"}).content == b"234"
    problem(client.get(store.signed_get("people/none", expires_s=60)), 404, "not_found")


def test_the_secret_is_made_once_and_is_the_owners(
    client: TestClient, settings: Settings, store: LocalStore, put: Put
) -> None:
    put("a", b"x")
    address = store.signed_get("a", expires_s=60)
    secret = settings.data_dir / "secret_key"
    assert (secret.stat().st_mode & 0o777, len(secret.read_bytes())) == (0o600, 64)
    own = LocalStore(store.root)  # one that is used without a deployment
    assert own.signed_get("a", expires_s=60).split("&")[-1].startswith("signature=")
    assert client.get(own.signed_get("a", expires_s=60)).status_code == 403
    assert client.get(address).status_code == 200
    secret.unlink()  # takes back every address there is
    body = problem(client.get(address), 403, "signature_refused")
    assert body["details"] == {"reason": "tampered"}
    assert list(store.keys()) == ["a"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda address: address.replace("people/a", "people/b"), "tampered"),
        (lambda address: address + "&part=2", "tampered"),
        (lambda address: address + "&filename=evil.html", "tampered"),
        (lambda address: address + "&type=text%2Fhtml", "tampered"),
        (lambda address: address.replace("expires=", "expires=9"), "tampered"),
        (lambda address: address.replace("expires=", "expires=x"), "unsigned"),
        (lambda address: address.split("&")[0], "unsigned"),
        (lambda address: address.split("?")[0], "unsigned"),
        (lambda address: address.split("signature=")[0] + "signature=%C3%BC", "tampered"),
    ],
)
def test_what_was_not_signed_is_refused(
    client: TestClient, store: LocalStore, put: Put, change: Callable[[str], str], reason: str
) -> None:
    put("people/a", b"x")
    put("people/b", b"x")
    answer = client.get(change(store.signed_get("people/a", expires_s=60)))
    if answer.status_code == 422:  # expires is no number
        assert reason == "unsigned"
        return
    assert problem(answer, 403, "signature_refused")["details"] == {"reason": reason}


def test_an_address_is_for_one_method(client: TestClient, store: LocalStore, put: Put) -> None:
    put("a", b"x")
    problem(client.put(store.signed_get("a", expires_s=60), content=b"y"), 403, "signature_refused")
    address = store.signed_put("a", expires_s=60, size=1)
    problem(client.get(address), 403, "signature_refused")
    assert store.local_path("a").read_bytes() == b"x"


def test_an_expired_address(
    client: TestClient, store: LocalStore, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("a", b"x")
    address = store.signed_get("a", expires_s=60)
    monkeypatch.setattr("time.time", lambda: float(address.split("expires=")[1].split("&")[0]))
    body = problem(client.get(address), 403, "signature_refused")
    assert body["details"] == {"reason": "expired"}


def test_sending_an_object(client: TestClient, store: LocalStore) -> None:
    content = bytes(range(256)) * 6000  # more than a body that is no upload may have
    address = store.signed_put("uploads/a", expires_s=60, size=len(content), media_type="video/mp4")
    answer = client.put(address, content=content, headers={"Content-Type": "video/mp4"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert store.local_path("uploads/a").read_bytes() == content


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"12345", "video/mp4", 413, "media_too_large"),
        (iter([b"123", b"45"]), "video/mp4", 413, "media_too_large"),
        (b"123", "video/mp4", 422, "invalid_parameter"),
        (b"", "video/mp4", 422, "invalid_parameter"),
        (b"1234", "text/html", 422, "invalid_parameter"),
    ],
)
def test_other_bytes_than_announced(
    client: TestClient, store: LocalStore, content: bytes, media_type: str, status: int, code: str
) -> None:
    address = store.signed_put(
        "uploads/a", expires_s=60, size=4, media_type=media_type.replace("text/html", "a/b")
    )
    problem(client.put(address, content=content, headers={"Content-Type": media_type}), status, code)
    assert list(store.keys()) == []


def test_a_part_is_capped_like_an_upload(client: TestClient, store: LocalStore, settings: Settings) -> None:
    number = store.begin_parts("uploads/a")
    address = store.signed_part("uploads/a", number, 1, expires_s=60)
    problem(client.put(address, content=bytes(settings.max_upload_bytes + 1)), 413, "media_too_large")
    assert store.parts("uploads/a", number) == []
    store.abort_parts("uploads/a", number)
    problem(client.put(address, content=b"late"), 404, "not_found")


def test_a_full_disk(settings: Settings, store: LocalStore, client: TestClient) -> None:
    full = settings.model_copy(update={"min_free_mb": 10**9})
    with TestClient(create_app(full), raise_server_exceptions=False) as client:
        address = store.signed_put("a", expires_s=60, size=1)
        answer = client.put(address, content=b"x", headers={"Content-Type": "application/octet-stream"})
    problem(answer, 503, "out_of_disk")
    assert list(store.keys()) == []


def test_parts_outlive_a_restart_but_not_for_ever(client: TestClient, store: LocalStore) -> None:
    number = store.begin_parts("uploads/a")
    client.put(store.signed_part("uploads/a", number, 1, expires_s=60), content=b"one")
    store.sweep()
    (part,) = LocalStore(store.root).parts("uploads/a", number)
    assert (part.number, part.size) == (1, 3)
    LocalStore(store.root, keep_parts_s=-1).sweep()
    assert list((store.root / ".parts").iterdir()) == []


def in_bucket(settings: Settings, moto: str, bucket: str, **changes: str) -> Settings:
    """The settings with objects in a bucket of a server that the service reaches at ``moto``."""
    return settings.model_copy(
        update={
            "store": "s3",
            "s3_bucket": bucket,
            "s3_endpoint_url": moto,
            "s3_access_key": "a",
            "s3_secret_key": SecretStr("b"),
            "s3_make_bucket": True,
            "max_upload_mb": 16,
            **changes,
        }
    )


@pytest.mark.parametrize("public_url", ["", "none"])
def test_a_store_that_clients_cant_reach_is_read_and_written_through_the_service(
    client: TestClient, runner: Runner, settings: Settings, moto: str, public_url: str
) -> None:
    """No answer of any kind names the server: neither an address nor a policy."""
    inside = in_bucket(settings, moto, f"inside-{public_url or 'unset'}", s3_public_url=public_url)
    store = store_of(inside)
    store.prepare()
    runner.store = store
    with TestClient(create_app(inside), raise_server_exceptions=False) as client:
        content, uploaded = _in_parts(client, "")
        kept = store.signed_get(f"uploads/{uploaded}/original", expires_s=60, filename="Ä b.mp4")
        assert kept.startswith("/v1/objects/uploads/")
        whole = client.get(kept)
        assert whole.content == content
        assert whole.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%84%20b.mp4"
        over = client.get(kept, headers={"Range": "bytes=1048570-1048585"})
        assert (over.status_code, over.content) == (206, content[1048570:1048586])
        learned = person(client)
        train(client, learned, upload(client))
        runner.run_all()
        answer = client.get(f"/v1/persons/{learned}/package", follow_redirects=False)
        assert answer.status_code == 200
        assert answer.headers["digest"].startswith("sha-256=")
        assert moto not in str(answer.headers)
        tampered = client.get(kept.replace("expires=", "expires=9"))
        problem(tampered, 403, "signature_refused")
        assert client.delete(f"/v1/uploads/{uploaded}").json()["status"] == "done"
        problem(client.get(kept), 404, "not_found")
    assert list(inside.incoming_dir.iterdir()) == []


def test_downloads_of_a_store_that_is_elsewhere(
    client: TestClient, runner: Runner, settings: Settings, moto: str, tmp_path: Path
) -> None:
    """The service reaches the server by one name and its clients by another: addresses are signed for theirs."""
    inner = moto.replace("127.0.0.1", "localhost")
    elsewhere = in_bucket(settings, inner, "downloads", s3_public_url=moto)
    store = store_of(elsewhere)
    store.prepare()
    runner.store = store
    with TestClient(create_app(elsewhere), raise_server_exceptions=False) as client:
        clip = upload(client)
        learned = person(client)
        train(client, learned, clip)
        runner.run_all()
        answer = client.get(f"/v1/persons/{learned}/package", follow_redirects=False)
        assert answer.status_code == 307
        assert answer.headers["location"].startswith(f"{moto}/downloads/people/")
        assert answer.headers["digest"].startswith("sha-256=")
        policy = answer.headers["content-security-policy"]
        assert f"media-src 'self' {moto} blob:;" in policy
        head = client.head(f"/v1/persons/{learned}/package", follow_redirects=False)
        assert head.status_code == 200, "an address that is signed for GET would be refused"
        followed = httpx.get(answer.headers["location"])
        assert head.headers["content-length"] == str(len(followed.content))
        _, uploaded = _in_parts(client, f"{moto}/downloads")
        assert client.delete(f"/v1/uploads/{uploaded}").json()["status"] == "done"
        assert client.delete(f"/v1/persons/{learned}").json()["status"] == "done"
        assert list(store.keys()) == []
        problem(client.get("/v1/objects/people/a?expires=1&signature=0"), 404, "not_found")


def _in_parts(client: TestClient, bucket: str) -> tuple[bytes, str]:
    """A file of two parts goes straight to the bucket, or through the service; its bytes and the upload's id."""
    content = bytes(range(256)) * 33000  # 8.4 MB: one part of 8 MiB, and a rest
    announced = {"purpose": "clip", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    made = client.post("/v1/uploads", json=announced).json()
    assert [part["size"] for part in made["parts"]] == [8 * 2**20, len(content) - 8 * 2**20]
    for part in made["parts"]:
        assert part["url"].startswith(f"{bucket}/uploads/" if bucket else "/v1/objects/uploads/")
        start = (part["number"] - 1) * made["part_size"]
        put = httpx.put if bucket else client.put
        sent = put(part["url"], content=content[start : start + part["size"]])
        assert (sent.status_code, sent.headers["etag"][0]) == (200, '"'), sent.text
    assert [part["received"] for part in client.get(f"/v1/uploads/{made['id']}").json()["parts"]] == [
        True,
        True,
    ]
    whole = client.post(f"/v1/uploads/{made['id']}/complete")
    assert (whole.status_code, whole.json()["status"]) == (200, "ready"), whole.text
    return content, made["id"]
