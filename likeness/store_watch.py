"""Whether the object store can be used, as one process sees it: asked beside the requests, never by one.

A store that is away takes a minute to say so, for which nobody who asks whether the service is ready should wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from likeness.loops import Board, Loop
from likeness.store import ObjectStore

_LOOK_EVERY_S = 10.0
_TURN_S = 60.0
_PATIENCE_S = 0.5
_NAME = "store"


class StoreWatch:
    """Prepares the store as soon as it is there, and asks for it now and then from then on."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self._board = store, Board()
        self._loop = Loop(
            _NAME,
            self._look,
            pause_s=_LOOK_EVERY_S,
            longest_pause_s=_LOOK_EVERY_S,
            turn_s=_TURN_S,
            board=self._board,
        )
        self._prepared = False
        self._looked = threading.Event()

    def _look(self) -> None:
        try:
            if self._prepared:
                self._store.ping()
            else:
                self._store.prepare()
                self._prepared = True
        finally:
            self._looked.set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look now and then while the block runs; one that answers at once is known when it begins."""
        with self._loop.beside(patience_s=_PATIENCE_S):
            self._looked.wait(_PATIENCE_S)
            yield

    def fault(self) -> str:
        """Why the store can't be used, as of the last look; empty when it can. Looks by itself if nobody else does."""
        loop = self._board.read().get(_NAME)
        if loop is None:
            self._loop.turn()
            return self._loop.fault
        if not self._looked.is_set():
            return "it has not answered yet"
        if loop["failing_s"] is not None:
            return f"{loop['fault']}, for {loop['failing_s']:.0f} s"
        late = loop["turned_s"] > loop["within_s"]
        return f"it has not answered for {loop['turned_s']:.0f} s" if late else ""
