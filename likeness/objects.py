"""What every object store agrees on: what a key is, what is said about an object, and what is wrong with one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from problems import Conflict, InternalProblem, InvalidParameter, NotFound

MOST_PARTS = 10_000
"""Parts of one multipart upload at most: S3's own limit."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_BLOCK = 2**20


@dataclass(frozen=True)
class StoredObject:
    """What a store says about an object it has taken."""

    key: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class ObjectFacts:
    """What a reader has to know before the bytes of an object."""

    size: int
    """Bytes."""
    etag: str
    """The store's word for these bytes, in quotes as the header of that name has it: other bytes, another word."""
    modified: datetime
    """When the object was stored; with its time zone."""


@dataclass(frozen=True)
class Part:
    """A part of a multipart upload that has arrived."""

    number: int
    """From 1 to 10 000; parts are put together by rising number, and there may be gaps."""
    size: int
    """Bytes. S3 wants at least 5 MiB of every part but the last."""
    tag: str
    """What the store calls these bytes, as the ETag header of the answer to their PUT says it."""


def checked_key(key: str) -> str:
    """The key, if it is a relative path of plain segments.

    Raises:
        InvalidParameter: it is not.
    """
    if not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise InvalidParameter(
            f"{key!r} is not a key of the object store",
            remedy="use plain segments of letters, digits, dot, dash and underscore",
            details={"field": "key"},
        )
    return key


def checked_part(number: int) -> int:
    """The number of a part, if it may be one.

    Raises:
        InvalidParameter: not from 1 to 10 000.
    """
    if not 1 <= number <= MOST_PARTS:
        raise InvalidParameter(
            f"{number} is not the number of a part",
            remedy=f"number parts from 1 to {MOST_PARTS}",
            details={"field": "part"},
        )
    return number


def checked_order(parts: Sequence[Part]) -> Sequence[Part]:
    """The parts, if they can be put together.

    Raises:
        InvalidParameter: none, or not by rising number.
    """
    numbers = [part.number for part in parts]
    if not numbers or numbers != sorted(set(numbers)):
        raise InvalidParameter(
            "the parts to put together are none, or not in order",
            remedy="name every part once, by rising number",
            details={"field": "parts"},
        )
    return parts


def no_upload(key: str) -> NotFound:
    """The problem of a multipart upload that is not there."""
    return NotFound(
        f"there is no such unfinished upload of {key}",
        remedy="begin a new upload; this one was finished, aborted or swept up",
        details={"key": key},
    )


def replaced(key: str) -> Conflict:
    """The problem of an object that was stored anew while somebody read it."""
    return Conflict(
        f"the object {key} was stored anew while it was read",
        remedy="read it from its beginning",
        details={"key": key},
    )


def missing(key: str) -> NotFound:
    """The problem of an object that is not there."""
    return NotFound(
        f"the object {key} is not in the store",
        remedy="restore the objects from a backup, or make the resource again",
        details={"key": key},
    )


def damaged(key: str, expected: str, found: str) -> InternalProblem:
    """The problem of an object whose bytes have another sha256 than it was stored with."""
    return InternalProblem(
        f"the stored object {key} is damaged: its sha256 is not the one it was stored with",
        remedy="restore the objects from a backup, or run the stage that made it again",
        details={"key": key, "expected": expected, "found": found},
    )


def file_digest(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a file, read in flat memory."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()
