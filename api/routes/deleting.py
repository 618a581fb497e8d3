"""The answer to a deletion: done, or pending while a worker puts its work down."""

from __future__ import annotations

import logging

from fastapi import Response

from api.schemas import DeletionOut
from likeness.database import Database
from likeness.deletion import purge
from likeness.refusals import StoreUnavailable
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.repositories.uploads import UploadRepository
from likeness.settings import Settings
from likeness.store import ObjectStore

log = logging.getLogger("likeness.deletion")


def finish_deletion(
    identifier: str, response: Response, database: Database, store: ObjectStore, settings: Settings
) -> DeletionOut:
    """Purge at once what can be, and say with the status (200 or 202) whether ``identifier`` is gone."""
    try:
        purge(database, store, settings)
    except StoreUnavailable as problem:
        # It is marked, so whoever purges next goes on with it: the client need not come again.
        log.warning("%s: its deletion waits for the object store: %s", identifier, problem)
    with database.read() as session:
        pending = [
            *PersonRepository(session).deleting(),
            *JobRepository(session).deleting(),
            *UploadRepository(session).deleting(),
        ]
    if identifier in pending:
        response.status_code = 202
        return DeletionOut(id=identifier, status="pending")
    return DeletionOut(id=identifier, status="done")
