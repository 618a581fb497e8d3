"""The answer to a deletion: done, or pending while a worker puts its work down."""

from __future__ import annotations

from fastapi import Response

from api.schemas import DeletionOut
from likeness.database import Database
from likeness.deletion import purge
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.repositories.uploads import UploadRepository
from likeness.settings import Settings
from likeness.store import ObjectStore


def finish_deletion(
    identifier: str, response: Response, database: Database, store: ObjectStore, settings: Settings
) -> DeletionOut:
    """Purge at once what can be, and say with the status (200 or 202) whether ``identifier`` is gone."""
    purge(database, store, settings)
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
