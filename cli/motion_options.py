"""The options that ``likeness dub`` and ``likeness motion`` share: where the head motion comes from, and how strong."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Pose(StrEnum):
    """Where the head motion comes from."""

    learned = "learned"
    clip = "clip"
    still = "still"
    reference = "reference"


PoseOption = Annotated[
    Pose,
    typer.Option(
        help="Head motion: learned from the sound, the clip's own, none, or a reference video's (--pose-video)."
    ),
]
PoseVideoOption = Annotated[
    Path | None, typer.Option(help="With --pose reference: the video whose head motion is taken.")
]
ExpressionVideoOption = Annotated[
    Path | None,
    typer.Option(help="Take the expressions of this video too, instead of the sound's: reenactment."),
]
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


def require_videos(pose: Pose, pose_video: Path | None, expression_video: Path | None) -> None:
    """Refuse a mode without its video, and a video without its mode."""
    if pose is Pose.reference and pose_video is None:
        raise typer.BadParameter("--pose reference needs --pose-video FILE")
    if pose is not Pose.reference and pose_video is not None:
        raise typer.BadParameter("--pose-video is only used with --pose reference")
    if expression_video is not None and pose is not Pose.reference:
        raise typer.BadParameter("--expression-video needs --pose reference and --pose-video FILE")
