"""The answer to a deletion: its receipt, done or still waiting for a worker to put its work down."""

from __future__ import annotations

import logging

from fastapi import Response

from api.schemas import DeletionOut
from api.views import deletion_view
from likeness.database import Database
from likeness.deletion import purge
from likeness.refusals import StoreUnavailable
from likeness.repositories.deletions import DeletionRepository
from likeness.settings import Settings
from likeness.store import ObjectStore

log = logging.getLogger("likeness.deletion")


def finish_deletion(
    deletion_id: str, response: Response, database: Database, store: ObjectStore, settings: Settings
) -> DeletionOut:
    """Purge at once what can be, and answer with the receipt: 200 when everything is gone, else 202."""
    purge_quietly(database, store, settings)
    with database.read() as session:
        deletion = DeletionRepository(session).get(deletion_id)
        assert deletion is not None
        view = deletion_view(deletion)
    response.headers["Location"] = f"/v1/deletions/{deletion_id}"
    if view.status == "pending":
        response.status_code = 202
    return view


def purge_quietly(database: Database, store: ObjectStore, settings: Settings) -> None:
    """Purge; a store that is away leaves it to whoever purges next."""
    try:
        purge(database, store, settings)
    except StoreUnavailable as problem:
        # It is marked, so whoever purges next goes on with it: the client need not come again.
        log.warning("a deletion waits for the object store: %s", problem)
