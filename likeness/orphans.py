"""Objects that no row names: what a worker had stored when it was killed before its commit.

Mark and sweep: a stage's folder that no manifest names and no running stage is filling is marked; one that is still so
after a grace period is deleted. The marks are held by whoever sweeps, so a restart only makes it wait once more.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from likeness.database import Database
from likeness.repositories.artifacts import ArtifactRepository
from likeness.store import ObjectStore


class Sweeper:
    """Finds orphans and, after ``grace``, deletes them. One is enough for a deployment; several do no harm."""

    def __init__(self, database: Database, store: ObjectStore, *, grace: timedelta) -> None:
        self._database, self._store, self._grace = database, store, grace
        self._seen: dict[str, datetime] = {}

    def sweep(self, moment: datetime) -> int:
        """Mark new orphans, delete old ones; returns how many objects went.

        Objects are listed before rows are read: what is committed in between is named by then.
        """
        found = {folder for key in self._store.keys("people") if (folder := _stage_folder(key))}
        with self._database.read() as session:
            wanted = ArtifactRepository(session).prefixes_in_use()
        orphans = {
            folder for folder in found if folder not in wanted and folder.rsplit("/", 1)[1] not in wanted
        }
        self._seen = {folder: self._seen.get(folder, moment) for folder in orphans}
        ripe = [folder for folder, since in self._seen.items() if moment - since >= self._grace]
        gone = sum(self._store.delete_prefix(folder) for folder in ripe)
        for folder in ripe:
            del self._seen[folder]
        return gone


def _stage_folder(key: str) -> str | None:
    """``people/per_…/stages/<key>/<stage>-<fence>`` of an object in it."""
    parts = key.split("/")
    return "/".join(parts[:5]) if len(parts) > 5 and parts[2] == "stages" else None
