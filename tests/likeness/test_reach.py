"""The doctor as a browser: real servers at the addresses, real faults."""

from __future__ import annotations

import http.server
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from api.app import create_app
from likeness.database import Database
from likeness.health import Check
from likeness.reach import check_addresses
from likeness.schema import migrate
from likeness.settings import Settings
from likeness.stores import store_of
from tests.likeness.object_servers import ACCESS_KEY, SECRET_KEY, free_port, overloaded_server

SECRET = "0123456789abcdef0123456789abcdef"


@contextmanager
def api(settings: Settings, port: int) -> Iterator[None]:
    """The service on a port of this machine."""
    settings.prepare_folders()
    database = Database.of(settings)
    migrate(database)
    database.close()
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def in_bucket(tmp_path: Path, endpoint: str, **changes: Any) -> Settings:
    given = {
        "data_dir": tmp_path / "data",
        "store": "s3",
        "s3_bucket": f"bucket-{uuid.uuid4().hex}",
        "s3_endpoint_url": endpoint,
        "s3_access_key": ACCESS_KEY,
        "s3_secret_key": SECRET_KEY,
        "s3_make_bucket": True,
        "secret_key": SECRET,
        "min_free_mb": 1,
        "port": free_port(),
    }
    settings = Settings(**{**given, **changes})
    settings.prepare_folders()
    store_of(settings).prepare()
    return settings


def looked(settings: Settings) -> list[Check]:
    """What the doctor finds; whatever it finds, it leaves nothing behind."""
    settings.prepare_folders()
    store = store_of(settings)
    found = check_addresses(store, settings)
    assert list(store.keys()) == []
    assert list(settings.incoming_dir.iterdir()) == []
    return found


def test_files_of_a_service_that_runs(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, port=free_port(), min_free_mb=1)
    [idle] = looked(settings)
    assert (idle.ok, "not running" in idle.detail) == (True, True)
    with api(settings, settings.port):
        reading, sending = looked(settings)
    assert (reading.ok, sending.ok) == (True, True), (reading, sending)
    assert f"http://127.0.0.1:{settings.port}" in reading.detail


def test_a_bucket_behind_the_service(tmp_path: Path, rclone: tuple[str, Path]) -> None:
    settings = in_bucket(tmp_path, rclone[0])
    with api(settings, settings.port):
        found = looked(settings)
    assert [(check.name, check.ok) for check in found] == [("addresses", True), ("sending", True)], found


def test_a_published_port_that_is_another_inside_of_the_container(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, port=free_port(), min_free_mb=1, public_url=f"http://localhost:{free_port()}"
    )
    with api(settings, settings.port):
        found = looked(settings)
    assert all(check.ok for check in found), found
    assert "has to be published" in found[0].detail


def test_a_bucket_that_clients_are_sent_to(tmp_path: Path, moto: str) -> None:
    settings = in_bucket(tmp_path, moto.replace("127.0.0.1", "localhost"), s3_public_url=moto)
    found = looked(settings)
    assert [(check.name, check.ok) for check in found] == [("addresses", True), ("sending", True)], found
    assert moto in found[0].detail


def test_a_server_that_lets_other_sites_pages_send_nothing(tmp_path: Path, rclone: tuple[str, Path]) -> None:
    url = rclone[0]
    settings = in_bucket(tmp_path, url, s3_public_url=url, public_url="http://likeness.example")
    reading, sending = looked(settings)
    assert reading.ok
    assert not sending.ok
    assert "CORS" in sending.detail
    assert "http://likeness.example" in sending.detail


@pytest.mark.parametrize(
    ("public_url", "told"),
    [
        ("http://no-such-name.invalid", "no-such-name.invalid is not known here (DNS)"),
        ("http://127.0.0.1:1", "refused"),  # a port that nothing listens on
    ],
)
def test_an_address_that_leads_nowhere(tmp_path: Path, moto: str, public_url: str, told: str) -> None:
    settings = in_bucket(tmp_path, moto, s3_public_url=public_url)
    [check] = looked(settings)
    assert not check.ok
    assert told in check.detail


def test_a_service_that_is_not_known_by_its_public_name(tmp_path: Path) -> None:
    """The name leads to the service, which has not been told of it."""
    port = free_port()
    settings = Settings(
        data_dir=tmp_path,
        port=port,
        min_free_mb=1,
        public_url=f"http://127.0.0.1:{port}",
        allowed_hosts=("a",),
    )
    with api(settings, port):
        [check] = looked(settings)
    assert not check.ok
    assert "LIKENESS_ALLOWED_HOSTS" in check.detail


def test_a_server_that_refuses_the_signature(tmp_path: Path, moto: str) -> None:
    with overloaded_server(403, "SignatureDoesNotMatch") as (url, _):
        [check] = looked(in_bucket(tmp_path, moto, s3_public_url=url))
    assert not check.ok
    assert "403 SignatureDoesNotMatch: its proxy changes the host" in check.detail


@contextmanager
def stranger(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_somebody_else_who_listens_there(tmp_path: Path, moto: str) -> None:
    def welcome(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "7")
        handler.end_headers()
        handler.wfile.write(b"Welcome")

    with stranger(welcome) as url:
        [check] = looked(in_bucket(tmp_path, moto, s3_public_url=url))
    assert not check.ok
    assert "answers something else than the object" in check.detail


def test_videos_over_http_in_a_page_of_https(tmp_path: Path, moto: str) -> None:
    [check] = looked(in_bucket(tmp_path, moto, s3_public_url=moto, public_url="https://likeness.example"))
    assert not check.ok
    assert "https" in check.detail
