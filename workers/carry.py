"""A running stage's checkpoints in the object store, so that another machine goes on where this one died.

Every so often the files of ``work/<job>/checkpoints`` are linked into a folder (an atomic picture of each: trainers
replace their checkpoints, they never write into them), stored under a prefix of their own, and only then named in the
stage's row, under its fence. What a kill leaves between two of these steps is either not named, or whole.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from likeness.database import Database
from likeness.loops import Board, Loop
from likeness.repositories.leases import Claim, LeaseRepository, Standing
from likeness.store import ObjectStore, file_digest
from problems import Problem

log = logging.getLogger("likeness.carry")

FOLDER = "checkpoints"


def checkpoints_of(scope: str, stage_id: str) -> str:
    """The prefix of all of a stage's checkpoints."""
    return f"{scope}/checkpoints/{stage_id}"


def fetch_checkpoint(store: ObjectStore, claim: Claim, work: Path) -> bool:
    """Bring the last stored checkpoint into the work folder unless this machine ran the stage last.

    Returns True when one was brought. One that is missing or damaged is passed over: the stage begins anew.
    """
    folder, marker = work / FOLDER, work / FOLDER / f".{claim.stage_id}"
    if claim.checkpoint is None or _ran_last(marker, claim):
        return False
    incoming = work / f".{FOLDER}-{claim.fence}"
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        for entry in claim.checkpoint["files"]:
            store.fetch(
                f"{claim.checkpoint['prefix']}/{entry['name']}",
                incoming / entry["name"],
                sha256=entry["sha256"],
            )
    except Problem as problem:
        if problem.retryable:
            raise
        log.warning("the checkpoint of %s can't be used: %s", claim.stage_id, problem.message)
        shutil.rmtree(incoming, ignore_errors=True)
        return False
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(incoming, folder)
    return True


def _ran_last(marker: Path, claim: Claim) -> bool:
    try:
        return int(marker.read_text()) == claim.fence - 1
    except (OSError, ValueError):
        return False


class Carrier:
    """A context manager: while the block runs, new checkpoints are stored every ``every_s`` seconds.

    Args:
        hear: told what each fenced write found.
    """

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        claim: Claim,
        work: Path,
        *,
        every_s: float,
        hear: Callable[[Standing], None],
        board: Board | None = None,
    ) -> None:
        self._database, self._store, self._claim, self._work = database, store, claim, work
        self._hear = hear
        self._loop = Loop(
            "checkpoints",
            self._store_them,
            pause_s=every_s,
            board=board or Board(),
            turn_s=None,
            at_once=False,
        )
        self._held = ExitStack()
        self._count = 0
        self._last: Mapping[str, Any] | None = claim.checkpoint
        self._hashes: dict[str, str] = {}

    def __enter__(self) -> Carrier:
        folder = self._work / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f".{self._claim.stage_id}").write_text(str(self._claim.fence))
        # What is under way is waited for, however long: the next holder of the lease goes on from it.
        self._held.enter_context(self._loop.beside(patience_s=None))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
        if kind is not None and issubclass(
            kind, Exception
        ):  # put down or failed: the last one is worth keeping
            self.store_now()

    def store_now(self) -> None:
        """Store the checkpoints that stand now, if they are others than the last; never raises."""
        try:
            self._store_them()
        except Exception:  # the stage has ended in its own way, which is to be told
            log.warning("a checkpoint of %s was not stored", self._claim.stage_id, exc_info=True)

    def _store_them(self) -> None:
        picture = self._work / f".carry-{self._claim.fence}"
        shutil.rmtree(picture, ignore_errors=True)
        try:
            names = _link(self._work / FOLDER, picture)
            hashes = {name: file_digest(picture / name)[1] for name in names}
            if not hashes or hashes == self._hashes:
                return
            self._count += 1
            base = checkpoints_of(self._claim.scope, self._claim.stage_id)
            prefix = f"{base}/{self._claim.fence}-{self._count}"
            stored = [(name, self._store.put_file(f"{prefix}/{name}", picture / name)) for name in names]
            files = [{"name": name, "size": each.size, "sha256": each.sha256} for name, each in stored]
            checkpoint = {"prefix": prefix, "files": files}
            with self._database.write() as session:
                standing = LeaseRepository(session).set_checkpoint(self._claim, checkpoint)
            self._hear(standing)
            if standing is Standing.LOST:
                self._store.delete_prefix(prefix)
                return
            if self._last is not None:
                self._store.delete_prefix(self._last["prefix"])
            self._last, self._hashes = checkpoint, hashes
        finally:
            shutil.rmtree(picture, ignore_errors=True)


def _link(folder: Path, picture: Path) -> list[str]:
    """Hard links to every whole file of a folder; names relative to it."""
    names = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if (
            not path.is_file()
            or any(part.startswith(".") for part in relative.parts)
            or path.suffix == ".tmp"
        ):
            continue
        target = picture / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target)
        except FileNotFoundError:  # replaced or removed this moment
            continue
        names.append(relative.as_posix())
    return names
