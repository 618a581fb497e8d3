"""Uploads in parts: announced, sent part by part straight to the object store, put together, checked.

A client that lost its connection asks which parts have come and sends the others. The announced size and sha256 are
held against what is there at the end, by reading it once; until then nothing can be done with the upload.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from likeness.accounts import Account, require_room_for_bytes
from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.intake import display_name, require_free_disk, require_purpose, require_size
from likeness.objects import Part
from likeness.repositories.uploads import UploadRepository
from likeness.requests import upload_or_refuse
from likeness.settings import MEBIBYTE, Settings
from likeness.store import ObjectStore
from likeness.tables import Upload
from problems import Conflict, InvalidParameter, NotFound

PART_SIZE = 8 * MEBIBYTE
"""S3 wants at least 5 MiB of every part but the last."""
MOST_PARTS = 1000
OPEN_FOR = timedelta(days=1)
_ADDRESS_S = 3600.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PartAddress:
    """Where one part goes."""

    number: int
    size: int
    """Bytes it must have."""
    url: str
    """For one PUT within the hour."""
    received: bool


def announce_upload(
    settings: Settings,
    database: Database,
    store: ObjectStore,
    account: Account,
    *,
    filename: str,
    size: int,
    purpose: str,
    media_type: str = "application/octet-stream",
    sha256: str | None = None,
) -> Upload:
    """Begin an upload in parts.

    Raises:
        InvalidParameter: the purpose is unknown, the size is no size, the sha256 is none.
        MediaTooLarge, OutOfDisk, QuotaExceeded: so many bytes may not be sent.
    """
    require_purpose(purpose)
    if size < 1:
        raise InvalidParameter(
            "an upload has at least one byte", remedy="send the file's size", details={"field": "size"}
        )
    if sha256 is not None and not _SHA256.fullmatch(sha256.lower()):
        raise InvalidParameter(
            "sha256 is not 64 hexadecimal digits",
            remedy="send the sha256 of the whole file, or leave it out",
            details={"field": "sha256"},
        )
    require_size(settings, size)
    require_free_disk(settings)
    upload_id = new_id("upl")
    key = f"uploads/{upload_id}/original"
    upload = Upload(
        id=upload_id,
        tenant_id=account.tenant_id,
        purpose=purpose,
        status="awaiting",
        filename=display_name(filename),
        media_type=media_type[:255],
        size=size,
        sha256=(sha256 or "").lower(),
        object_key=key,
        part_size=_part_size(size),
        multipart_id=store.begin_parts(key),
        expires_at=now() + OPEN_FOR,
        created_at=now(),
    )
    try:
        with database.write() as session:
            require_room_for_bytes(session, account.tenant_id, size)
            UploadRepository(session).add(upload)
    except BaseException:
        store.abort_parts(key, upload.multipart_id or "")
        raise
    return upload


def part_addresses(store: ObjectStore, upload: Upload) -> list[PartAddress]:
    """Every part of an upload that is not whole, with a fresh address and whether it has come."""
    if upload.status != "awaiting" or upload.part_size is None or upload.multipart_id is None:
        return []
    try:
        arrived = {part.number: part.size for part in store.parts(upload.object_key, upload.multipart_id)}
    except NotFound:
        arrived = {}  # being completed this moment
    return [
        PartAddress(
            number,
            size,
            store.signed_part(
                upload.object_key, upload.multipart_id, number, expires_s=_ADDRESS_S, size=size
            ),
            arrived.get(number) == size,
        )
        for number, size in _sizes(upload)
    ]


def complete_upload(database: Database, store: ObjectStore, account: Account, upload_id: str) -> Upload:
    """Put the parts together, read the file once, and hold it against what was announced. Again is no error.

    Raises:
        NotFound: no such upload.
        Conflict: parts are missing; ``details.missing`` has their numbers.
        InvalidParameter: the bytes are not those that were announced; they are deleted, and the upload begins anew.
    """
    with database.read() as session:
        upload = upload_or_refuse(session, upload_id, tenant_id=account.tenant_id, whole=False)
    if upload.status == "ready":
        return upload
    assert upload.multipart_id is not None
    key, forgotten = upload.object_key, False
    try:
        arrived = {part.number: part for part in store.parts(key, upload.multipart_id)}
    except NotFound:
        arrived, forgotten = {}, True
    if arrived or not store.exists(key):  # else: put together before, and the answer got lost
        expected = _sizes(upload)
        missing = [
            number for number, size in expected if number not in arrived or arrived[number].size != size
        ]
        if any(part.size > dict(expected).get(number, 0) for number, part in arrived.items()):
            # More than was announced, and counted: a store that does not hold clients to their addresses' length.
            _begin_anew(database, store, upload)
            missing = [number for number, _ in expected]
        elif forgotten:
            _begin_anew(database, store, upload)  # or a crash came between two lines of what follows
        if missing:
            raise Conflict(
                f"{len(missing)} of {len(expected)} parts have not come whole: {_some(missing)}",
                remedy="send them to the addresses that GET /v1/uploads/ID has, then complete again",
                details={"missing": missing},
            )
        parts: Sequence[Part] = [arrived[number] for number, _ in expected]
        try:
            store.complete_parts(key, upload.multipart_id, parts)
        except (NotFound, Conflict):
            if not store.exists(key):
                raise _busy(upload_id) from None
    try:
        stored = store.measure(key)
    except NotFound:  # somebody else who completes found it wanting
        raise _busy(upload_id) from None
    if stored.size != upload.size or (upload.sha256 and stored.sha256 != upload.sha256):
        _begin_anew(database, store, upload)
        raise InvalidParameter(
            "the bytes that arrived are not those that were announced",
            remedy="send all parts again, or announce the file anew with its real size and sha256",
            details={"field": "sha256", "received": stored.sha256, "size": stored.size},
        )
    try:
        with database.write() as session:
            row = upload_or_refuse(session, upload_id, whole=False)
            row.status, row.sha256 = "ready", stored.sha256
            row.multipart_id = row.expires_at = None
    except NotFound:  # deleted meanwhile, perhaps before its bytes had this name
        store.delete_prefix(key)
        raise
    return row


def _begin_anew(database: Database, store: ObjectStore, upload: Upload) -> None:
    """Drop the bytes of an upload and wait for its parts again, unless somebody else does so already."""
    key = upload.object_key
    store.delete_prefix(key)
    anew = store.begin_parts(key)
    with database.write() as session:
        mine = UploadRepository(session).begin_anew(upload.id, upload.multipart_id, anew)
    if not mine:
        store.abort_parts(key, anew)


def _busy(upload_id: str) -> Conflict:
    return Conflict(
        f"the upload {upload_id} is being completed by another request",
        remedy="look at it with GET /v1/uploads/ID, and complete it again if it is still awaited",
        details={"id": upload_id},
    )


def _part_size(size: int) -> int:
    """Of a file of so many bytes: no more parts than allowed."""
    least = -(-size // MOST_PARTS)
    return PART_SIZE if least <= PART_SIZE else -(-least // MEBIBYTE) * MEBIBYTE


def _sizes(upload: Upload) -> list[tuple[int, int]]:
    """``(number, bytes)`` of each part."""
    assert upload.part_size is not None
    starts = range(0, upload.size, upload.part_size)
    return [(1 + index, min(upload.part_size, upload.size - start)) for index, start in enumerate(starts)]


def _some(numbers: Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:10])
    return f"{shown}, ..." if len(numbers) > 10 else shown
