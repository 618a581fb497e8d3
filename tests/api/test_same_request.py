"""The same request twice, where a body is a file, is cut off, or its process died."""

from __future__ import annotations

import socket
from datetime import timedelta
from functools import partial
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from api import same_request
from api.app import create_app
from api.same_request import OnceOnly
from likeness.accounts import create_key, create_tenant
from likeness.clock import now
from likeness.database import Database
from likeness.refusals import InProgress, KeyReused
from likeness.repositories.idempotency import ABANDONED_AFTER, UNREAD, IdempotencyRepository
from likeness.settings import Settings
from likeness.tables import EMBEDDED, IdempotencyKey
from tests.api.calls import at_once, problem
from tests.api.conftest import Watch
from tests.likeness.service import either_database, postgres_url  # noqa: F401
from tests.served import served

URL = "/v1/uploads?purpose=clip&filename=a.mp4"
KEY = {"Idempotency-Key": "one"}


def uploads(client: TestClient) -> list[str]:
    return [each["id"] for each in client.get("/v1/uploads").json()["data"]]


def test_another_file_of_equal_length_is_another_request(client: TestClient) -> None:
    first = client.post(URL, content=b"a clip", headers=KEY)
    again = client.post(URL, content=b"a clip", headers=KEY)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = client.post(URL, content=b"a clap", headers=KEY)
    problem(other, 422, "idempotency_key_reused")
    assert first.json()["id"] not in other.text
    problem(client.post(URL, content=iter([b"a ", b"clap"]), headers=KEY), 422, "idempotency_key_reused")
    assert client.post(URL, content=iter([b"a ", b"clip"]), headers=KEY).json() == first.json()
    assert uploads(client) == [first.json()["id"]]


def test_a_form_is_the_same_with_another_boundary(client: TestClient) -> None:
    """Programs make one up for each try."""

    def send(boundary: str, content: bytes, purpose: bytes = b"clip") -> httpx.Response:
        mark = f"--{boundary}\r\n".encode()
        body = (
            mark + b'Content-Disposition: form-data; name="purpose"\r\n\r\n' + purpose + b"\r\n"
            + mark + b'Content-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + content + b"\r\n"
            + f"--{boundary}--\r\n".encode()
        )  # fmt: skip
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return client.post("/v1/uploads", content=body, headers={**KEY, **kind})

    first = send("one", b"a clip")
    assert first.status_code == 201
    assert send("two", b"a clip").json() == first.json()
    problem(send("one", b"a clap"), 422, "idempotency_key_reused")
    problem(send("one", b"a clip", b"song"), 422, "idempotency_key_reused")
    assert len(uploads(client)) == 1


def test_a_refused_file_may_be_sent_again(client: TestClient) -> None:
    """It was damaged on its way: the right one comes with the same key."""
    digest = "39d5ce9f60b84d9f7e4d2d6d3b0d0b6a0a4f0b0f0b0f0b0f0b0f0b0f0b0f0b0f"
    problem(client.post(f"{URL}&sha256={digest}", content=b"a clap", headers=KEY), 422, "invalid_parameter")
    assert client.post(URL, content=b"a clip", headers=KEY).status_code == 201


def test_a_key_with_fewer_scopes_is_not_told_the_answer(
    settings: Settings, database: Database, watch: Watch
) -> None:
    app: FastAPI = create_app(settings.model_copy(update={"auth": "keys"}), watch=watch)
    tenant = create_tenant(database, "Ada Ltd")
    clients = []
    for scope in ("train", "read"):
        client = TestClient(app, raise_server_exceptions=False)
        _, key = create_key(database, tenant_id=tenant, name=scope, scopes=[scope])
        client.headers["Authorization"] = f"Bearer {key}"
        clients.append(client)
    body = {"subject_name": "Ada", "attested": True}
    assert clients[0].post("/v1/consents", json=body, headers=KEY).status_code == 201
    problem(clients[1].post("/v1/consents", json=body, headers=KEY), 403, "forbidden")


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/v1/consents", "application/json", b'{"subject_name": "Ada"}'),
        ("/v1/uploads", "application/json", b'{"purpose": "clip", "size": 10}'),
        (URL, "video/mp4", b"a clip"),
        (URL, "", b"a clip"),
    ],
)
def test_a_request_that_was_cut_off_leaves_its_key(
    settings: Settings, path: str, kind: str, body: bytes
) -> None:
    with served(settings, works=False) as service:
        parts = urlsplit(service.url)
        assert parts.hostname is not None
        typed = f"Content-Type: {kind}\r\n" if kind else ""
        for half in (body[:3], b""):
            with socket.create_connection((parts.hostname, parts.port or 80), timeout=20) as line:
                head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: one\r\n{typed}"
                line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + half)
        for _ in range(100):  # until the server has seen that the line is gone
            answer = httpx.post(
                f"{service.url}{path}",
                content=body,
                headers={**KEY, **({"Content-Type": kind} if kind else {})},
            )
            if answer.status_code != 409:
                break
        assert answer.status_code == 201, answer.text
        assert "idempotent-replayed" not in answer.headers
        assert [each for each in settings.incoming_dir.iterdir() if each.name != ".probe"] == []


def test_a_request_whose_process_died_leaves_its_key(client: TestClient, database: Database) -> None:
    """Nobody says any more that it is being answered."""
    with database.write() as session:
        IdempotencyRepository(session).begin(EMBEDDED, "one", UNREAD, now())
    problem(client.post(URL, content=b"a clip", headers=KEY), 409, "request_in_progress")
    assert timedelta(minutes=1) >= ABANDONED_AFTER
    with database.write() as session:
        session.execute(
            update(IdempotencyKey).values(created_at=now() - ABANDONED_AFTER - timedelta(seconds=1))
        )
    assert client.post(URL, content=b"a clip", headers=KEY).status_code == 201


def test_the_embedded_service_frees_keys_when_it_starts(
    settings: Settings, database: Database, watch: Watch
) -> None:
    """It is the only one, so nobody answers what its last process did not."""
    with database.write() as session:
        IdempotencyRepository(session).begin(EMBEDDED, "one", UNREAD, now())
    with TestClient(create_app(settings)) as one_of_many:
        problem(one_of_many.post(URL, content=b"a clip", headers=KEY), 409, "request_in_progress")
    with TestClient(create_app(settings, watch=watch)) as embedded:
        assert embedded.post(URL, content=b"a clip", headers=KEY).status_code == 201
    with TestClient(create_app(settings, watch=watch)) as embedded:
        assert "idempotent-replayed" in embedded.post(URL, content=b"a clip", headers=KEY).headers


@pytest.fixture
def _slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_request, "BEAT_S", 0.01)


@pytest.mark.usefixtures("_slow")
def test_a_long_request_says_that_it_is_alive(database: Database) -> None:
    """However long ago it began, its twin is told to wait; once it is answered, its answer is kept."""
    scope = {"type": "http", "method": "POST", "path": "/v1/uploads", "query_string": b"", "headers": []}
    began: list[object] = []

    def when() -> object:
        with database.read() as session:
            return session.query(IdempotencyKey.created_at).scalar()

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(_message: object) -> None: ...

    async def handler(_scope: object, _receive: object, send: object) -> None:
        began.append(when())
        with anyio.fail_after(20):
            while when() == began[0]:
                await anyio.sleep(0.01)
        with pytest.raises(InProgress):
            await OnceOnly(database, EMBEDDED, "k", scope).run(b"{}", receive, send_nothing, handler)
        await send({"type": "http.response.start", "status": 201, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"made"})  # type: ignore[operator]

    send_nothing = send
    anyio.run(OnceOnly(database, EMBEDDED, "k", scope).run, b"{}", receive, send, handler)  # type: ignore[arg-type]
    with database.write() as session:
        row = session.query(IdempotencyKey).one()
        assert (row.status, row.body) == (201, b"made")


def test_two_at_once_are_done_once(either_database: Database, settings: Settings) -> None:
    url = either_database.engine.url.render_as_string(hide_password=False)
    app = create_app(settings.model_copy(update={"database_url": url}))
    with TestClient(app, raise_server_exceptions=False) as client:
        for path, content in ((URL, b"a clip"), ("/v1/consents", b'{"subject_name": "Ada"}')):
            kind = {"Content-Type": "video/mp4" if content == b"a clip" else "application/json"}
            headers = {"Idempotency-Key": content.decode().encode().hex(), **kind}
            answers = at_once([partial(client.post, path, content=content, headers=headers)] * 6)
            made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
            assert len(made) == 1, [answer.text for answer in answers]
            assert {answer.status_code for answer in answers} <= {201, 409}
        assert len(uploads(client)) == 1
        assert len(client.get("/v1/consents").json()["data"]) == 1


def test_who_lost_the_key_does_not_take_it_back(either_database: Database) -> None:
    """A process that slept through its time finds that another one answers, or has answered."""
    moment = now()
    late = moment + ABANDONED_AFTER + timedelta(seconds=1)
    with either_database.write() as session:
        keys = IdempotencyRepository(session)
        assert keys.begin(EMBEDDED, "k", "f", moment) is None
        with pytest.raises(KeyReused):
            keys.begin(EMBEDDED, "k", "g", moment)
    with either_database.write() as session:
        keys = IdempotencyRepository(session)
        assert keys.begin(EMBEDDED, "k", "f", late) is None
        assert not keys.beat(EMBEDDED, "k", moment, moment)
        keys.release(EMBEDDED, "k", moment)
        assert not keys.keep(EMBEDDED, "k", moment, fingerprint="f", status=201, headers={}, body=b"mine")
        assert keys.keep(EMBEDDED, "k", late, fingerprint="f", status=201, headers={}, body=b"theirs")
    with either_database.write() as session:
        found = IdempotencyRepository(session).begin(EMBEDDED, "k", "f", late)
        assert found is not None
        assert found.body == b"theirs"


def test_a_repetition_is_read_to_its_end(client: TestClient) -> None:
    """But never kept: it is a file as long as one may be."""
    content = bytes(2 * 2**20)
    first = client.post(URL, content=content, headers=KEY).json()
    assert client.post(URL, content=content, headers=KEY).json() == first
    problem(client.post(URL, content=content[:-1] + b"x", headers=KEY), 422, "idempotency_key_reused")
    long = (bytes(2**20) for _ in range(4))
    problem(client.post(URL, content=long, headers=KEY), 413, "media_too_large")
