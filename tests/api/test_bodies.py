"""Bodies without end, without length, or without anybody who may send them: real sockets against the real server."""

from __future__ import annotations

import json
import re
import socket
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import bodies
from api.bodies import FILES, MAX_BODY, BodyDigest
from api.connections import TimedProtocol
from api.route_table import RouteTable, api_routes
from likeness.accounts import create_key, create_tenant
from likeness.settings import Settings
from tests.api.calls import problem
from tests.served import Service, served

KINDS = (
    "application/json",
    "",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=b",
    "text/plain",
)


@dataclass(frozen=True)
class Place:
    """A service with accounts, and a key of each kind."""

    service: Service
    reader: str
    admin: str

    def ask(
        self, method: str, path: str, key: str, kind: str, *pieces: bytes, more: str = ""
    ) -> tuple[int, str, int]:
        """Status and body of the answer to a chunked request that sends the last piece again and again, and how many
        bytes of it went out before the line was cut. It gives up after 64 MiB."""
        parts = urlsplit(self.service.url)
        assert parts.hostname is not None
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{more}"
        if key:
            head += f"Authorization: Bearer {key}\r\n"
        if kind:
            head += f"Content-Type: {kind}\r\n"
        sent = 0
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=30) as line:
            line.sendall(f"{head}\r\n".encode())
            try:
                for piece in pieces:
                    line.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                while sent < 2**26:
                    line.sendall(b"%x\r\n%b\r\n" % (len(pieces[-1]), pieces[-1]))
                    sent += len(pieces[-1])
            except (BrokenPipeError, ConnectionResetError):
                pass
            answer = bytearray()
            try:
                while block := line.recv(65536):
                    answer += block
            except ConnectionResetError:
                pass
        head_of_answer, _, body = bytes(answer).partition(b"\r\n\r\n")
        return int(head_of_answer.split()[1]), body.decode(), sent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("bodies"),
        min_free_mb=1,
        max_upload_mb=2,
        auth="keys",
        rate_per_minute=0,
    )
    with pytest.MonkeyPatch.context() as patched, served(settings, works=False) as service:
        patched.setattr(TimedProtocol, "LINGER_BYTES", 2**20)
        tenant = create_tenant(service.database, "Ada Ltd")
        keys = [
            create_key(service.database, tenant_id=tenant, name=scope, scopes=[scope])[1]
            for scope in ("read", "admin")
        ]
        yield Place(service, *keys)


BLOCK = b"x" * 2**16


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("more", ["", "Idempotency-Key: k\r\n"])
def test_who_may_only_read_sends_nothing(place: Place, kind: str, more: str) -> None:
    """The refusal comes before the body; what the line holds is all that is ever sent."""
    status, body, sent = place.ask("POST", "/v1/uploads?purpose=clip", place.reader, kind, BLOCK, more=more)
    assert (status, json.loads(body)["code"]) == (403, "forbidden")
    assert sent < 2**25
    assert [path for path in place.service.settings.incoming_dir.iterdir() if path.name != ".probe"] == []


def test_who_has_no_key_sends_nothing(place: Place) -> None:
    for key in ("", "lk_wrong"):
        status, _, sent = place.ask("POST", "/v1/uploads?purpose=clip", key, "", BLOCK)
        assert (status, sent < 2**25) == (401, True)


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("more", ["", "Idempotency-Key: k\r\n"])
@pytest.mark.parametrize("path", ["/v1/uploads", "/v1/persons", "/people", "/v1/nowhere", "/sign-in"])
def test_what_is_no_file_is_small(place: Place, path: str, kind: str, more: str) -> None:
    status, body, sent = place.ask("POST", path, place.admin, kind, BLOCK, more=more)
    assert (status, json.loads(body)["code"]) == (413, "media_too_large")
    assert sent < 2**25


def test_a_form_without_end_is_a_file_at_most(place: Place) -> None:
    """Also where the field is none of a file, the parts' headers never end, or nothing of the form has begun."""
    form = "multipart/form-data; boundary=b"
    for first, status in (
        (b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n', 413),
        (b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n', 422),
        (b"--b\r\nContent-Disposition: ", 422),
        (b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nclip\r\n--b--\r\n', 413),
    ):
        for path in ("/v1/uploads", "/people"):
            answer, _, sent = place.ask("POST", path, place.admin, form, first, BLOCK)
            assert (answer in (status, 422), sent < 2**25) == (True, True), (first, path, answer)
    assert [path for path in place.service.settings.incoming_dir.iterdir() if path.name != ".probe"] == []


def test_no_body_is_kept_in_memory(place: Place) -> None:
    tracemalloc.start()
    try:
        for kind in KINDS:
            for key in (place.reader, place.admin):
                place.ask("POST", "/v1/uploads?purpose=clip", key, kind, BLOCK, more="Idempotency-Key: k\r\n")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 12 * 2**20


def test_every_route_that_takes_a_body_refuses_one_without_end(place: Place) -> None:
    """Walks the table of routes, with all scopes: none keeps more than a mebibyte, but those that take files."""
    app: FastAPI = place.service.app
    asked = 0
    for route in api_routes(app.router.routes):
        path = re.sub(r"\{(\w+)(:path)?\}", "1", route.path)
        for method in sorted((route.methods or set()) - {"GET", "HEAD"}):
            status, _, sent = place.ask(method, path, place.admin, "application/json", BLOCK)
            if path.startswith("/v1/") and "objects" not in path:
                # What looks, or comes with a signature, needs no more than to read.
                looks = path.startswith(("/v1/estimates", "/v1/verifications"))
                first, _, sent = place.ask(method, path, place.reader, "application/json", BLOCK)
                assert first == (413 if looks else 403), (method, path, first)
                assert sent < 2**25, (method, path)
            if path == "/v1/objects/1":
                assert status == 403, "its address is not signed"
            else:
                assert status == 413, (method, path, status)
            assert sent < 2**25, (method, path)
            asked += 1
    assert asked > 60
    assert {path for path in (re.sub(r"\{\w+(:path)?\}", "x", r.path) for r in api_routes(app.router.routes))
            if FILES.fullmatch(path)} == {
        "/v1/uploads", "/v1/objects/x", "/people", "/people/x/videos", "/people/x/motions", "/people/x/trainings",
        "/inspections", "/verifications", "/consents/x/recording",
    }  # fmt: skip


def test_every_route_is_found_with_what_it_needs(place: Place) -> None:
    app: FastAPI = place.service.app
    table = RouteTable(app.router.routes)
    found = 0
    for route in api_routes(app.router.routes):
        asked = [getattr(depends.dependency, "likeness_scopes", None) for depends in route.dependencies]
        for method in route.methods or set():
            path = re.sub(r"\{(\w+)(:path)?\}", "1", route.path)
            assert list(table.permissions(method, path)) == [scopes for scopes in asked if scopes], route.path
            found += bool(asked)
    assert found > 90
    assert table.permissions("POST", "/v1/nowhere") == ()


@pytest.mark.parametrize(
    ("path", "kind", "limit"),
    [
        ("/v1/persons", "application/json", "SMALL_BODY_S"),
        ("/v1/uploads", "application/json", "SMALL_BODY_S"),
        ("/v1/uploads?purpose=clip", "video/mp4", "LONGEST_SILENCE_S"),
        ("/people", "multipart/form-data; boundary=b", "LONGEST_SILENCE_S"),
        ("/sign-in", "application/x-www-form-urlencoded", "SMALL_BODY_S"),
    ],
)
@pytest.mark.parametrize("length", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("more", ["", "Idempotency-Key: k\r\n"])
def test_half_a_body_and_then_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch, path: str, kind: str, limit: str, length: str, more: str
) -> None:
    monkeypatch.setattr(bodies, limit, 0.2)
    parts = urlsplit(place.service.url)
    assert parts.hostname is not None
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {place.admin}\r\n"
        f"Content-Type: {kind}\r\n{length}\r\n{more}\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=20) as line:
        line.sendall(head.encode() + b"1\r\n-\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 408")
    assert [path for path in place.service.settings.incoming_dir.iterdir() if path.name != ".probe"] == []


def test_a_file_that_trickles_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "LONGEST_SILENCE_S", 0.2)
    parts = urlsplit(place.service.url)
    assert parts.hostname is not None
    head = (
        f"POST /v1/uploads?purpose=clip HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {place.admin}\r\n"
        "Content-Length: 100000\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=0.05) as line:
        line.sendall(head.encode())
        answer = b""
        for _ in range(400):  # one byte, and a twentieth of a second for an answer
            line.sendall(b"x")
            try:
                answer = line.recv(65536)
                break
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 408")


def test_chunked_json_is_taken(client: TestClient) -> None:
    body = [b'{"name": "Ada", ', b'"consent": {"attested": true, "subject_name": "Ada"}}']
    answer = client.post("/v1/persons", content=iter(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    long = (b" " * 2**10 for _ in range(MAX_BODY // 2**10 + 1))
    problem(client.post("/v1/persons", content=long), 413, "media_too_large")


def test_a_digest_knows_forms_by_what_is_in_them() -> None:
    def digest(kind: str, *blocks: bytes) -> str:
        made = BodyDigest(kind)
        for block in blocks:
            made.update(block)
        return made.hexdigest()

    def form(boundary: str, content: bytes) -> tuple[str, bytes]:
        mark = f"--{boundary}".encode()
        body = (
            mark
            + b'\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
            + content
            + b"\r\n"
            + mark
            + b"--\r\n"
        )
        return f"multipart/form-data; boundary={boundary}", body

    kind, body = form("one", b"a clip")
    alike = digest(kind, body)
    assert digest(*form("quite-another", b"a clip")) == alike
    assert digest(kind, *(bytes([byte]) for byte in body)) == alike, "however it is cut into blocks"
    assert digest(*form("one", b"a clap")) != alike
    assert digest(*form("one", b"a--on clip")) != digest(*form("one", b"a clip"))
    # A seam can't be moved into the content of another form.
    assert digest(*form("x", b"a--yb")) != digest(*form("y", b"a--xb"))
    assert digest("video/mp4", b"ab", b"c") == digest("", b"abc") != digest("", b"abd")
