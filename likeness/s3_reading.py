"""Objects in S3 read piece by piece, for clients that can't reach the server themselves.

Each piece is a request of its own, read whole: however slowly a client takes what it asked for, no connection to the
server stays open meanwhile, and no more than one piece is in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from likeness.objects import ObjectFacts, replaced
from likeness.s3_client import code_of, is_transient

_BLOCK = 2**16
_TRIES = 3
"""For an answer that breaks off; boto3 itself repeats only requests that get none."""


def describe(client: Any, place: Mapping[str, str]) -> ObjectFacts:
    """Size, tag and age of an object; may raise boto3's errors."""
    found = client.head_object(**place)
    return ObjectFacts(int(found["ContentLength"]), str(found["ETag"]), found["LastModified"].astimezone(UTC))


def read_piece(
    client: Any, place: Mapping[str, str], key: str, start: int, length: int, *, etag: str
) -> bytes:
    """Some bytes of an object; may raise boto3's errors.

    Args:
        place: bucket and name of the object, as parameters of a request.
        key: what to call it in a problem.
        etag: its tag, as :func:`describe` told it.

    Raises:
        Conflict: the object is another one by now.
    """
    for left in reversed(range(_TRIES)):
        try:
            answer = client.get_object(**place, Range=f"bytes={start}-{start + length - 1}", IfMatch=etag)
            if str(answer["ETag"]) != etag:  # a server that does not know the condition
                raise replaced(key)
            return _piece(answer, start, length)
        except ClientError as error:
            if code_of(error) in ("PreconditionFailed", "412"):
                raise replaced(key) from error
            raise
        except BotoCoreError as error:
            if not left or not is_transient(error):
                raise
    raise AssertionError("the last try returns or raises")


def _piece(answer: Mapping[str, Any], start: int, length: int) -> bytes:
    body = answer["Body"]
    try:
        if not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
            skip = start  # this server knows no ranges and sends everything
            while skip and (passed := body.read(min(skip, _BLOCK))):
                skip -= len(passed)
        found = bytearray()
        # To the end, where the library sees whether the answer is whole: a line that breaks only gives fewer bytes.
        while len(found) < length and (block := body.read(length - len(found))):
            found += block
        return bytes(found)
    finally:
        body.close()
