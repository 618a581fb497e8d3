"""The option of every command that takes sound from a file: which of its tracks."""

from __future__ import annotations

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
