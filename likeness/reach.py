"""Whether a browser gets what it is handed addresses of: `likeness doctor` asks as one would.

A deployment whose parts all work may still hand out addresses that lead nowhere for its users: signed for a name that
only containers know, behind a proxy that lets no ``PUT`` through, or on a server that allows pages of other sites
nothing.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from likeness.health import Check
from likeness.settings import Settings
from likeness.store import ObjectStore
from problems import Problem

_TIMEOUT_S = 10.0
_EXPIRES_S = 300.0
_OCTETS = "application/octet-stream"
_NOT_TRIED = "not tried"


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class _Unreached(Exception):
    """Nobody answered; the message says why."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


def check_addresses(store: ObjectStore, settings: Settings) -> list[Check]:
    """Read a probe and send a part, each at the address that a browser would be handed; both are removed again.

    Args:
        store: one that works (:func:`likeness.health.check_store`).
    """
    page = settings.public_url or f"http://127.0.0.1:{settings.port}"
    key = f"probes/{secrets.token_hex(8)}"
    content = secrets.token_bytes(64)
    try:
        with tempfile.TemporaryDirectory(dir=settings.incoming_dir, prefix=".probe-") as folder:
            (Path(folder) / "sent").write_bytes(content)
            store.put_file(key, Path(folder) / "sent")
        upload = store.begin_parts(f"{key}-part")
        try:
            reading = _reads(store, key, content, page, settings)
            if not reading.ok or reading.detail.startswith(_NOT_TRIED):
                return [reading]
            return [reading, _sends(store, f"{key}-part", upload, page, settings)]
        finally:
            store.abort_parts(f"{key}-part", upload)
            store.delete_prefix(key)
    except (Problem, OSError) as error:
        return [Check("addresses", False, f"can't be tried ({type(error).__name__}: {error})")]


def _reads(store: ObjectStore, key: str, content: bytes, page: str, settings: Settings) -> Check:
    address = urljoin(f"{page}/", store.signed_get(key, expires_s=_EXPIRES_S, media_type="video/mp4"))
    place = _origin(address)
    if page.startswith("https://") and address.startswith("http://"):
        return Check(
            "addresses",
            False,
            f"pages are at {page}, but videos at {place}: browsers load nothing over http into a page of https; "
            "give LIKENESS_S3_PUBLIC_URL an address with https",
        )
    try:
        answer, inside = _ask_as_browser("GET", address, {"Range": "bytes=0-"}, b"", settings)
    except _Unreached as error:
        return _unreached(error, place, settings)
    if answer.status not in (200, 206):
        return Check("addresses", False, f"{place} answers {_said(answer)}{_hint(answer)}")
    if answer.body != content:
        return Check(
            "addresses", False, f"{place} answers something else than the object: {_where(settings)}"
        )
    return Check("addresses", True, f"a browser reads objects at {place}{inside}")


def _sends(store: ObjectStore, key: str, upload: str, page: str, settings: Settings) -> Check:
    address = urljoin(f"{page}/", store.signed_part(key, upload, 1, expires_s=_EXPIRES_S))
    place, origin = _origin(address), _origin(page)
    headers = {"Content-Type": _OCTETS, "Origin": origin}
    allow = f"allow PUT from {origin} in the CORS rules of the bucket"
    try:
        if place != origin:
            asks = {
                "Origin": origin,
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": "content-type",
            }
            allowed, _ = _ask_as_browser("OPTIONS", address, asks, b"", settings)
            methods = allowed.headers.get("access-control-allow-methods", "").upper()
            if allowed.status >= 300 or not _allows(allowed, origin) or not re.search(r"PUT|\*", methods):
                return Check(
                    "sending",
                    False,
                    f"{place} lets pages of {origin} send nothing (CORS: {_said(allowed)}); {allow}",
                )
        answer, inside = _ask_as_browser("PUT", address, headers, b"a part", settings)
    except _Unreached as error:
        return Check("sending", False, f"{place} takes no parts: {error}")
    if answer.status != 200:
        return Check("sending", False, f"{place} answers a part with {_said(answer)}{_hint(answer)}")
    if place != origin and not _allows(answer, origin):
        return Check("sending", False, f"{place} hides its answer from pages of {origin} (CORS); {allow}")
    if [(part.number, part.size) for part in store.parts(key, upload)] != [(1, 6)]:
        return Check("sending", False, f"{place} took a part that is not in the store: {_where(settings)}")
    return Check("sending", True, f"a browser sends parts to {place}{inside}")


def _ask_as_browser(
    method: str, address: str, headers: Mapping[str, str], body: bytes, settings: Settings
) -> tuple[_Answer, str]:
    """The answer, and what to add to a check about how it was got."""
    parts = urlsplit(address)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = parts.hostname or ""
    try:
        return _ask(method, address, headers, body, host, port), ""
    except _Unreached as error:
        # In a container localhost is the container: the published port is another one there.
        own = parts.scheme == "http" and _origin(address) == _origin(settings.public_url)
        if not (error.refused and own and _is_loopback(host) and port != settings.port):
            raise
        answer = _ask(method, address, headers, body, "127.0.0.1", settings.port)
        return answer, f" (asked at port {settings.port} here; {port} has to be published as it)"


def _ask(method: str, address: str, headers: Mapping[str, str], body: bytes, host: str, port: int) -> _Answer:
    parts = urlsplit(address)
    secure = parts.scheme == "https"
    line = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
        host, port, timeout=_TIMEOUT_S
    )
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        line.request(method, target, body or None, {**headers, "Host": parts.netloc})
        answer = line.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return _Answer(answer.status, found, answer.read(2**16))
    except socket.gaierror:
        raise _Unreached(f"the name {host} is not known here (DNS)") from None
    except ConnectionRefusedError:
        raise _Unreached(f"nobody listens on port {port} of {host} (refused)", refused=True) from None
    except TimeoutError:
        raise _Unreached(f"{host}:{port} does not answer within {_TIMEOUT_S:g} s") from None
    except ssl.SSLError as error:
        raise _Unreached(f"the certificate of {host} is not good here ({error.reason})") from None
    except (OSError, http.client.HTTPException) as error:
        raise _Unreached(f"{host}:{port} does not answer ({type(error).__name__}: {error})") from None
    finally:
        line.close()


def _unreached(error: _Unreached, place: str, settings: Settings) -> Check:
    if error.refused and not settings.public_url and place == f"http://127.0.0.1:{settings.port}":
        return Check("addresses", True, f"{_NOT_TRIED}: the service is not running on port {settings.port}")
    if _is_loopback(urlsplit(place).hostname or "") and _in_container():
        return Check(
            "addresses",
            False,
            f"{place} can't be asked from here: {error}; in a container that name is the container itself, so run the "
            "doctor on the host, or use a name that both know",
            warning=True,
        )
    return Check("addresses", False, f"a browser gets no object at {place}: {error}; {_where(settings)}")


def _where(settings: Settings) -> str:
    return "check " + (
        "LIKENESS_PUBLIC_URL and the proxy there"
        if settings.store == "local" or not settings.s3_public_url
        else "LIKENESS_S3_PUBLIC_URL and LIKENESS_PUBLIC_URL"
    )


def _said(answer: _Answer) -> str:
    """Status, and the server's own word for what is wrong."""
    word = ""
    try:
        word = str(json.loads(answer.body)["code"])
    except (ValueError, KeyError, TypeError):
        if found := re.search(rb"<Code>(\w+)</Code>", answer.body):
            word = found[1].decode()
    return f"{answer.status} {word}".strip()


def _hint(answer: _Answer) -> str:
    said = _said(answer)
    if "unknown_host" in said:
        return ": add the name to LIKENESS_ALLOWED_HOSTS"
    if "SignatureDoesNotMatch" in said:
        return ": its proxy changes the host or the path, which are signed; hand both on as they come"
    if answer.status in (401, 403):
        return ": the signature is not enough there; let requests with one through"
    return ""


def _allows(answer: _Answer, origin: str) -> bool:
    return answer.headers.get("access-control-allow-origin", "") in ("*", origin)


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))
