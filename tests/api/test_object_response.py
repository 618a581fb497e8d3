"""Ranges, conditions and HEAD, the same whether objects lie in files or in a bucket behind the service."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.app import create_app
from api.object_response import PIECE
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.stores import store_of
from tests.api.calls import problem
from tests.likeness.conftest import moto  # noqa: F401

CONTENT = bytes(range(256)) * (2 * PIECE // 256) + b"the rest"


@dataclass
class Stored:
    store: ObjectStore
    client: TestClient
    path: Path

    def put(self, content: bytes) -> None:
        self.path.write_bytes(content)
        self.store.put_file("people/a", self.path)

    @property
    def address(self) -> str:
        return self.store.signed_get("people/a", expires_s=60, media_type="video/mp4")


@pytest.fixture(params=["files", "bucket"])
def stored(request: pytest.FixtureRequest, tmp_path: Path, moto: str) -> Iterator[Stored]:
    bucket = {
        "store": "s3",
        "s3_bucket": tmp_path.name.replace("_", "-"),
        "s3_endpoint_url": moto,
        "s3_access_key": "a",
        "s3_secret_key": SecretStr("b"),
        "s3_make_bucket": True,
    }
    settings = Settings(
        data_dir=tmp_path / "data", min_free_mb=1, **(bucket if request.param == "bucket" else {})
    )
    settings.prepare_folders()
    database = Database.of(settings)
    migrate(database)
    database.close()
    store = store_of(settings)
    store.prepare()
    app = create_app(settings)
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        made = Stored(store, client, tmp_path / "source")
        made.put(CONTENT)
        yield made


def test_all_of_it(stored: Stored) -> None:
    answer = stored.client.get(stored.address)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["etag"].startswith('"')


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        (f"bytes={PIECE - 2}-{PIECE + 1}", PIECE - 2, PIECE + 2),
        (f"bytes={len(CONTENT) - 3}-", len(CONTENT) - 3, len(CONTENT)),
        ("bytes=-8", len(CONTENT) - 8, len(CONTENT)),
        ("bytes=3-99999999999", 3, len(CONTENT)),
        ("bytes=-99999999999", 0, len(CONTENT)),
    ],
)
def test_a_range(stored: Stored, asked: str, start: int, stop: int) -> None:
    answer = stored.client.get(stored.address, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=9-5", "bytes=1-2,5-6", "bytes=-", "bytes=a-b", "lines=1-2", ""])
def test_what_is_no_single_range_is_answered_with_all_of_it(stored: Stored, asked: str) -> None:
    answer = stored.client.get(stored.address, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=-0"])
def test_a_range_behind_the_end(stored: Stored, asked: str) -> None:
    answer = stored.client.get(stored.address, headers={"Range": asked})
    assert problem(answer, 416, "range_not_satisfiable")["details"] == {"size": len(CONTENT)}
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_an_empty_object(stored: Stored) -> None:
    stored.put(b"")
    answer = stored.client.get(stored.address)
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


def test_head_tells_all_and_reads_nothing(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stored.client.get(stored.address)

    def read(*_: object, **__: object) -> bytes:
        raise AssertionError("nothing has to be read")

    monkeypatch.setattr(type(stored.store), "read", read)
    head = stored.client.head(stored.address)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "etag", "last-modified", "content-type", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]
    part = stored.client.head(stored.address, headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "5")
    problem_of_none = stored.client.head(stored.store.signed_get("people/none", expires_s=60))
    assert problem_of_none.status_code == 404


def test_who_has_a_copy_is_sent_none(stored: Stored) -> None:
    whole = stored.client.get(stored.address)
    tag, date = whole.headers["etag"], whole.headers["last-modified"]
    for known in (
        {"If-None-Match": tag},
        {"If-None-Match": f'"other", W/{tag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": date},
        {"If-None-Match": tag, "If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        answer = stored.client.get(stored.address, headers=known)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), known
    for other in (
        {"If-None-Match": '"other"'},
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
        {"If-None-Match": '"other"', "If-Modified-Since": date},
    ):
        assert stored.client.get(stored.address, headers=other).content == CONTENT, other


def test_who_goes_on_is_sent_the_rest_of_the_same_object_only(stored: Stored) -> None:
    whole = stored.client.get(stored.address)
    tag, date = whole.headers["etag"], whole.headers["last-modified"]
    rest = {"Range": f"bytes={2 * PIECE}-"}
    for same in ({"If-Range": tag}, {"If-Range": date}, {"If-Match": tag}, {"If-Match": "*"}):
        assert stored.client.get(stored.address, headers={**rest, **same}).content == b"the rest", same
    for other in ({"If-Range": '"other"'}, {"If-Range": f"W/{tag}"}):
        answer = stored.client.get(stored.address, headers={**rest, **other})
        assert (answer.status_code, answer.content) == (200, CONTENT), other
    for changed in ({"If-Match": '"other"'}, {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}):
        assert stored.client.get(stored.address, headers=changed).status_code == 412, changed
    stored.put(CONTENT[::-1])
    assert stored.client.get(stored.address).headers["etag"] != tag


def test_it_is_read_in_pieces(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the object is, no more than one piece is asked of the store at a time."""
    kind, lengths, open_reads, lock = type(stored.store), list[int](), list[int](), threading.Lock()
    read, now_open = kind.read, 0

    def watched(self: object, key: str, start: int, length: int, *, etag: str) -> bytes:
        nonlocal now_open
        with lock:
            now_open += 1
            lengths.append(length)
            open_reads.append(now_open)
        try:
            return read(stored.store, key, start, length, etag=etag)
        finally:
            with lock:
                now_open -= 1

    monkeypatch.setattr(kind, "read", watched)
    assert stored.client.get(stored.address).content == CONTENT
    assert lengths == [PIECE, PIECE, len(b"the rest")]
    assert max(open_reads) == 1


def test_an_object_that_is_stored_anew_meanwhile_is_not_mixed(stored: Stored) -> None:
    facts = stored.store.describe("people/a")
    stored.put(CONTENT[::-1])
    with pytest.raises(Exception, match="was stored anew"):
        stored.store.read("people/a", 0, 10, etag=facts.etag)
