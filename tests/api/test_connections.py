"""Connections that are opened and left: real sockets against the real server."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from api.connections import TimedProtocol
from likeness.settings import Settings
from likeness.store import LocalStore
from tests.served import served


@pytest.fixture
def place(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Host and port of a service that is quick to lose patience."""
    for name in ("HEAD_S", "LINGER_S", "WRITE_S"):
        monkeypatch.setattr(TimedProtocol, name, 0.3)
    with served(settings, works=False) as service:
        parts = urlsplit(service.url)
        assert parts.hostname is not None
        assert parts.port is not None
        yield parts.hostname, parts.port


@contextmanager
def line(place: tuple[str, int]) -> Iterator[socket.socket]:
    # The timeout is the test's failure: the server must hang up before.
    with socket.create_connection(place, timeout=20) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    found = bytearray()
    try:
        while block := connection.recv(65536):
            found += block
    except ConnectionResetError:
        pass
    return bytes(found)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"\r\n\r\n", b"HTTP/1.1 408"),
        (b"GET /hea", b"HTTP/1.1 408"),
        (b"GET /healthz HTTP/1.1\r\nHost: local", b"HTTP/1.1 408"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"HTTP/1.1 408"),
    ],
)
def test_half_a_head_and_then_nothing(place: tuple[str, int], sent: bytes, answer: bytes) -> None:
    with line(place) as connection:
        connection.sendall(sent)
        assert until_closed(connection)[: len(answer) or None] == answer


WHOLE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("then", [b"GET", b"\r\n", b"GET /healthz HTTP/1.1\r\nHost:"])
def test_half_a_second_request(place: tuple[str, int], then: bytes) -> None:
    with line(place) as connection:
        connection.sendall(WHOLE)
        first = connection.recv(65536)
        connection.sendall(then)
        answers = first + until_closed(connection)
    assert answers.startswith(b"HTTP/1.1 200")
    assert answers.count(b"HTTP/1.1 408") == 1


def test_half_a_body_that_nobody_reads(place: tuple[str, int]) -> None:
    """Of a request that is refused by its head: the answer comes at once, and the line is not kept."""
    with line(place) as connection:
        connection.sendall(
            b"POST /v1/persons HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\n{"
        )
        assert until_closed(connection).startswith(b"HTTP/1.1 400")


def test_a_body_without_end_after_an_answer(place: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedProtocol, "LINGER_S", 60.0)
    monkeypatch.setattr(TimedProtocol, "LINGER_BYTES", 2**20)
    head = b"POST /v1/persons HTTP/1.1\r\nHost: evil.example\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = 0
    with line(place) as connection:
        connection.sendall(head)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while sent < 2**30:
                connection.sendall(b"10000\r\n" + bytes(2**16) + b"\r\n")
                sent += 2**16
    # More than the limit by what the two ends of the line hold.
    assert sent < 2**26


def test_a_head_without_end(place: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedProtocol, "HEAD_S", 60.0)
    sent = 0
    with line(place) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while sent < 2**30:
                connection.sendall(b"x" * 2**16)
                sent += 2**16
    assert sent < 2**26


def test_who_takes_nothing_of_an_answer(
    settings: Settings, store: LocalStore, place: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 64 MiB is more than the two ends of a line hold."""
    source = settings.data_dir / "large"
    with open(source, "wb") as stream:
        stream.truncate(2**26)
    store.put_file("uploads/large", source)
    address = store.signed_get("uploads/large", expires_s=60)
    given_up = threading.Event()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "took nothing" in record.getMessage():
                given_up.set()

    log = logging.getLogger("likeness.access")
    monkeypatch.setattr(log, "handlers", [Told()])
    monkeypatch.setattr(log, "isEnabledFor", lambda _level: True)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(place)
        connection.sendall(f"GET {address} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert given_up.wait(20)
        assert len(until_closed(connection)) < 2**26


def test_nothing_else_is_spoken_here(place: tuple[str, int]) -> None:
    """A browser's or curl's wish to go on in another protocol is passed over."""
    for wish in (b"websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4", b"h2c"):
        with line(place) as connection:
            connection.sendall(WHOLE[:-2] + b"Connection: Upgrade, close\r\nUpgrade: " + wish + b"\r\n\r\n")
            assert until_closed(connection).startswith(b"HTTP/1.1 200")
    with line(place) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert until_closed(connection).startswith(b"HTTP/1.1 400")


def test_answers_one_after_another_go_on(place: tuple[str, int]) -> None:
    """Patience begins anew with each request, and a line that is used is kept."""
    with line(place) as connection:
        for _ in range(5):
            connection.sendall(WHOLE)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(WHOLE * 3)
        found = bytearray()
        while found.count(b"HTTP/1.1 200") < 3:
            found += connection.recv(65536)
