"""Downloads from S3 that go on where they were cut off, and are only believed when their sha256 is right.

Bytes go into ``.<name>.<beginning of the sha256>.part`` beside the destination, which a later fetch of the same
content continues with a range request, after a kill too; the whole is hashed before it takes the destination's
place. When a continued file turns out wrong (a power cut may leave a hole in it), it is fetched once more from its
beginning before the object counts as damaged.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from likeness.objects import damaged
from likeness.s3_client import code_of, is_transient

_BLOCK = 2**20


def download(client: Any, place: Mapping[str, str], key: str, destination: Path, sha256: str) -> None:
    """Fetch an object; may raise boto3's errors.

    Args:
        place: bucket and name of the object, as parameters of a request.
        key: what to call it in a problem.

    Raises:
        InternalProblem: its bytes are not those of ``sha256``.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".{destination.name}.{sha256[:16]}.part")
    with _alone(part) as part:
        went_on = part.stat().st_size > 0
        found = _Growing(part).fill(client, place)
        if found != sha256 and went_on:
            os.truncate(part, 0)
            found = _Growing(part).fill(client, place)
        if found != sha256:
            part.unlink()
            raise damaged(key, sha256, found)
        os.replace(part, destination)


@contextmanager
def _alone(part: Path) -> Iterator[Path]:
    """The file to fill, empty or begun, that nobody else fills meanwhile: ``part``, or one of a fresh name while
    another thread or process is at it. Two that append to one file would each hash only what they wrote themselves.
    """
    with open(part, "ab") as stream:
        if _lock(stream, part):
            try:
                yield part
            finally:
                if _is_at(stream, part) and not part.stat().st_size:
                    part.unlink()  # nothing to go on with: there is no such object, or no server
            return
    own = part.with_name(f"{part.name.removesuffix('.part')}.{secrets.token_hex(8)}.part")
    own.touch()
    try:
        yield own
    finally:
        own.unlink(missing_ok=True)  # nobody would find it again


def _lock(stream: IO[bytes], path: Path) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Who had it until now may have moved the file to its destination before we got the lock.
    return _is_at(stream, path)


def _is_at(stream: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


class _Growing:
    """A file that grows by requests for what it lacks, hashed as it grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._digest, self._size = path, hashlib.sha256(), 0

    def fill(self, client: Any, place: Mapping[str, str]) -> str:
        """Append until the file is whole; returns the sha256 of all of it.

        An answer that breaks off is continued as long as each try gets further; boto3 itself repeats only
        requests that get no answer.
        """
        with open(self._path, "a+b") as stream:
            stream.seek(0)
            while block := stream.read(_BLOCK):
                self._take(block)
            while True:
                have = self._size
                try:
                    self._append(client, place, stream)
                    break
                except (ClientError, BotoCoreError) as error:
                    if not is_transient(error) or self._size <= have:
                        raise
            stream.flush()
            os.fsync(stream.fileno())
        return self._digest.hexdigest()

    def _append(self, client: Any, place: Mapping[str, str], stream: BinaryIO) -> None:
        have = self._size
        try:
            answer = client.get_object(**place, **({"Range": f"bytes={have}-"} if have else {}))
        except ClientError as error:
            if have and code_of(error) in ("InvalidRange", "416"):
                return  # all of it is there already
            raise
        if have and not str(answer.get("ContentRange", "")).startswith(f"bytes {have}-"):
            stream.truncate(0)  # this server knows no ranges and sends everything
            self._digest, self._size = hashlib.sha256(), 0
        for block in answer["Body"].iter_chunks(_BLOCK):
            stream.write(block)
            self._take(block)

    def _take(self, block: bytes) -> None:
        self._digest.update(block)
        self._size += len(block)
