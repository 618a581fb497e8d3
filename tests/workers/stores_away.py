"""A store of files that is away when it is told to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from likeness.refusals import StoreUnavailable
from likeness.settings import Settings
from likeness.store import LocalStore, StoredObject


class AwayStore(LocalStore):
    def __init__(self, settings: Settings, *, away: bool = True) -> None:
        super().__init__(settings.objects_dir)
        self.away, self.prepared = away, 0

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("the object store did not answer", remedy="check that it runs")

    def prepare(self) -> None:
        self._answer()
        super().prepare()
        self.prepared += 1

    def ping(self) -> None:
        self._answer()
        super().ping()

    def put_file(self, key: str, source: Path, *, move: bool = False) -> StoredObject:
        self._answer()
        return super().put_file(key, source, move=move)

    def keys(self, prefix: str = "") -> Iterator[str]:
        self._answer()
        return super().keys(prefix)

    def delete_prefix(self, prefix: str) -> int:
        self._answer()
        return super().delete_prefix(prefix)
