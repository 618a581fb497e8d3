"""Signed addresses of objects that the API itself hands out and takes, of the same shape as S3's presigned ones:
those of the local store, and those of an S3 server that clients can't reach.

``/v1/objects/<key>?expires=<unix seconds>&…&signature=<hex>``: whoever holds one may do that one thing with that
one object until it expires. The signature is HMAC-SHA256 over everything the address says and the method, under the
deployment's secret; nobody keeps a list of addresses, so they can't be taken back one by one (a new secret
takes all of them back).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from likeness.objects import checked_key, checked_part
from likeness.refusals import SignatureRefused
from problems import InvalidParameter

LONGEST_S = 7 * 24 * 3600
"""Seconds a signed address may be good for at most: S3's own limit."""

PATH = "/v1/objects/"
"""Where the API serves them."""


@dataclass(frozen=True)
class Grant:
    """What one signed address allows."""

    method: str
    """GET (which allows HEAD too) or PUT."""
    key: str
    expires: int
    """Unix time in seconds until which it may be used."""
    size: int | None = None
    """Exact number of bytes a PUT brings; None where it is open."""
    type: str | None = None
    """Media type: of the bytes a PUT brings, or what a GET answers with; None leaves it to the server."""
    upload: str | None = None
    """The multipart upload that a PUT brings a part of."""
    part: int | None = None
    """Number of that part, from 1."""
    filename: str | None = None
    """Name under which a browser saves what a GET answers with."""

    def address(self, base_url: str, secret: bytes) -> str:
        """The signed address; relative to the host when ``base_url`` is empty."""
        facts = {name: value for name, value in self._facts().items() if value is not None}
        query = urlencode({**facts, "signature": self._signature(secret)})
        return f"{base_url.rstrip('/')}{PATH}{self.key}?{query}"

    def _facts(self) -> dict[str, str | None]:
        """What the query says, in the order in which it is signed."""
        values = (self.expires, self.size, self.type, self.upload, self.part, self.filename)
        names = ("expires", "size", "type", "upload", "part", "filename")
        return {
            name: None if value is None else str(value) for name, value in zip(names, values, strict=True)
        }

    def _signature(self, secret: bytes) -> str:
        # JSON keeps the fields apart: no value can be shifted into the next one.
        said = json.dumps(["likeness-object-1", self.method, self.key, *self._facts().values()])
        return hmac.new(secret, said.encode(), hashlib.sha256).hexdigest()


class ApiAddresses:
    """Signs addresses that the API answers, and checks those that come back.

    Args:
        base_url: what they begin with, ``https://host``; empty makes them relative to the host, so that they are right
            under whatever name a client has reached the service.
        secret: asked at each signing for what to sign with.
    """

    def __init__(self, base_url: str, secret: Callable[[], bytes]) -> None:
        self._base_url, self._secret = base_url, secret

    def get(
        self, key: str, *, expires_s: float, filename: str | None = None, media_type: str | None = None
    ) -> str:
        """An address to read an object from."""
        return self._signed(
            Grant("GET", checked_key(key), expiry(expires_s), filename=filename, type=media_type)
        )

    def put(self, key: str, *, expires_s: float, size: int, media_type: str) -> str:
        """An address to send an object of so many bytes to."""
        return self._signed(Grant("PUT", checked_key(key), expiry(expires_s), size=size, type=media_type))

    def part(
        self, key: str, upload_id: str, number: int, *, expires_s: float, size: int | None = None
    ) -> str:
        """An address to send one part to, of ``size`` bytes where it says so."""
        grant = Grant(
            "PUT",
            checked_key(key),
            expiry(expires_s),
            size=size,
            upload=upload_id,
            part=checked_part(number),
        )
        return self._signed(grant)

    def check(self, method: str, key: str, query: Mapping[str, str]) -> Grant:
        """What a request to one of these addresses may do.

        Raises:
            SignatureRefused: the address was changed, is not ours, or is expired.
        """
        return check_signature(self._secret(), method, key, query)

    @property
    def origin(self) -> str:
        """Scheme and host that they begin with; empty while they are relative."""
        parts = urlsplit(self._base_url)
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""

    def _signed(self, grant: Grant) -> str:
        return grant.address(self._base_url, self._secret())


def object_secret(deployment_secret: bytes) -> bytes:
    """What addresses of objects are signed with: not the deployment's secret itself, which signs other things too, and
    a signature for one must be none for another."""
    return hashlib.sha256(b"objects\0" + deployment_secret).digest()


def check_signature(secret: bytes, method: str, key: str, query: Mapping[str, str]) -> Grant:
    """What a request for an object may do.

    Args:
        method: of the request: GET, HEAD or PUT.
        key: the object's key, as the path says it.
        query: the address's query.

    Raises:
        SignatureRefused: something in the address was changed, it is not ours, or it is expired.
    """
    try:
        grant = Grant(
            method="GET" if method == "HEAD" else method,
            key=key,
            expires=int(query["expires"]),
            size=_number(query.get("size")),
            type=query.get("type"),
            upload=query.get("upload"),
            part=_number(query.get("part")),
            filename=query.get("filename"),
        )
        given = query["signature"].encode()
    except (KeyError, ValueError):
        raise _refused("is not signed", "unsigned") from None
    if not hmac.compare_digest(grant._signature(secret).encode(), given):
        raise _refused("was changed, is for another method, or was signed by another service", "tampered")
    # After the signature: who can't sign learns nothing about times.
    if time.time() >= grant.expires:
        raise _refused("is expired", "expired")
    return grant


def expiry(expires_s: float) -> int:
    """The unix time ``expires_s`` seconds from now.

    Raises:
        InvalidParameter: not between 1 second and a week.
    """
    if not 1 <= expires_s <= LONGEST_S:
        raise InvalidParameter(
            f"a signed address can't be good for {expires_s} s",
            remedy=f"use 1 to {LONGEST_S} s",
            details={"field": "expires_s"},
        )
    return int(time.time() + expires_s)


def secret_of(path: Path, make: Callable[[], bytes] = lambda: secrets.token_bytes(32)) -> bytes:
    """The secret in a file that only its owner can read; made when it is missing, 32 random bytes by default."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(make())
            stream.flush()
            os.fsync(stream.fileno())
        # A link, not a replacement: when API and worker both make one, the first stays and both read it.
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_bytes()


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _refused(what: str, reason: str) -> SignatureRefused:
    return SignatureRefused(
        f"the signed address {what}", remedy="ask the service for a new one", details={"reason": reason}
    )
