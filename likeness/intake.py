"""Taking a file in: streamed to disk, counted, hashed by the store it goes to, and only then entered as an upload."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import PurePosixPath, PureWindowsPath
from types import TracebackType
from typing import Self

from likeness.accounts import require_room_for_bytes
from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.repositories.uploads import UploadRepository
from likeness.settings import MEBIBYTE, Settings
from likeness.store import ObjectStore
from likeness.tables import EMBEDDED, Upload
from problems import InvalidParameter, MediaTooLarge, OutOfDisk, UnreadableMedia

PURPOSES = ("clip", "recording", "consent", "video")
_CHECK_DISK_EVERY = 16 * MEBIBYTE


class Intake:
    """A context manager around one incoming file: ``write`` the bytes as they come, then ``finish``.

    Whatever happens before ``finish`` returns, nothing is left behind.
    """

    def __init__(
        self, settings: Settings, database: Database, store: ObjectStore, *, tenant_id: str = EMBEDDED
    ) -> None:
        self._tenant_id = tenant_id
        self._settings, self._database, self._store = settings, database, store
        settings.incoming_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = settings.incoming_dir / secrets.token_hex(16)
        self._stream = open(self._path, "xb")  # noqa: SIM115 - closed by __exit__
        self._size = 0
        self._next_check = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stream.close()  # which writes what is left, and fails where the disk is full
        finally:
            self._path.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self._size

    def expect(self, size: int) -> None:
        """Refuse early what announces itself as too large.

        Raises:
            MediaTooLarge: more bytes than the limit.
            QuotaExceeded: more than the tenant may still keep.
        """
        require_size(self._settings, size)
        with self._database.read() as session:
            require_room_for_bytes(session, self._tenant_id, max(0, size))

    def write(self, block: bytes) -> None:
        """Take some bytes.

        Raises:
            MediaTooLarge: more bytes than the limit.
            OutOfDisk: they would leave less free than the deployment keeps.
            QuotaExceeded: more than the tenant may still keep; asked now and then.
        """
        self._size += len(block)
        require_size(self._settings, self._size)
        if self._size >= self._next_check:
            require_free_disk(self._settings)
            self.expect(self._size)
            self._next_check = self._size + _CHECK_DISK_EVERY
        self._stream.write(block)

    def finish(
        self,
        *,
        filename: str,
        media_type: str,
        purpose: str,
        sha256: str | None = None,
        source_url: str | None = None,
    ) -> Upload:
        """Enter the file as an upload.

        Raises:
            InvalidParameter: the purpose is unknown, or the bytes are not those of ``sha256``.
            UnreadableMedia: there were no bytes.
            QuotaExceeded: the tenant may not keep so much.
        """
        require_purpose(purpose)
        if self._size == 0:
            raise UnreadableMedia(
                "the uploaded file is empty",
                remedy="check the path and send the file again",
                details={"field": "file"},
            )
        self._stream.close()
        upload_id = new_id("upl")
        stored = self._store.put_file(f"uploads/{upload_id}/original", self._path, move=True)
        upload = Upload(
            id=upload_id,
            tenant_id=self._tenant_id,
            purpose=purpose,
            filename=display_name(filename),
            media_type=media_type[:255],
            size=stored.size,
            sha256=stored.sha256,
            object_key=stored.key,
            source_url=source_url,
            created_at=now(),
        )
        try:
            # The store's own hash, of what lies there: one of what came in would cost as much again.
            _require_equal(stored.sha256, sha256)
            with self._database.write() as session:
                require_room_for_bytes(session, self._tenant_id, stored.size)
                UploadRepository(session).add(upload)
        except BaseException:
            self._store.delete_prefix(f"uploads/{upload_id}")
            raise
        return upload


def require_purpose(purpose: str) -> None:
    """Raise InvalidParameter when nothing is done with uploads of this purpose."""
    if purpose not in PURPOSES:
        raise InvalidParameter(
            f"purpose {purpose!r} is not known",
            remedy="use purpose=clip for a video to learn from or purpose=recording for sound to speak",
            details={"field": "purpose", "known": list(PURPOSES)},
        )


def require_size(settings: Settings, size: int) -> None:
    """Raise MediaTooLarge when an upload may not have so many bytes."""
    if size > settings.max_upload_bytes:
        raise MediaTooLarge(
            f"the upload is larger than {settings.max_upload_mb} MiB",
            remedy="send a shorter or more compressed file, or raise LIKENESS_MAX_UPLOAD_MB",
            details={"limit_bytes": settings.max_upload_bytes},
        )


def _require_equal(received: str, announced: str | None) -> None:
    if announced and announced.lower() != received:
        raise InvalidParameter(
            "the bytes that arrived are not those of the given sha256",
            remedy="send the file again",
            details={"field": "sha256", "received": received},
        )


def require_free_disk(settings: Settings) -> None:
    """Raise OutOfDisk when less is free than the deployment keeps."""
    free = shutil.disk_usage(settings.data_dir).free
    if free < settings.min_free_bytes:
        raise OutOfDisk(
            f"only {free // MEBIBYTE} of the {settings.min_free_mb} MiB to keep are free",
            remedy="free some disk space, or lower LIKENESS_MIN_FREE_MB",
            details={"free_bytes": free, "folder": str(settings.data_dir)},
        )


def display_name(filename: str) -> str:
    """The last part of a client's file name, without control characters, at most 255 letters."""
    last = PureWindowsPath(PurePosixPath(filename).name).name
    return "".join(letter for letter in last if letter.isprintable())[:255] or "unnamed"


def safe_suffix(filename: str) -> str:
    """``.mp4`` of ``my clip.MP4``; empty when it is not a few plain letters."""
    match = re.search(r"\.([A-Za-z0-9]{1,8})$", filename)
    return f".{match.group(1).lower()}" if match else ""
