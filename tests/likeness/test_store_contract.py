"""What every object store promises, asked of local files, moto and rclone over real HTTP."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
import uvicorn

from api.app import create_app
from likeness.refusals import StoreUnavailable
from likeness.s3 import S3Store
from likeness.s3_client import S3Options
from likeness.settings import Settings
from likeness.store import LocalStore, ObjectStore, Part
from likeness.stores import store_of
from problems import Conflict, InternalProblem, InvalidParameter, NotFound
from tests.likeness.object_servers import ACCESS_KEY, SECRET_KEY, free_port

MIB = 2**20
PART = 5 * MIB


@dataclass
class Deployed:
    """A store, and a way to reach behind its back."""

    kind: str
    store: ObjectStore
    folder: Path | None = None
    """Where its objects lie as files."""
    s3: S3Options | None = None

    def damage(self, key: str, content: bytes) -> None:
        if self.folder is not None:
            (self.folder / key).write_bytes(content)
        else:
            assert self.s3 is not None
            client = boto3.client(
                "s3",
                endpoint_url=self.s3.endpoint_url,
                aws_access_key_id=ACCESS_KEY,
                aws_secret_access_key=SECRET_KEY,
                region_name="us-east-1",
            )
            client.put_object(Bucket=self.s3.bucket, Key=f"{self.s3.prefix}/{key}", Body=content)


def s3_options(url: str, bucket: str, **changes: object) -> S3Options:
    given: dict[str, object] = {
        "bucket": bucket,
        "prefix": "tests/likeness",
        "endpoint_url": url,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "make_bucket": True,
        "part_size": PART,
        "page_size": 3,
    }
    return S3Options(**{**given, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A deployment whose API serves the signed addresses."""
    port = free_port()
    data = tmp_path_factory.mktemp("local")
    settings = Settings(data_dir=data, public_url=f"http://127.0.0.1:{port}", min_free_mb=1, max_upload_mb=64)
    settings.prepare_folders()
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield settings
    server.should_exit = True
    thread.join()


@pytest.fixture(params=["local", "moto", "rclone"])
def deployed(request: pytest.FixtureRequest) -> Deployed:
    kind = str(request.param)
    if kind == "local":
        settings = request.getfixturevalue("local")
        store = store_of(settings)
        for key in list(store.keys()):
            store.delete_prefix(key)
        store.prepare()
        return Deployed(kind, store, settings.objects_dir)
    bucket, folder = f"bucket-{uuid.uuid4().hex}", None
    if kind == "moto":
        url = request.getfixturevalue("moto")
    else:
        url, root = request.getfixturevalue("rclone")
        folder = root / bucket / "tests" / "likeness"
    options = s3_options(url, bucket)
    store = S3Store(options)
    store.prepare()
    return Deployed(kind, store, folder, options)


@pytest.fixture
def store(deployed: Deployed) -> ObjectStore:
    return deployed.store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"bytes" * 1000)
    return path


def varied(size: int, seed: bytes = b"") -> bytes:
    """Bytes without a period that a mixed-up part could hide in."""
    block = b"".join(hashlib.sha256(seed + number.to_bytes(4)).digest() for number in range(2048))
    return b"".join(number.to_bytes(8) + block for number in range(-(-size // len(block))))[:size]


def test_what_is_put_is_fetched(store: ObjectStore, source: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    stored = store.put_file("people/per_1/a.bin", source)
    assert (stored.key, stored.size, stored.sha256) == ("people/per_1/a.bin", 5000, digest)
    assert source.exists()
    store.fetch("people/per_1/a.bin", tmp_path / "deep" / "copy", sha256=digest)
    assert (tmp_path / "deep" / "copy").read_bytes() == source.read_bytes()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]
    assert store.exists("people/per_1/a.bin")
    assert store.size("people/per_1/a.bin") == 5000
    store.put_file("people/per_1/a.bin", source, move=True)
    assert not source.exists()


def test_an_object_is_read_in_pieces(store: ObjectStore, source: Path) -> None:
    with pytest.raises(NotFound):
        store.describe("people/none")
    content = varied(3 * MIB + 5)
    source.write_bytes(content)
    store.put_file("people/pieces", source)
    facts = store.describe("people/pieces")
    assert facts.size == len(content)
    assert abs(facts.modified.timestamp() - time.time()) < 3600
    for start, length in ((0, 10), (MIB - 1, MIB), (len(content) - 5, 100)):
        piece = store.read("people/pieces", start, length, etag=facts.etag)
        assert piece == content[start : start + length]
    source.write_bytes(content[::-1])
    store.put_file("people/pieces", source)
    with pytest.raises(Conflict, match="stored anew"):
        store.read("people/pieces", 0, 10, etag=facts.etag)
    store.delete_prefix("people/pieces")
    with pytest.raises(NotFound):
        store.read("people/pieces", 0, 10, etag=facts.etag)


def test_a_part_that_the_service_takes_for_a_client(deployed: Deployed, tmp_path: Path) -> None:
    store = deployed.store
    contents = [varied(PART), b"the rest"]
    upload = store.begin_parts("uploads/a")
    tries = enumerate((b"an earlier try", *contents))
    if deployed.kind == "rclone":  # which refuses other bytes for a part that it has
        tries = enumerate(contents, 1)
    for number, content in tries:
        (tmp_path / "part").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        taken = store.take_part("uploads/a", upload, max(number, 1), tmp_path / "part", digest)
        assert (taken.number, taken.size) == (max(number, 1), len(content))
    arrived = store.parts("uploads/a", upload)
    assert [(part.number, part.size) for part in arrived] == [(1, PART), (2, 8)]
    assert arrived[1] == taken, "the tag that the client is told is the one that completes"
    store.complete_parts("uploads/a", upload, arrived)
    assert store.measure("uploads/a").sha256 == hashlib.sha256(b"".join(contents)).hexdigest()
    (tmp_path / "part").write_bytes(b"late")
    # moto answers 500 to a part of an upload that is none any more
    with pytest.raises(StoreUnavailable if deployed.kind == "moto" else NotFound):
        store.take_part("uploads/a", upload, 1, tmp_path / "part", "0" * 64)


def test_an_empty_file(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    stored = store.put_file("empty", tmp_path / "empty")
    assert stored.size == 0
    store.fetch("empty", tmp_path / "copy", sha256=stored.sha256)
    assert (tmp_path / "copy").read_bytes() == b""


@pytest.mark.parametrize("size", [PART, PART + 1, 20 * MIB + 7])
def test_large_files(store: ObjectStore, tmp_path: Path, size: int) -> None:
    content = varied(size)
    (tmp_path / "large").write_bytes(content)
    stored = store.put_file("large", tmp_path / "large")
    assert (stored.size, stored.sha256) == (size, hashlib.sha256(content).hexdigest())
    store.fetch("large", tmp_path / "copy", sha256=stored.sha256)
    assert (tmp_path / "copy").read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"large", "copy"}


def test_a_reader_never_sees_half(store: ObjectStore, tmp_path: Path) -> None:
    contents = [varied(6 * MIB, b"a"), varied(6 * MIB, b"b")]
    whole = {hashlib.sha256(content).hexdigest() for content in contents}
    for name, content in zip("ab", contents, strict=True):
        (tmp_path / name).write_bytes(content)
    store.put_file("turns", tmp_path / "a")
    seen: set[str] = set()
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                store.fetch("turns", tmp_path / "copies" / "copy", sha256="0" * 64)
            except InternalProblem as problem:
                seen.add(str(problem.details["found"]))

    reader = threading.Thread(target=read)
    reader.start()
    for name in "ba" * 3:
        store.put_file("turns", tmp_path / name)
    over.set()
    reader.join()
    assert seen
    assert seen <= whole


def test_many_may_fetch_the_same_to_one_place(store: ObjectStore, tmp_path: Path) -> None:
    content = varied(24 * MIB)
    (tmp_path / "source").write_bytes(content)
    stored = store.put_file("shared", tmp_path / "source")
    start = threading.Barrier(3)
    faults: list[BaseException] = []

    def fetch() -> None:
        start.wait()
        try:
            store.fetch("shared", tmp_path / "copies" / "copy", sha256=stored.sha256)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert (tmp_path / "copies" / "copy").read_bytes() == content
    assert [path.name for path in (tmp_path / "copies").iterdir()] == ["copy"]


def test_a_damaged_object_is_refused_and_leaves_no_copy(
    deployed: Deployed, source: Path, tmp_path: Path
) -> None:
    stored = deployed.store.put_file("a", source)
    deployed.damage("a", b"other")
    with pytest.raises(InternalProblem, match="damaged"):
        deployed.store.fetch("a", tmp_path / "target" / "copy", sha256=stored.sha256)
    assert list((tmp_path / "target").iterdir()) == []


def test_a_missing_object(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.fetch("a/b", tmp_path / "copy", sha256="00")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(NotFound):
        store.size("a/b")
    assert not store.exists("a/b")
    assert store.delete_prefix("a/b") == 0
    assert list(store.keys("a")) == []


def test_a_source_that_can_not_be_read_leaves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file("a/b", tmp_path / "missing")
    assert list(store.keys()) == []


def test_listing_and_deleting_over_several_pages(store: ObjectStore, source: Path) -> None:
    mine = sorted(f"people/per_1/{number % 3}/{number}" for number in range(10))
    for key in [*mine, "people/per_10/a", "people/per_1.x"]:
        store.put_file(key, source)
    assert list(store.keys("people/per_1")) == mine
    assert list(store.keys("people/per_10/a")) == ["people/per_10/a"]
    assert len(list(store.keys())) == 12
    assert store.delete_prefix("people/per_1") == 10
    assert store.delete_prefix("people/per_10/a") == 1
    assert list(store.keys()) == ["people/per_1.x"]


def test_keys_that_lead_elsewhere_are_refused(store: ObjectStore, source: Path) -> None:
    for key in ("", "/etc/passwd", "..", "a/../../b", "a//b", ".incoming/a", "a\\b", "a/"):
        for call in (
            lambda key: store.put_file(key, source),
            store.exists,
            store.delete_prefix,
            store.begin_parts,
            store.local_path,
            lambda key: store.signed_get(key, expires_s=60),
        ):
            with pytest.raises(InvalidParameter):
                call(key)


# -- signed addresses ------------------------------------------------------------------------------------------


def test_reading_at_a_signed_address(store: ObjectStore, source: Path) -> None:
    store.put_file("people/a", source)
    address = store.signed_get("people/a", expires_s=60, filename="Ädä.mp4", media_type="video/mp4")
    answer = httpx.get(address)
    assert (answer.status_code, answer.content) == (200, source.read_bytes())
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%84d%C3%A4.mp4"
    part = httpx.get(address, headers={"Range": "bytes=10-19"})
    assert part.content == source.read_bytes()[10:20]
    assert part.status_code in (200, 206)  # rclone says 200
    assert httpx.get(store.signed_get("people/none", expires_s=60)).status_code == 404


def test_writing_at_a_signed_address(store: ObjectStore, tmp_path: Path) -> None:
    content = varied(3 * MIB)
    address = store.signed_put("uploads/a", expires_s=60, size=len(content), media_type="video/mp4")
    answer = httpx.put(address, content=content, headers={"Content-Type": "video/mp4"})
    assert answer.status_code == 200, answer.text
    assert store.size("uploads/a") == len(content)
    store.fetch("uploads/a", tmp_path / "copy", sha256=hashlib.sha256(content).hexdigest())


def test_parts_from_a_client(deployed: Deployed, tmp_path: Path) -> None:
    store = deployed.store
    content = varied(2 * PART + 1000)
    upload = store.begin_parts("uploads/b")
    pieces = {1: content[:PART], 2: content[PART : 2 * PART], 3: content[2 * PART :]}
    tags = {}
    for number in (3, 1):
        answer = httpx.put(
            store.signed_part("uploads/b", upload, number, expires_s=60), content=pieces[number]
        )
        assert answer.status_code == 200, answer.text
        tags[number] = answer.headers["etag"]
    assert not store.exists("uploads/b")
    # the client was away; what it still has to send is what is not listed
    assert [(part.number, part.size) for part in store.parts("uploads/b", upload)] == [(1, PART), (3, 1000)]
    if deployed.kind != "rclone":  # which refuses other bytes for a part that it has joined to its neighbour
        httpx.put(store.signed_part("uploads/b", upload, 2, expires_s=60), content=varied(PART, b"wrong"))
    httpx.put(store.signed_part("uploads/b", upload, 2, expires_s=60), content=pieces[2])
    arrived = store.parts("uploads/b", upload)
    assert {part.number: part.tag for part in arrived if part.number != 2} == tags
    store.complete_parts("uploads/b", upload, arrived)
    store.fetch("uploads/b", tmp_path / "copy", sha256=hashlib.sha256(content).hexdigest())
    assert list(store.keys()) == ["uploads/b"]
    with pytest.raises(NotFound):
        store.parts("uploads/b", "0" * 32)
    with pytest.raises(InvalidParameter):
        store.complete_parts("uploads/b", upload, [])
    with pytest.raises(InvalidParameter):
        store.complete_parts("uploads/b", upload, arrived[::-1])
    with pytest.raises(InvalidParameter):
        store.signed_part("uploads/b", upload, 0, expires_s=60)


def test_a_part_of_another_length_than_its_address_is_for(deployed: Deployed) -> None:
    if deployed.kind == "moto":
        pytest.skip("checks no signatures")
    store = deployed.store
    upload = store.begin_parts("uploads/e")
    address = store.signed_part("uploads/e", upload, 1, expires_s=60, size=1000)
    for size in (1001, PART, 999):
        assert httpx.put(address, content=bytes(size)).status_code >= 400
    assert store.parts("uploads/e", upload) == []
    assert httpx.put(address, content=bytes(1000)).status_code == 200
    assert [part.size for part in store.parts("uploads/e", upload)] == [1000]


def test_parts_that_did_not_arrive_and_uploads_that_are_dropped(store: ObjectStore) -> None:
    other = '"' + "0" * 32 + '"'
    for wrong in ([Part(1, 3, other)], [Part(2, 3, other)]):
        upload = store.begin_parts("uploads/c")
        httpx.put(store.signed_part("uploads/c", upload, 1, expires_s=60), content=b"one")
        with pytest.raises(Conflict):
            store.complete_parts("uploads/c", upload, wrong)
    assert not store.exists("uploads/c")
    upload = store.begin_parts("uploads/c")
    store.abort_parts("uploads/c", upload)
    store.abort_parts("uploads/c", upload)
    with pytest.raises(NotFound):
        store.parts("uploads/c", upload)
    # deleting a person's folder takes along what is still coming in
    upload, other = store.begin_parts("people/per_1/d"), store.begin_parts("people/per_10/d")
    httpx.put(store.signed_part("people/per_1/d", upload, 1, expires_s=60), content=b"a face")
    store.delete_prefix("people/per_1")
    with pytest.raises(NotFound):
        store.parts("people/per_1/d", upload)
    assert store.parts("people/per_10/d", other) == []


@pytest.mark.parametrize("expires_s", [0, 8 * 24 * 3600])
def test_addresses_are_good_for_a_second_to_a_week(store: ObjectStore, expires_s: float) -> None:
    with pytest.raises(InvalidParameter):
        store.signed_get("a", expires_s=expires_s)


@pytest.mark.parametrize("deployed", ["local", "rclone"], indirect=True)
def test_what_was_not_signed_is_refused(deployed: Deployed, source: Path) -> None:
    # Not asked of moto, which takes every signature and knows no expiry.
    store = deployed.store
    for key in ("people/a", "people/b"):
        store.put_file(key, source)
    address = store.signed_get("people/a", expires_s=60)
    assert httpx.get(address).status_code == 200
    wrong = [
        address.replace("people/a", "people/b"),
        address[:-1] + ("0" if address[-1] != "0" else "1"),
        address.replace("xpires=", "xpires=1"),
        address.split("?")[0],
    ]
    refused = (400, 403)  # rclone says 400 to some
    assert all(httpx.get(each).status_code in refused for each in wrong)
    assert httpx.put(address, content=b"x").status_code == 403
    size = store.signed_put("people/a", expires_s=60, size=3, media_type="video/mp4")
    for content, media_type in ((b"1234", "video/mp4"), (b"12", "video/mp4"), (b"123", "text/html")):
        answer = httpx.put(size, content=content, headers={"Content-Type": media_type})
        assert answer.status_code in (403, 413, 422)
    upload = store.begin_parts("people/c")
    part = store.signed_part("people/c", upload, 1, expires_s=60)
    other = part.replace("part=1", "part=2").replace("partNumber=1", "partNumber=2")
    assert other != part
    assert httpx.put(other, content=b"x").status_code == 403
    short = store.signed_get("people/a", expires_s=1)
    until = time.monotonic() + 4
    while (status := httpx.get(short).status_code) == 200 and time.monotonic() < until:
        time.sleep(0.1)
    assert status in refused
    assert store.size("people/a") == 5000


def test_the_addresses_have_one_shape(store: ObjectStore) -> None:
    address = urlsplit(store.signed_get("people/a", expires_s=60))
    assert (address.scheme, address.path.endswith("/people/a")) == ("http", True)
    assert "xpires=" in address.query
    assert "ignature=" in address.query


def test_only_the_local_store_has_paths(deployed: Deployed, source: Path) -> None:
    deployed.store.put_file("a", source)
    path = deployed.store.local_path("a")
    assert (path is not None) == isinstance(deployed.store, LocalStore)
