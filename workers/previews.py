"""Pictures of a running training in the object store, where the API can show them while the job goes on.

They lie under ``people/<id>/previews/<job>/``, apart from what the stage commits: until then nobody else can read its
work folder. Nobody depends on them, so a store that is away costs a picture, not the training.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from likeness.store import ObjectStore
from problems import Problem

log = logging.getLogger("likeness.previews")

FOLDER = "previews"
MOST = 6
"""Pictures of one job in the store at most: the newest."""
_NAME = re.compile(r"preview-(\d+)\.jpg")


def previews_of(scope: str, job_id: str) -> str:
    """The prefix of a job's pictures."""
    return f"{scope}/{FOLDER}/{job_id}"


class PreviewShelf:
    """Keeps the newest ``preview-<step>.jpg`` of a work folder in the store.

    Args:
        prefix: see :func:`previews_of`.
        work: the job's work folder.
    """

    def __init__(self, store: ObjectStore, prefix: str, work: Path) -> None:
        self._store, self._prefix, self._folder = store, prefix, work / FOLDER
        self._stored: set[int] | None = None  # not asked yet: another machine may have been here before

    def fill(self) -> None:
        """Store what is new and delete what is old; never raises."""
        try:
            here = _steps(path.name for path in self._folder.iterdir()) if self._folder.is_dir() else set()
            if not here or (self._stored is not None and here <= self._stored):
                return
            if self._stored is None:
                self._stored = _steps(key.rsplit("/", 1)[1] for key in self._store.keys(self._prefix))
            newest = set(sorted(here | self._stored)[-MOST:])
            for step in sorted(here & newest - self._stored):
                self._store.put_file(
                    f"{self._prefix}/preview-{step}.jpg", self._folder / f"preview-{step}.jpg"
                )
                self._stored.add(step)
            for step in sorted(self._stored - newest):
                self._store.delete_prefix(f"{self._prefix}/preview-{step}.jpg")
            self._stored = newest
        except (Problem, OSError):
            log.warning("a preview under %s was not stored", self._prefix, exc_info=True)


def _steps(names: Iterable[str]) -> set[int]:
    return {int(found[1]) for name in names if (found := _NAME.fullmatch(name))}
