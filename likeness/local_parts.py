"""Multipart uploads into the local store: parts wait as files until they are put together into one object.

    .parts/<upload id>/upload.json     {"key": …}
    .parts/<upload id>/00001.<sha256>  one part; a later one of the same number takes its place

They survive a restart of the service, so that a client goes on where it was; those that nobody finished within
some days are swept up, as S3's lifecycle rule does.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from likeness.objects import Part, checked_order, no_upload
from problems import Conflict, NotFound

_UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
_PART_FILE = re.compile(r"(\d{5})\.([0-9a-f]{64})")
_BLOCK = 2**20


class PartsFolder:
    """Unfinished multipart uploads of one local store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, key: str) -> str:
        """A new upload of an object; returns its id."""
        upload_id = secrets.token_hex(16)
        folder = self._folder / upload_id
        folder.mkdir(parents=True, mode=0o700)
        try:
            (folder / "upload.json").write_text(json.dumps({"key": key}))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return upload_id

    def take(self, key: str, upload_id: str, number: int, received: Path, sha256: str) -> Part:
        """Move a received file into place as a part; an earlier one of this number goes.

        Raises:
            NotFound: no such upload of this key.
        """
        folder = self._of(key, upload_id)
        target = folder / f"{number:05d}.{sha256}"
        size = received.stat().st_size
        os.replace(received, target)
        for older in folder.glob(f"{number:05d}.*"):
            if older != target:
                older.unlink(missing_ok=True)
        return Part(number, size, _tag(sha256))

    def arrived(self, key: str, upload_id: str) -> list[Part]:
        """The parts that have arrived, by number.

        Raises:
            NotFound: no such upload of this key.
        """
        return [part for part, _ in self._found(self._of(key, upload_id))]

    def join(self, key: str, upload_id: str, parts: Sequence[Part], target: Path) -> None:
        """Write the parts one after another to ``target``; the upload stays until :meth:`abort`.

        Raises:
            NotFound: no such upload of this key.
            InvalidParameter: no parts, or not in the order of their numbers.
            Conflict: a named part has not arrived, or has other bytes than the named ones.
        """
        numbers = [part.number for part in checked_order(parts)]
        found = {part.number: (part, path) for part, path in self._found(self._of(key, upload_id))}
        wrong = [part.number for part in parts if part.number not in found or found[part.number][0] != part]
        if wrong:
            raise _not_as_named(wrong)
        with open(target, "xb") as writer:
            for number in numbers:
                try:
                    reader = open(found[number][1], "rb")  # noqa: SIM115 - closed below
                except FileNotFoundError:  # sent anew, or put together by somebody else, in this moment
                    raise _not_as_named([number]) from None
                with reader:
                    shutil.copyfileobj(reader, writer, _BLOCK)

    def abort(self, key: str, upload_id: str) -> None:
        """Forget an upload and its parts; one that is not there is no error."""
        try:
            folder = self._of(key, upload_id)
        except NotFound:
            return
        shutil.rmtree(folder, ignore_errors=True)

    def abort_under(self, prefix: str) -> None:
        """Forget the uploads of a key and of every key in its folder."""
        for folder in self._uploads():
            key = _key_of(folder)
            if key is not None and (key == prefix or key.startswith(f"{prefix}/")):
                shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, older_than_s: float) -> None:
        """Forget the uploads that were begun longer ago than that."""
        for folder in self._uploads():
            try:
                begun = (folder / "upload.json").stat().st_mtime
            except FileNotFoundError:
                begun = 0.0  # a crash between two lines of begin or in the middle of an abort
            if begun < time.time() - older_than_s:
                shutil.rmtree(folder, ignore_errors=True)

    def _uploads(self) -> list[Path]:
        return list(self._folder.iterdir()) if self._folder.is_dir() else []

    def _of(self, key: str, upload_id: str) -> Path:
        folder = self._folder / upload_id
        if not _UPLOAD_ID.fullmatch(upload_id) or _key_of(folder) != key:
            raise no_upload(key)
        return folder

    def _found(self, folder: Path) -> list[tuple[Part, Path]]:
        there = []
        with suppress(FileNotFoundError):  # put together or given up in this moment
            for path in folder.iterdir():
                if name := _PART_FILE.fullmatch(path.name):
                    with suppress(FileNotFoundError):  # a newer one took its place
                        facts = path.stat()
                        part = Part(int(name[1]), facts.st_size, _tag(name[2]))
                        there.append((facts.st_mtime_ns, part, path))
        # By age: after a crash in take, an older part may lie beside the one that took its place.
        there.sort(key=lambda each: each[0])
        found = {part.number: (part, path) for _, part, path in there}
        return [found[number] for number in sorted(found)]


def _not_as_named(numbers: list[int]) -> Conflict:
    return Conflict(
        f"the parts {numbers[:10]} have not arrived as they are named",
        remedy="send these parts again and name them by the tags of the answers",
        details={"parts": numbers},
    )


def _key_of(folder: Path) -> str | None:
    try:
        key: str = json.loads((folder / "upload.json").read_text())["key"]
    except (OSError, ValueError, KeyError):
        return None
    return key


def _tag(sha256: str) -> str:
    # In quotes, as the ETag header of the answer has it: what a client reads there can be handed back as it is.
    return f'"{sha256}"'
