"""JSON into frozen dataclasses, by their annotations.

A field that the service added since is ignored, and one that it does not have yet takes its default: a client and a
service of different versions understand each other as far as both know.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import ApiProblem

Answer = TypeVar("Answer")


def decode(kind: type[Answer], data: Any) -> Answer:
    """``data`` as an instance of the dataclass ``kind``.

    Raises:
        ApiProblem: ``unexpected_answer``: a field is missing or of another type.
    """
    try:
        return cast(Answer, _value(kind, data))
    except (KeyError, TypeError, ValueError) as error:
        raise ApiProblem(
            f"the answer is no {kind.__name__.lower()} as this client knows it ({error!r})",
            remedy="check that the address is that of a Likeness service, and that client and service match",
            code="unexpected_answer",
            title="The answer was not understood",
            status=502,
        ) from error


def _value(kind: Any, data: Any) -> Any:
    if kind is Any:
        return data
    if is_dataclass(kind):
        return _instance(kind, data)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if data is None:
            return None
        [inner] = [each for each in arguments if each is not types.NoneType]
        return _value(inner, data)
    if origin is tuple:
        return tuple(_value(arguments[0], item) for item in data)
    if origin is dict:
        return {str(name): _value(arguments[1], item) for name, item in data.items()}
    if kind is datetime:
        return datetime.fromisoformat(data)
    if kind is float and isinstance(data, int):
        return float(data)
    if not isinstance(data, kind):
        raise TypeError(f"{data!r} is no {kind.__name__}")
    return data


def _instance(kind: Any, data: Any) -> Any:
    if not isinstance(data, Mapping):
        raise TypeError(f"{data!r} is no object")
    hints = _hints(kind)
    given = {}
    for field in fields(kind):
        if field.name in data:
            given[field.name] = _value(hints[field.name], data[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(field.name)
    return kind(**given)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)
