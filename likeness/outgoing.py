"""One HTTP request to somebody else's server, at the IP address that was checked, within one deadline.

``http.client`` speaks HTTP and ``ssl`` checks the certificate; this module holds what neither does. The name is looked
up once, every address it stands for must be allowed (:mod:`likeness.public_addresses`), and the socket is connected to
one of exactly those: a name server that answers differently the second time is not asked a second time. No proxy is
asked either, since it would look the name up by itself. And the deadline holds for everything together, so a server
that sends a byte every few seconds keeps nobody.
"""

from __future__ import annotations

import functools
import http.client
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from likeness import VERSION
from likeness.public_addresses import WebAddress, require_public, require_public_name

_PAUSE_S = 15.0
"""Longest that a server may send nothing."""
_CONNECT_S = 5.0
"""For one of a host's addresses, before the next one is tried."""


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError: none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline is over")
        return left


class TooSlow(TimeoutError):
    """The other side keeps the line alive with a few bytes now and then."""


class Pace:
    """How fast an answer has to come at least. Only waiting for it counts: whoever reads it may take their time.

    Args:
        least: bytes a second, on average over every ``window_s``.
    """

    def __init__(self, least: float, window_s: float) -> None:
        self._least, self._window_s = least, window_s
        self._waited, self._came = 0.0, 0

    def note(self, waited_s: float, count: int) -> None:
        """So many bytes came after so long a wait.

        Raises:
            TooSlow: too few, too often.
        """
        self._waited += waited_s
        self._came += count
        if self._waited >= self._window_s:
            if self._came < self._least * self._waited:
                raise TooSlow(f"fewer than {self._least:g} bytes a second")
            self._waited, self._came = 0.0, 0


def look_up(host: str, port: int) -> Sequence[str]:
    """The IP addresses of a name, as the system has them."""
    return [str(place[0]) for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def connect(address: str, port: int, timeout_s: float) -> socket.socket:
    """Connect to an IP address; a name is never looked up here."""
    line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        line.settimeout(timeout_s)
        line.connect((address, port))
    except BaseException:
        line.close()
        raise
    return line


@functools.cache
def trust() -> ssl.SSLContext:
    """The system's certificate authorities; reading them takes a while, so they are read once."""
    return ssl.create_default_context()


@dataclass(frozen=True)
class Network:
    """The ways out of this process, so that a test can stand in for the internet."""

    look_up: Callable[[str, int], Sequence[str]] = look_up
    connect: Callable[[str, int, float], socket.socket] = connect
    trust: Callable[[], ssl.SSLContext] = trust


INTERNET = Network()


@contextmanager
def exchange(
    address: WebAddress,
    *,
    deadline: Deadline,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    allow_private: bool = False,
    network: Network = INTERNET,
    pace: Pace | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Send one request and give its answer, whose body may be read until the block ends. Redirects are not followed.

    Args:
        pace: what the answer has to keep to, headers and all.

    Raises:
        FetchRefused: the host is not one that may be called.
        OSError, http.client.HTTPException: no name, no connection, no trust, no whole answer, or too late
            (TimeoutError).
    """
    with _connected(address, deadline, allow_private, network) as line:
        connection = http.client.HTTPConnection(address.host, address.port)
        connection.sock = _Line(line, deadline, pace)
        connection.request(
            method,
            address.target,
            body,
            {
                "Host": address.authority,
                "User-Agent": f"Likeness/{VERSION}",
                "Connection": "close",
                **(headers or {}),
            },
        )
        yield connection.getresponse()


def _connected(
    address: WebAddress, deadline: Deadline, allow_private: bool, network: Network
) -> socket.socket:
    """A socket to one of the host's addresses, after all of them were checked; encrypted for https."""
    require_public_name(address, allow_private=allow_private)
    places = (
        [address.host] if address.is_ip else _in_time(network.look_up, address.host, address.port, deadline)
    )
    require_public(address, places, allow_private=allow_private)
    line = _first_that_answers(places, address.port, deadline, network)
    if address.scheme == "http":
        return line
    try:
        line.settimeout(min(_PAUSE_S, deadline.left()))
        return network.trust().wrap_socket(line, server_hostname=address.host)
    except BaseException:
        line.close()
        raise


def _first_that_answers(
    places: Sequence[str], port: int, deadline: Deadline, network: Network
) -> socket.socket:
    fault: OSError = OSError("the name stands for no address")
    for place in dict.fromkeys(places):
        try:
            return network.connect(place, port, min(_CONNECT_S, deadline.left()))
        except OSError as error:
            fault = error
    raise fault


def _in_time(
    look_up: Callable[[str, int], Sequence[str]], host: str, port: int, deadline: Deadline
) -> Sequence[str]:
    """Look a name up, on a thread: the system's resolver knows no deadline and can't be stopped."""
    answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(look_up(host, port))
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError("the name was not found in time") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


class _Line:
    """The part of a socket that ``http.client`` uses; each call gets no longer than the deadline leaves it."""

    def __init__(self, line: socket.socket, deadline: Deadline, pace: Pace | None) -> None:
        self._line, self._deadline, self._pace = line, deadline, pace

    def sendall(self, data: Any) -> None:
        self._line.settimeout(min(_PAUSE_S, self._deadline.left()))
        self._line.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._line, self._deadline, self._pace), 2**16)

    def close(self) -> None:
        """Nothing: ``http.client`` closes before the body is read, and whoever connected closes in the end."""


class _Incoming(io.RawIOBase):
    """What comes in, as a file."""

    def __init__(self, line: socket.socket, deadline: Deadline, pace: Pace | None) -> None:
        self._line, self._deadline, self._pace = line, deadline, pace

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._line.settimeout(min(_PAUSE_S, self._deadline.left()))
        began = time.monotonic()
        count = self._line.recv_into(buffer)
        if count and self._pace is not None:
            self._pace.note(time.monotonic() - began, count)
        return count
