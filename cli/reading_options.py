"""How a file is read: which of its sound tracks counts, and which way up its picture is."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import typer

AudioTrackOption = Annotated[
    int | None,
    typer.Option(
        "--audio-track",
        min=1,
        max=64,
        metavar="N",
        help="Which of the file's sound tracks, from 1.",
        show_default="the one with the voice",
    ),
]


class Turn(IntEnum):
    """Degrees clockwise."""

    none = 0
    right = 90
    over = 180
    left = 270


def _turn(value: str) -> Turn:
    try:
        return Turn(int(value))
    except ValueError as error:
        raise typer.BadParameter(f"turn by 0, 90, 180 or 270 degrees, not {value}") from error


RotateOption = Annotated[
    Turn,
    typer.Option(
        "--rotate",
        parser=_turn,
        metavar="0|90|180|270",
        help="Degrees clockwise to turn CLIP's picture by, beside what the file says.",
        show_default="0",
    ),
]
