"""The object store: one small protocol, and the local files that embedded mode runs on.

A key is a relative path of plain segments, ``people/per_…/<key>/<fence>/person.likeness``. Objects appear
whole or not at all, and whoever reads one for its meaning verifies its sha256.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from problems import InternalProblem, InvalidParameter, NotFound

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_BLOCK = 2**20


@dataclass(frozen=True)
class StoredObject:
    """What a store says about an object it has taken."""

    key: str
    size: int
    """Bytes."""
    sha256: str


class ObjectStore(Protocol):
    """What the service needs of a store; S3 is to fit it as well as a folder does."""

    def put_file(self, key: str, source: Path, *, move: bool = False) -> StoredObject:
        """Store the bytes of ``source`` under ``key``, atomically; ``move`` may consume ``source``."""

    def fetch(self, key: str, destination: Path, *, sha256: str) -> None:
        """Copy an object to ``destination``, atomically and verified.

        Raises:
            NotFound: there is no such object.
            InternalProblem: its bytes are not those that were stored.
        """

    def exists(self, key: str) -> bool:
        """True when the object is there."""

    def delete_prefix(self, prefix: str) -> int:
        """Delete the object or the folder of objects, and return how many there were; none is no error."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key under a prefix, sorted."""

    def local_path(self, key: str) -> Path | None:
        """Where the object lies on this machine, or None for a store that is elsewhere.

        Raises:
            NotFound: there is no such object.
        """


class LocalStore:
    """Objects as files under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._incoming = self.root / ".incoming"
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    def sweep(self) -> None:
        """Remove what a crash left half stored or half deleted; only while nobody else uses the store."""
        shutil.rmtree(self._incoming)
        self._incoming.mkdir(mode=0o700)

    def put_file(self, key: str, source: Path, *, move: bool = False) -> StoredObject:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self._incoming / secrets.token_hex(16)
        try:
            if move and source.stat().st_dev == self._incoming.stat().st_dev:
                os.replace(source, temporary)
                size, digest = file_digest(temporary)
            else:
                size, digest = _copy(source, temporary)
            os.replace(temporary, target)
            _sync_folder(target.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return StoredObject(key, size, digest)

    def fetch(self, key: str, destination: Path, *, sha256: str) -> None:
        source = self.local_path(key)
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(8)}.tmp")
        try:
            _, digest = _copy(source, temporary)
            if digest != sha256:
                raise InternalProblem(
                    f"the stored object {key} is damaged: its sha256 is not the one it was stored with",
                    remedy="restore the data folder from a backup, or run the stage that made it again",
                    details={"key": key, "expected": sha256, "found": digest},
                )
            os.replace(temporary, destination)
        finally:
            temporary.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete_prefix(self, prefix: str) -> int:
        trash = self._incoming / secrets.token_hex(16)
        try:
            os.replace(
                self._path(prefix), trash
            )  # at once and by one: API and worker may both be deleting this
        except FileNotFoundError:
            return 0
        count = 1 if trash.is_file() else sum(len(names) for _, _, names in os.walk(trash))
        shutil.rmtree(trash) if trash.is_dir() else trash.unlink()
        return count

    def keys(self, prefix: str = "") -> Iterator[str]:
        base = self._path(prefix) if prefix else self.root
        if base.is_file():
            yield prefix
            return
        # os.walk passes over folders that vanish while it walks.
        found = (Path(folder, name) for folder, _, names in os.walk(base) for name in names)
        for key in sorted(path.relative_to(self.root).as_posix() for path in found):
            if not key.startswith(".incoming/"):
                yield key

    def local_path(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise NotFound(
                f"the object {key} is not in the store",
                remedy="restore the data folder from a backup, or make the resource again",
                details={"key": key},
            )
        return path

    def _path(self, key: str) -> Path:
        segments = key.split("/")
        if not all(_SEGMENT.fullmatch(segment) for segment in segments):
            raise InvalidParameter(
                f"{key!r} is not a key of the object store",
                remedy="use plain segments of letters, digits, dot, dash and underscore",
                details={"field": "key"},
            )
        path = self.root.joinpath(*segments)
        # The pattern already excludes "..": this catches a symbolic link that somebody put into the folder.
        if not path.parent.resolve().is_relative_to(self.root.resolve()) or path.is_symlink():
            raise InvalidParameter(
                f"{key!r} leads out of the object store",
                remedy="remove the symbolic link from the data folder",
                details={"field": "key"},
            )
        return path


def file_digest(path: Path) -> tuple[int, str]:
    """Size in bytes and sha256 of a file, read in flat memory."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def _copy(source: Path, target: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while block := reader.read(_BLOCK):
            digest.update(block)
            size += len(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return size, digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
