"""How a clip is to be read, where its own file does not say so rightly: the fields that several forms share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.dashboard.forms import parsed
from api.schemas import TrainingIn
from problems import InvalidParameter

ACCEPTABLE = ("lips_strange",)
"""Errors of an inspection that whoever trains may know better than."""


def training_of(fields: Mapping[str, str], upload_id: str, preset: str) -> TrainingIn:
    """The request for a training that a form stands for.

    Raises:
        InvalidParameter: a field is out of its range.
    """
    asked: dict[str, Any] = {"upload_id": upload_id, "preset": preset, **reading_of(fields)}
    if fields.get("accept"):
        asked["accept"] = [fields["accept"]]
    return parsed(TrainingIn, asked)


def reading_of(fields: Mapping[str, str]) -> dict[str, int]:
    """Sound track and turn, where they were chosen."""
    chosen = {}
    for name in ("audio_track", "rotate"):
        if fields.get(name):
            try:
                chosen[name] = int(fields[name])
            except ValueError as error:
                raise InvalidParameter(
                    f"{fields[name][:40]!r} is no whole number",
                    remedy="choose one, or leave the field empty",
                    details={"field": name},
                ) from error
    return chosen
