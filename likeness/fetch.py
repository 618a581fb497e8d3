"""Fetching a file from an address that a client names, without becoming that client's way into the network.

Each hop is one :func:`likeness.outgoing.exchange`, so a redirect is checked like a first address. Ports are 80, 443 and
those from 1024 up: below are mail, shells and name servers, which one request in the right words could make do
something; above are the object stores and file servers that people run themselves. Plain http is taken, since many file
servers have nothing else, but a redirect from https to it is not.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import unquote, urljoin

from likeness.intake import display_name
from likeness.outgoing import INTERNET, Deadline, Network, Pace, TooSlow, exchange
from likeness.public_addresses import WebAddress, web_address
from likeness.refusals import FetchFailed, FetchRefused, NothingToFetch
from likeness.settings import MEBIBYTE
from problems import MediaTooLarge

_PAGES = ("text/html", "application/xhtml+xml")
_REDIRECTS = (301, 302, 303, 307, 308)
_ASK_AGAIN = (408, 425, 429)
"""Statuses below 500 after which another try may go better."""
_BLOCK = 2**18
_LEAST_RATE = 16 * 1024.0
_RATE_WINDOW_S = 15.0
"""A server that sends fewer bytes a second over so long holds a thread for nothing."""


@dataclass(frozen=True)
class Fetched:
    """What came in."""

    final_url: str
    """Where the redirects led. May hold a signature, so it is not for showing."""
    media_type: str
    """As the server names it, without parameters."""
    filename: str
    """A name for showing: the server's, or the address's last part."""
    size: int
    """Bytes that the sink was given."""


def fetch(
    url: str,
    sink: Callable[[bytes], object],
    *,
    limit_bytes: int,
    deadline_s: float,
    allow_private: bool = False,
    max_redirects: int = 5,
    network: Network = INTERNET,
    pace: Pace | None = None,
) -> Fetched:
    """Hand the bytes behind an address to ``sink``, block by block; what ``sink`` raises is passed on.

    Blocks its thread for up to ``deadline_s``, redirects and all. On any error the sink has got a part of the file
    at most, which the caller throws away.

    Args:
        allow_private: networks of one's own may be fetched from, which the person who runs the service decides.
        network: the ways out.
        pace: how fast the answers have to come at least; by default 16 KiB/s over every 15 s.

    Raises:
        FetchRefused: the address, or one it redirects to, is not one to fetch from.
        NothingToFetch: there is no file at it: a web page, 404 and the like, redirects without end.
        FetchFailed: the network or the server; may go better another time.
        MediaTooLarge: more than ``limit_bytes``, announced or sent.
    """
    deadline, pace = Deadline(deadline_s), pace or Pace(_LEAST_RATE, _RATE_WINDOW_S)
    address = _allowed(url)
    for _hop in range(max_redirects + 1):
        with ExitStack() as hop:
            try:
                answer = hop.enter_context(
                    exchange(
                        address,
                        deadline=deadline,
                        allow_private=allow_private,
                        network=network,
                        pace=pace,
                    )
                )
            except (OSError, http.client.HTTPException) as error:
                raise _failed(address, _reason(error)) from error
            if answer.status not in _REDIRECTS:
                return _take(address, answer, sink, limit_bytes)
            address = _next_hop(address, _text(answer.headers.get("Location", "")))
    raise NothingToFetch(
        f"the address redirects more than {max_redirects} times",
        remedy="use the address at which the file really lies",
        details={"host": address.host},
    )


def _allowed(url: str) -> WebAddress:
    address = web_address(url)
    if address.port not in (80, 443) and address.port < 1024:
        raise FetchRefused(
            f"port {address.port} is not one that files are fetched from",
            remedy="serve the file on port 443, 80 or one from 1024 up",
            details={"port": address.port},
        )
    return address


def _next_hop(address: WebAddress, location: str) -> WebAddress:
    if not location:
        raise _failed(address, "it redirects to nowhere")
    try:
        target = urljoin(address.url, location)
    except ValueError as error:
        raise _failed(address, "it redirects to what is no address") from error
    further = _allowed(target)
    if (address.scheme, further.scheme) == ("https", "http"):
        raise FetchRefused(
            "the address redirects from https to http, where anybody on the way could change the file",
            remedy="use the https address at which the file really lies",
            details={"host": further.host},
        )
    return further


def _take(
    address: WebAddress,
    answer: http.client.HTTPResponse,
    sink: Callable[[bytes], object],
    limit_bytes: int,
) -> Fetched:
    media_type = answer.headers.get_content_type() if "Content-Type" in answer.headers else ""
    _require_file(address, answer, media_type)
    announced = _announced(address, answer)
    if announced is not None and announced > limit_bytes:
        raise _too_large(address, limit_bytes)
    size = 0
    buffer = bytearray(_BLOCK)
    while count := _read(address, answer, buffer):
        size += count
        if size > limit_bytes:
            raise _too_large(address, limit_bytes)
        sink(bytes(memoryview(buffer)[:count]))
    if announced is not None and size < announced:
        raise _failed(address, f"the file ended after {size} of {announced} bytes")
    if size == 0 and announced is None:  # to http.client, headers that are cut off are whole
        raise _failed(address, "the answer ended before the file")
    name = _name(answer) or unquote(address.target.partition("?")[0])
    return Fetched(address.url, media_type[:255] or "application/octet-stream", display_name(name), size)


def _require_file(address: WebAddress, answer: http.client.HTTPResponse, media_type: str) -> None:
    """Refuse answers that are no file. Their bodies are nobody's business: nothing of them is repeated."""
    facts = {"host": address.host, "status": answer.status}
    if answer.status in _ASK_AGAIN or answer.status >= 500:
        raise _failed(address, f"it answered {answer.status}")
    if answer.status != 200:
        raise NothingToFetch(
            f"{address.host} answered {answer.status} where a file was expected",
            remedy="check that the address works in a private browser window: the service has no account there",
            details=facts,
        )
    if media_type in _PAGES:
        raise NothingToFetch(
            f"what {address.host} sent is a web page, not a file",
            remedy="use the file's direct address: the one that a browser downloads from instead of showing a page",
            details={**facts, "media_type": media_type},
        )
    if answer.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
        raise NothingToFetch(
            f"{address.host} sent the file compressed, although it was asked not to",
            remedy="serve the file without Content-Encoding, or send it itself",
            details=facts,
        )


def _announced(address: WebAddress, answer: http.client.HTTPResponse) -> int | None:
    """Bytes that the body should have; None when the answer does not say, or says it chunk by chunk."""
    lengths = {each.strip() for each in answer.headers.get_all("Content-Length", [])}
    if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", each) for each in lengths):
        raise _failed(address, "its Content-Length can't be read")
    return None if answer.chunked or not lengths else int(lengths.pop())


def _read(address: WebAddress, answer: http.client.HTTPResponse, buffer: bytearray) -> int:
    try:
        # Not read(): told of a chunk of -1 bytes, it would take all that ever comes into memory.
        return answer.readinto(buffer)
    except (OSError, http.client.HTTPException) as error:
        raise _failed(address, _reason(error)) from error


def _name(answer: http.client.HTTPResponse) -> str:
    """The file name that the answer gives; empty when there is none that can be read."""
    try:
        return _text(answer.headers.get_filename() or "")
    except (ValueError, TypeError, LookupError):  # the standard library's parser on a header made to break it
        return ""


def _text(header: str) -> str:
    """A header's text: read as Latin-1, where servers really write UTF-8."""
    try:
        return header.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return header


def _reason(error: Exception) -> str:
    """In our own words: an exception's may hold an IP address, or what the server sent."""
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (TooSlow, "it sends too slowly"),
        (TimeoutError, "it took too long"),
        (socket.gaierror, "there is no server of this name"),
        (ssl.SSLCertVerificationError, "its certificate is not valid for it"),
        (ssl.SSLError, "no encrypted connection could be made"),
        (ConnectionRefusedError, "it refused the connection"),
        (http.client.IncompleteRead, "the file ended in its middle"),
        (http.client.HTTPException, "its answer is not HTTP"),
    )
    return next((reason for kind, reason in reasons if isinstance(error, kind)), "it can't be reached")


def _failed(address: WebAddress, reason: str) -> FetchFailed:
    return FetchFailed(
        f"nothing could be fetched from {address.host}: {reason}",
        remedy="check the address and try again in a while, or send the file itself",
        details={"host": address.host},
    )


def _too_large(address: WebAddress, limit_bytes: int) -> MediaTooLarge:
    return MediaTooLarge(
        f"the file at {address.host} is larger than {limit_bytes / MEBIBYTE:g} MiB",
        remedy="use a shorter or more compressed file",
        details={"limit_bytes": limit_bytes},
    )
