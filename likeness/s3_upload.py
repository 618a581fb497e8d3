"""Uploads to S3 that go on where they were cut off, even by a SIGKILL.

A file of one part goes up in one request. A larger one goes up in parts, and beside the source lies a ledger,
``.<name>.upload.jsonl``: a first line that says what is uploaded where, then a line for every part that the server
took, with our own sha256 of it. A later call for the same object with the same bytes sends only what is missing: a
part is taken as there when the ledger knows it by the sha256 that the source has at that place now, and the server
still lists it under the same tag. Anything else in the ledger's place is another upload, and is aborted.

Every request carries the MD5 of its bytes, so a server that follows S3 refuses what was damaged on the way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from likeness.objects import MOST_PARTS
from likeness.refusals import StoreUnavailable
from likeness.s3_client import S3Options, code_of, is_transient
from problems import Conflict

_BLOCK = 2**20


@dataclass(frozen=True)
class Piece:
    """One part of a source."""

    number: int
    offset: int
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True)
class Plan:
    """What is to be uploaded, hashed as a whole and by piece; an empty file has one empty piece."""

    source: Path
    size: int
    sha256: str
    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, source: Path, part_size: int) -> Plan:
        """Read a file once, in flat memory."""
        size = source.stat().st_size
        part_size = max(part_size, -(-size // MOST_PARTS))
        pieces: list[Piece] = []
        whole, offset = hashlib.sha256(), 0
        with open(source, "rb") as stream:
            while True:
                digest, left = hashlib.sha256(), part_size
                while left and (block := stream.read(min(left, _BLOCK))):
                    digest.update(block)
                    whole.update(block)
                    left -= len(block)
                if left == part_size and pieces:
                    break
                pieces.append(Piece(len(pieces) + 1, offset, part_size - left, digest.hexdigest()))
                offset += part_size - left
                if left:
                    break
        return cls(source, offset, whole.hexdigest(), tuple(pieces))

    def read(self, piece: Piece) -> bytes:
        """The bytes of a piece.

        Raises:
            Conflict: they are no longer those that were hashed.
        """
        with open(self.source, "rb") as stream:
            stream.seek(piece.offset)
            content = stream.read(piece.size)
        if hashlib.sha256(content).hexdigest() != piece.sha256:
            raise Conflict(
                f"{self.source.name} was changed while it was stored",
                remedy="store it again when nobody writes to it any more",
                details={"file": self.source.name},
            )
        return content


class Ledger:
    """The file beside a source that says what of it has arrived; lines are only ever added, then it is removed."""

    def __init__(self, source: Path) -> None:
        self._path = source.with_name(f".{source.name}.upload.jsonl")
        self._lock = threading.Lock()

    def read(self) -> tuple[dict[str, Any], dict[int, tuple[str, str]]]:
        """The first line, and sha256 and tag by number of part; both empty when there is none that can be read."""
        heading: dict[str, Any] = {}
        parts: dict[int, tuple[str, str]] = {}
        try:
            for number, line in enumerate(self._path.read_text().splitlines()):
                entry = json.loads(line)
                if number == 0:
                    heading = dict(entry)
                else:
                    parts[int(entry["part"])] = str(entry["sha256"]), str(entry["tag"])
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError):
            pass  # a crash tore the last line: what stands before it holds
        return heading, parts

    def begin(self, heading: Mapping[str, Any], parts: Mapping[Piece, str]) -> None:
        """Write the first line and what has arrived, in place of whatever stood there."""
        temporary = self._path.with_suffix(".tmp")
        lines = [heading, *(_entry(piece, tag) for piece, tag in parts.items())]
        self._write(temporary, "w", lines)
        os.replace(temporary, self._path)

    def add(self, piece: Piece, tag: str) -> None:
        with self._lock:
            self._write(self._path, "a", [_entry(piece, tag)])

    def end(self) -> None:
        self._path.unlink(missing_ok=True)

    @staticmethod
    def _write(path: Path, mode: str, entries: Sequence[Mapping[str, Any]]) -> None:
        with open(path, mode) as stream:
            stream.writelines(json.dumps(entry) + "\n" for entry in entries)
            stream.flush()
            os.fsync(stream.fileno())


def _entry(piece: Piece, tag: str) -> dict[str, Any]:
    return {"part": piece.number, "sha256": piece.sha256, "tag": tag}


class Upload:
    """One source on its way to one object; :meth:`run` may raise boto3's errors."""

    def __init__(self, client: Any, options: S3Options, name: str, source: Path) -> None:
        self._client, self._options = client, options
        self._object = {"Bucket": options.bucket, "Key": name}
        self._plan = Plan.of(source, options.part_size)
        self._ledger = Ledger(source)

    def run(self) -> Plan:
        """Send what is missing.

        Raises:
            Conflict: the source was changed meanwhile.
            StoreUnavailable: the server forgot the upload; the next try begins anew.
        """
        pieces = self._plan.pieces
        if len(pieces) == 1:
            body = self._plan.read(pieces[0])
            self._client.put_object(
                **self._object, **self._facts(), Body=body, ContentMD5=_md5(body), ContentLength=len(body)
            )
            return self._plan
        upload_id, tags = self._go_on() or self._begin()
        try:
            self._send(upload_id, tags)
            self._complete(upload_id, tags)
        except (ClientError, BotoCoreError) as error:
            if not is_transient(error):
                self._abort(self._object["Key"], upload_id)
            raise
        except Conflict:
            self._abort(self._object["Key"], upload_id)
            raise
        self._ledger.end()
        return self._plan

    def _facts(self) -> dict[str, Any]:
        return {"Metadata": {"sha256": self._plan.sha256}, **self._options.encryption()}

    def _heading(self) -> dict[str, Any]:
        return {
            "endpoint": self._client.meta.endpoint_url,
            "bucket": self._options.bucket,
            "name": self._object["Key"],
            "size": self._plan.size,
            "sha256": self._plan.sha256,
            "part_size": self._plan.pieces[0].size,
        }

    def _begin(self) -> tuple[str, dict[int, str]]:
        upload_id = str(self._client.create_multipart_upload(**self._object, **self._facts())["UploadId"])
        self._ledger.begin({**self._heading(), "upload_id": upload_id}, {})
        return upload_id, {}

    def _go_on(self) -> tuple[str, dict[int, str]] | None:
        """The unfinished upload of these bytes and the tags of its parts, or None when there is none."""
        heading, noted = self._ledger.read()
        upload_id = heading.pop("upload_id", None)
        if upload_id is None:
            return None
        wanted = self._heading()
        if heading != wanted:
            if all(heading.get(name) == wanted[name] for name in ("endpoint", "bucket")):
                self._abort(str(heading.get("name")), upload_id)
            return None
        listed = list_parts(self._client, self._object, upload_id)
        if listed is None:
            return None
        there = {(part["PartNumber"], part["Size"], part["ETag"]) for part in listed}
        kept = {}
        for piece in self._plan.pieces:
            sha256, tag = noted.get(piece.number, ("", ""))
            if sha256 == piece.sha256 and (piece.number, piece.size, tag) in there:
                kept[piece] = tag
        self._ledger.begin({**wanted, "upload_id": upload_id}, kept)  # without a line that a crash tore
        return upload_id, {piece.number: tag for piece, tag in kept.items()}

    def _send(self, upload_id: str, tags: dict[int, str]) -> None:
        def send(piece: Piece) -> None:
            body = self._plan.read(piece)
            answer = self._client.upload_part(
                **self._object,
                UploadId=upload_id,
                PartNumber=piece.number,
                Body=body,
                ContentMD5=_md5(body),
                ContentLength=len(body),
            )
            tags[piece.number] = str(answer["ETag"])
            self._ledger.add(piece, tags[piece.number])

        with ThreadPoolExecutor(self._options.parallel, thread_name_prefix="upload") as pool:
            futures = [pool.submit(send, piece) for piece in self._plan.pieces if piece.number not in tags]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)  # those under way end, and are noted when they succeed

    def _complete(self, upload_id: str, tags: Mapping[int, str]) -> None:
        parts = [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]
        try:
            self._client.complete_multipart_upload(
                **self._object, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":
                raise
            # The answer to an earlier try may have been lost, and then the object is there.
            if not self._is_there():
                self._ledger.end()
                raise StoreUnavailable(
                    "the object store forgot an upload before it was whole",
                    remedy="nothing: it is begun again by itself",
                ) from error

    def _is_there(self) -> bool:
        try:
            head = self._client.head_object(**self._object)
        except ClientError as error:
            if code_of(error) == "404":
                return False
            raise
        # Some servers capitalise the names of metadata.
        said = {name.lower(): value for name, value in head["Metadata"].items()}
        return bool(head["ContentLength"] == self._plan.size and said.get("sha256") == self._plan.sha256)

    def _abort(self, name: str, upload_id: str) -> None:
        # When even this fails, the bucket's lifecycle rule does it some days later.
        with suppress(ClientError, BotoCoreError):
            self._client.abort_multipart_upload(Bucket=self._options.bucket, Key=name, UploadId=upload_id)
        self._ledger.end()


def list_parts(client: Any, place: Mapping[str, str], upload_id: str) -> list[dict[str, Any]] | None:
    """The parts of an unfinished upload by number, or None when there is no such upload."""
    pages = client.get_paginator("list_parts").paginate(**place, UploadId=upload_id)
    try:
        found = [part for page in pages for part in page.get("Parts", [])]
    except ClientError as error:
        if code_of(error) in ("NoSuchUpload", "404"):
            return None
        raise
    return sorted(found, key=lambda part: int(part["PartNumber"]))


def _md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
