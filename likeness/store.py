"""The object store: one small protocol, and the local files that embedded mode runs on.

A key is a relative path of plain segments, ``people/per_…/<key>/<fence>/person.likeness``. Objects appear
whole or not at all, and whoever reads one for its meaning verifies its sha256. :mod:`likeness.s3` is the other store;
:func:`likeness.stores.store_of` picks one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from likeness.local_parts import PartsFolder
from likeness.objects import (
    ObjectFacts,
    Part,
    StoredObject,
    checked_key,
    checked_part,
    damaged,
    file_digest,
    missing,
    replaced,
)
from likeness.refusals import StoreUnavailable
from likeness.signed_urls import ApiAddresses, Grant, object_secret, secret_of
from problems import InvalidParameter

__all__ = ["LocalStore", "ObjectStore", "Part", "StoredObject", "file_digest"]

_BLOCK = 2**20
_OCTETS = "application/octet-stream"


class ObjectStore(Protocol):
    """What the service needs of a store. A store that is elsewhere may raise StoreUnavailable (retryable)
    anywhere, and each method that takes a key refuses what is none with InvalidParameter.
    """

    def prepare(self) -> None:
        """Make ready what has to be there before the first object; safe to call again, by many at once."""

    def ping(self) -> None:
        """Raise what using the store would raise now, and change nothing."""

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

    def size(self, key: str) -> int:
        """Bytes of an object, such as one that a client has sent to a signed address.

        Raises:
            NotFound: there is no such object.
        """

    def measure(self, key: str) -> StoredObject:
        """Read an object once, for its size and sha256: what a client has sent by itself is not known before.

        Raises:
            NotFound: there is no such object.
        """

    def delete_prefix(self, prefix: str) -> int:
        """Delete the object or the folder of objects, and return how many there were; none is no error.

        Unfinished multipart uploads of these keys go too; they don't count.
        """

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key under a prefix, sorted."""

    def local_path(self, key: str) -> Path | None:
        """Where the object lies on this machine, or None for a store that is elsewhere (:meth:`signed_get` then).

        Raises:
            NotFound: there is no such object.
        """

    def describe(self, key: str) -> ObjectFacts:
        """Size, tag and age of an object, for whoever reads it piece by piece.

        Raises:
            NotFound: there is no such object.
        """

    def read(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        """Some bytes of an object as :meth:`describe` told of it; fewer only at its end.

        Raises:
            NotFound: there is no such object any more.
            Conflict: it has been stored anew.
        """

    def check_signature(self, method: str, key: str, query: Mapping[str, str]) -> Grant:
        """What a request to one of the signed addresses may do that the API itself answers.

        Raises:
            SignatureRefused: the address was changed, is not ours, or is expired.
            NotFound: the API answers none; they lead to the object store.
        """

    def take_part(self, key: str, upload_id: str, number: int, received: Path, sha256: str) -> Part:
        """Keep a file as one part of an upload, in place of an earlier one of its number; may consume the file.

        Raises:
            NotFound: no such unfinished upload.
        """

    @property
    def answered_by_api(self) -> bool:
        """Whether signed addresses lead to the API, which then reads and writes the objects for its clients."""

    @property
    def address_origin(self) -> str:
        """Scheme and host that signed addresses begin with, such as ``https://s3.example``; empty while they are
        relative to the host under which the API was reached."""

    def signed_get(
        self, key: str, *, expires_s: float, filename: str | None = None, media_type: str | None = None
    ) -> str:
        """An address that anyone may read the object from, for 1 s to a week, whether it is there yet or not.

        ``filename`` makes browsers save it under that name; ``media_type`` is what the answer says it is.
        """

    def signed_put(self, key: str, *, expires_s: float, size: int, media_type: str = _OCTETS) -> str:
        """An address that anyone may PUT the object to, for 1 s to a week.

        The request must have exactly that Content-Length and Content-Type; the bytes are not verified before
        somebody fetches them.
        """

    def begin_parts(self, key: str) -> str:
        """Begin an object whose bytes come in parts; returns the upload's id."""

    def signed_part(
        self, key: str, upload_id: str, number: int, *, expires_s: float, size: int | None = None
    ) -> str:
        """An address that anyone may PUT one part to (1 to 10 000), for 1 s to a week.

        With ``size`` the request must have exactly that Content-Length. Send it without a Content-Type or as
        application/octet-stream. Sent again, it replaces the part.
        """

    def parts(self, key: str, upload_id: str) -> list[Part]:
        """The parts that have arrived, by number: what a client that goes on need not send again.

        Raises:
            NotFound: no such unfinished upload.
        """

    def complete_parts(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Put these parts together to the object, atomically; the upload's id is void from then on.

        Raises:
            NotFound: no such unfinished upload; perhaps it was completed before (see :meth:`exists`).
            InvalidParameter: none, out of order, or (S3) too small.
            Conflict: a part has not arrived, or is not the named one.
        """

    def abort_parts(self, key: str, upload_id: str) -> None:
        """Forget an unfinished upload and its parts; one that is not there is no error."""


class LocalStore:
    """Objects as files under one folder.

    Args:
        root: the folder; made when it is missing.
        base_url: what signed addresses begin with, ``https://host``; empty makes them relative to the host.
        secret: asked at each signing for what to sign with; without one the store makes its own and keeps it in
            ``.signing-key`` of its folder.
        keep_parts_s: seconds that an unfinished multipart upload outlives sweeping.
    """

    def __init__(
        self,
        root: Path,
        *,
        base_url: str = "",
        secret: Callable[[], bytes] | None = None,
        keep_parts_s: float = 7 * 24 * 3600,
    ) -> None:
        self.root = root.absolute()
        self._incoming = self.root / ".incoming"
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._parts = PartsFolder(self.root / ".parts")
        self._keep_parts_s = keep_parts_s
        self._given_secret = secret
        self._addresses = ApiAddresses(base_url, self._secret)

    def prepare(self) -> None:
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    def ping(self) -> None:
        if not os.access(self._incoming, os.W_OK | os.X_OK):
            raise StoreUnavailable(
                "the folder of the object store can't be written",
                remedy="let the service's user write to LIKENESS_DATA_DIR, or name another folder",
            )

    def sweep(self) -> None:
        """Remove what a crash left half stored or half deleted; only while nobody else uses the store."""
        shutil.rmtree(self._incoming)
        self._incoming.mkdir(mode=0o700)
        self._parts.sweep(self._keep_parts_s)

    def put_file(self, key: str, source: Path, *, move: bool = False) -> StoredObject:
        target = self._path(key)
        temporary = self.incoming_file()
        try:
            if move and source.stat().st_dev == self._incoming.stat().st_dev:
                os.replace(source, temporary)
                size, digest = file_digest(temporary)
            else:
                size, digest = _copy(source, temporary)
            self._show(temporary, target)
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
                raise damaged(key, sha256, digest)
            os.replace(temporary, destination)
        finally:
            temporary.unlink(missing_ok=True)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def size(self, key: str) -> int:
        return self.local_path(key).stat().st_size

    def measure(self, key: str) -> StoredObject:
        return StoredObject(key, *file_digest(self.local_path(key)))

    def delete_prefix(self, prefix: str) -> int:
        trash = self.incoming_file()
        path = self._path(prefix)
        self._parts.abort_under(prefix)
        try:
            os.replace(path, trash)  # at once and by one: API and worker may both be deleting this
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
            if not key.startswith("."):  # what is coming in, and the secret: no key begins so
                yield key

    def local_path(self, key: str) -> Path:
        path = self._path(key)
        if not path.is_file():
            raise missing(key)
        return path

    def describe(self, key: str) -> ObjectFacts:
        return _facts_of(self.local_path(key).stat())

    def read(self, key: str, start: int, length: int, *, etag: str) -> bytes:
        with open(self.local_path(key), "rb", buffering=0) as stream:
            if _facts_of(os.fstat(stream.fileno())).etag != etag:
                raise replaced(key)
            stream.seek(start)
            return stream.read(length)

    # -- signed addresses; api/routes/objects.py serves them ---------------------------------------------------

    def signed_get(
        self, key: str, *, expires_s: float, filename: str | None = None, media_type: str | None = None
    ) -> str:
        return self._addresses.get(key, expires_s=expires_s, filename=filename, media_type=media_type)

    def signed_put(self, key: str, *, expires_s: float, size: int, media_type: str = _OCTETS) -> str:
        return self._addresses.put(key, expires_s=expires_s, size=size, media_type=media_type)

    def signed_part(
        self, key: str, upload_id: str, number: int, *, expires_s: float, size: int | None = None
    ) -> str:
        return self._addresses.part(key, upload_id, number, expires_s=expires_s, size=size)

    def check_signature(self, method: str, key: str, query: Mapping[str, str]) -> Grant:
        return self._addresses.check(method, key, query)

    @property
    def answered_by_api(self) -> bool:
        return True

    @property
    def address_origin(self) -> str:
        return self._addresses.origin

    def begin_parts(self, key: str) -> str:
        self._path(key)
        return self._parts.begin(key)

    def take_part(self, key: str, upload_id: str, number: int, received: Path, sha256: str) -> Part:
        return self._parts.take(key, upload_id, checked_part(number), received, sha256)

    def parts(self, key: str, upload_id: str) -> list[Part]:
        return self._parts.arrived(key, upload_id)

    def complete_parts(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        target = self._path(key)
        temporary = self.incoming_file()
        try:
            self._parts.join(key, upload_id, parts, temporary)
            self._show(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        self._parts.abort(key, upload_id)

    def abort_parts(self, key: str, upload_id: str) -> None:
        self._parts.abort(key, upload_id)

    def incoming_file(self) -> Path:
        """A fresh name in the store's own file system, for bytes that are coming in; a crash's are swept up."""
        return self._incoming / secrets.token_hex(16)

    def _secret(self) -> bytes:
        if self._given_secret is None:
            return secret_of(self.root / ".signing-key")
        return object_secret(self._given_secret())

    def _show(self, whole: Path, target: Path) -> None:
        """Put a finished file where readers find it."""
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sync(whole)
        os.replace(whole, target)
        _sync(target.parent)

    def _path(self, key: str) -> Path:
        path = self.root.joinpath(*checked_key(key).split("/"))
        # The pattern already excludes "..": this catches a symbolic link that somebody put into the folder.
        if not path.parent.resolve().is_relative_to(self.root.resolve()) or path.is_symlink():
            raise InvalidParameter(
                f"{key!r} leads out of the object store",
                remedy="remove the symbolic link from the data folder",
                details={"field": "key"},
            )
        return path


def _facts_of(found: os.stat_result) -> ObjectFacts:
    # The inode too: what takes an object's place within one tick of the clock is another file.
    tag = hashlib.sha256(f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}".encode()).hexdigest()
    return ObjectFacts(found.st_size, f'"{tag[:32]}"', datetime.fromtimestamp(found.st_mtime, UTC))


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


def _sync(file_or_folder: Path) -> None:
    descriptor = os.open(file_or_folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
