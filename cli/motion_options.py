"""The options that ``likeness dub`` and ``likeness motion`` share: where the head motion comes from, and how strong."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Pose(StrEnum):
    """Where the head motion comes from."""

    learned = "learned"
    clip = "clip"
    still = "still"
    reference = "reference"


LipStrengthOption = Annotated[
    float, typer.Option(min=0, max=2, help="Factor on the mouth's movement; 1 is the person's own.")
]
HeadStrengthOption = Annotated[
    float, typer.Option(min=0, max=2, help="Factor on the head's movement; 1 is the person's own.")
]
SmoothingOption = Annotated[
    float, typer.Option(min=0, max=5, help="Frames over which the mouth is smoothed; 0 is crisp.")
]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same head motion and blinks.")]
