"""Threads for one kind of work, apart from those that answer everybody else: a few slow transfers hold up nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

_Result = TypeVar("_Result")


class Threads:
    """At most so many threads at once, in each event loop.

    Args:
        name: what they do; another for each kind of work.
        count: 1 or more.
    """

    def __init__(self, name: str, count: int) -> None:
        self._limiter: RunVar[CapacityLimiter] = RunVar(name)
        self._count = count

    async def run(self, call: Callable[[], _Result]) -> _Result:
        """The call's result, once there was a thread for it."""
        try:
            limit = self._limiter.get()
        except LookupError:
            self._limiter.set(limit := CapacityLimiter(self._count))
        return await to_thread.run_sync(call, limiter=limit)
