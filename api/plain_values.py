"""Values that no part of the service can keep: refused in one place, before a route sees the request.

Postgres keeps no NUL character, nothing encodes half of a surrogate pair, and neither database keeps a whole number
beyond 64 bits or a number that is none. Without this each of them would be found wherever it is used first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

from problems import InvalidParameter, NotFound

_DEEPEST = 64
_NUMBERS = 2**63
_FORM = "application/x-www-form-urlencoded"


def require_plain_address(path: str, query: bytes) -> None:
    """Refuse a path or a query with NUL characters.

    Raises:
        NotFound: nothing has such a path.
        InvalidParameter: a parameter of the query; ``details.field`` names it.
    """
    if "\0" in path:
        raise NotFound(f"there is nothing at {path!r}", remedy="see /openapi.json for every path")
    if b"%00" in query or b"\0" in query:
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=1000):
            if "\0" in name or "\0" in value:
                raise _no_nul(name.replace("\0", ""))


def require_plain_body(headers: Mapping[str, str], body: bytes) -> None:
    """Refuse a body with values that can't be kept; one that is no JSON and no form is left to its route.

    Raises:
        InvalidParameter: ``details.field`` names where.
    """
    if not body:
        return
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == _FORM:
        if b"%00" in body or b"\0" in body:
            for name, value in parse_qsl(body.decode("latin-1"), keep_blank_values=True):
                if "\0" in name or "\0" in value:
                    raise _no_nul(name.replace("\0", ""))
    elif kind.startswith("multipart/"):
        if b"\0" in body:
            raise _no_nul("")
    else:
        try:
            found = json.loads(body)
        except RecursionError:
            raise _unfit("", "is nested too deeply", "send flatter JSON") from None
        except ValueError as error:
            if "integer string conversion" in str(error):
                raise _too_large("") from None
            return  # whoever reads it says what is wrong with it
        for field, value in _leaves(found):
            _require_plain(field, value)


def _require_plain(field: str, value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise _no_nul(field)
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise _unfit(field, "has half of a surrogate pair, which is no character", "send valid Unicode")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _unfit(field, "is no finite number", "send a number that a double can hold")
    elif isinstance(value, int) and not -_NUMBERS <= value < _NUMBERS:
        raise _too_large(field)


def _leaves(value: Any, field: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Each value with the way to it, names of objects' members among them."""
    if depth > _DEEPEST:
        raise _unfit(field, "is nested too deeply", "send flatter JSON")
    if isinstance(value, dict):
        for name, item in value.items():
            way = f"{field}.{name}" if field else name
            shown = way.replace("\0", "").encode("utf-8", "replace").decode()[:200]
            yield shown, name
            yield from _leaves(item, shown, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{field}.{number}" if field else str(number), depth + 1)
    else:
        yield field, value


def _no_nul(field: str) -> InvalidParameter:
    return _unfit(field, "has a NUL character", "send text without it")


def _too_large(field: str) -> InvalidParameter:
    return _unfit(field, "is a whole number beyond 64 bits", "send a smaller number")


def _unfit(field: str, what: str, remedy: str) -> InvalidParameter:
    return InvalidParameter(f"{field or 'the body'} {what}", remedy=remedy, details={"field": field})
