"""Looking at something again and again until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from .errors import ApiProblem
from .transport import Transport

POLL_S = 1.0
"""Between two looks."""
FETCH_S = 330.0
"""The service gives up fetching a file from an address after 300 s."""
Looked = TypeVar("Looked")


def wait_until(
    transport: Transport,
    look: Callable[[], Looked],
    ended: Callable[[Looked], bool],
    what: str,
    *,
    timeout_s: float | None,
    poll_s: float,
    progress: Callable[[Looked], None] | None = None,
) -> Looked:
    """What ``look`` found once it had ``ended``; ``progress`` gets what it found each time.

    Raises:
        ApiProblem: ``still_running`` when ``timeout_s`` is over.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        found = look()
        if progress is not None:
            progress(found)
        if ended(found):
            return found
        if deadline is not None and time.monotonic() + poll_s > deadline:
            raise ApiProblem(
                f"the {what} has not ended after {timeout_s:g} s",
                remedy="wait longer; it goes on by itself",
                code="still_running",
                title="It has not ended yet",
                status=408,
                retryable=True,
            )
        transport.sleep(poll_s)
