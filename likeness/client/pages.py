"""Lists: pages one after another, or all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .decoding import Answer, decode
from .transport import Transport

Item = TypeVar("Item")
_PAGE = 100


def each_of(
    transport: Transport, path: str, read: Callable[[Any], Item], query: Mapping[str, Any] | None = None
) -> Iterator[Item]:
    """Every resource of a list that has pages; a page is asked for once the one before is used up."""
    cursor: str | None = None
    while True:
        page = transport.call("GET", path, query={**(query or {}), "limit": _PAGE, "cursor": cursor})
        yield from (read(item) for item in page["data"])
        cursor = page.get("next_cursor")
        if cursor is None:
            return


def list_of(
    transport: Transport, path: str, kind: type[Answer], query: Mapping[str, Any] | None = None
) -> Sequence[Answer]:
    """A list that comes whole."""
    return [decode(kind, item) for item in transport.call("GET", path, query=query)["data"]]
