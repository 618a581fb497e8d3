"""Which route a request will meet, before it meets it: its scopes are asked for before a byte of its body is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute

from likeness.accounts import Scope


@dataclass(frozen=True)
class Entry:
    """One route."""

    path: re.Pattern[str]
    methods: frozenset[str]
    permissions: tuple[tuple[Scope, ...], ...]
    """What each of its ``needs(...)`` asks for."""


class RouteTable:
    """The routes of an application, those of included routers too, in the order in which they are tried."""

    def __init__(self, routes: Any) -> None:
        self._entries = [_entry(route) for route in api_routes(routes)]

    def permissions(self, method: str, path: str) -> tuple[tuple[Scope, ...], ...]:
        """What an account needs for this request; nothing where no route takes it."""
        for entry in self._entries:
            if method in entry.methods and entry.path.match(path):
                return entry.permissions
        return ()


def api_routes(items: Any) -> Iterator[APIRoute]:
    """Every route below these, through included routers."""
    for item in items:
        if isinstance(item, APIRoute):
            yield item
        else:
            inner = getattr(item, "original_router", None) or getattr(item, "router", None)
            if inner is not None:
                yield from api_routes(inner.routes)


def _entry(route: APIRoute) -> Entry:
    asked = (getattr(depends.dependency, "likeness_scopes", None) for depends in route.dependencies)
    return Entry(
        route.path_regex, frozenset(route.methods or ()), tuple(scopes for scopes in asked if scopes)
    )
