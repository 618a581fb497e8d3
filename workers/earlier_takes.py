"""What a tenant's uploads are recognised by: read once, kept beside the upload, compared with a consent's recording."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from likeness.clock import now
from likeness.database import Database
from likeness.intake import safe_suffix
from likeness.repositories.take_prints import KnownUpload, TakePrintRepository
from likeness.store import ObjectStore
from media.takes import VERSION, Take, read_take
from problems import InvalidInput, NotFound

log = logging.getLogger("likeness.takes")

_NOTHING = Take(np.zeros((0, 8, 8), np.int8), np.zeros((0, 32), np.int8))
"""Of a file that is no sound and no video: it is like no other."""


@dataclass(frozen=True)
class EarlierTake:
    """An upload of the same tenant."""

    upload_id: str
    purpose: str
    take: Take


class EarlierTakes:
    """The takes of one tenant's uploads.

    Args:
        own: uploads that a job reads, by role; they are not among the others.
    """

    def __init__(
        self, database: Database, store: ObjectStore, tenant_id: str, own: Mapping[str, str]
    ) -> None:
        self._database, self._store, self._tenant_id = database, store, tenant_id
        self._own = dict(own)

    def of(self, role: str, path: Path) -> Take:
        """The take of a file that the job reads.

        Raises:
            Problem: the file can't be read.
        """
        upload_id = self._own.get(role)
        kept = self._kept(upload_id) if upload_id is not None else None
        if kept is not None:
            return kept
        take = read_take(path)
        if upload_id is not None:
            self._keep(upload_id, take)
        return take

    def others(self) -> Iterator[EarlierTake]:
        """All others, clips and recorded consents first. Those that were never read are read now."""
        with self._database.read() as session:
            known = TakePrintRepository(session).others(self._tenant_id, list(self._own.values()), VERSION)
        for upload in known:
            take = self._kept(upload.id) if upload.printed else self._read(upload)
            if take is not None:
                yield EarlierTake(upload.id, upload.purpose, take)

    def _kept(self, upload_id: str) -> Take | None:
        with self._database.read() as session:
            data = TakePrintRepository(session).data(upload_id, VERSION)
        return Take.unpacked(data) if data is not None else None

    def _read(self, upload: KnownUpload) -> Take | None:
        with tempfile.TemporaryDirectory(prefix="likeness-take-") as folder:
            path = Path(folder) / f"upload{safe_suffix(upload.filename)}"
            try:
                self._store.fetch(upload.object_key, path, sha256=upload.sha256)
            except NotFound:
                return None  # it is being deleted
            try:
                take = read_take(path)
            except InvalidInput as problem:
                log.info("the upload %s is like no other: %s", upload.id, problem.message)
                take = _NOTHING
        self._keep(upload.id, take)
        return take

    def _keep(self, upload_id: str, take: Take) -> None:
        with self._database.write() as session:
            TakePrintRepository(session).keep(upload_id, VERSION, take.packed(), now())
