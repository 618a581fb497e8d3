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


class Mismatch(StrEnum):
    """What happens where sound and motion differ in length; ``workers.driving.MISMATCHES``."""

    bounce = "bounce"
    loop = "loop"
    hold = "hold"
    cut = "cut"
    silence = "silence"


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
FaceOption = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y",
        help="With --pose-video: whose head, where it shows several people, as a place in the first frame with a face: "
        "0 to 1 from the left and the top.",
    ),
]
LengthMismatchOption = Annotated[
    Mismatch,
    typer.Option(
        help="With --pose clip or reference, when that motion and the recording are not equally long. A longer "
        "recording: the motion goes forth and back, loops, or holds. cut: end with the shorter; silence: with the "
        "longer."
    ),
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


def check_pose(
    pose: Pose,
    pose_video: Path | None,
    expression_video: Path | None,
    length_mismatch: Mismatch,
    face: str | None,
) -> tuple[float, float] | None:
    """Refuse a mode without its video, and options without their mode; returns the place of the face."""
    if pose is Pose.reference and pose_video is None:
        raise typer.BadParameter("--pose reference needs --pose-video FILE")
    if pose is not Pose.reference and pose_video is not None:
        raise typer.BadParameter("--pose-video is only used with --pose reference")
    if expression_video is not None and pose is not Pose.reference:
        raise typer.BadParameter("--expression-video needs --pose reference and --pose-video FILE")
    if length_mismatch is not Mismatch.bounce and pose not in (Pose.clip, Pose.reference):
        raise typer.BadParameter(
            "--length-mismatch needs --pose clip or reference: other motion fits the sound"
        )
    if face is None:
        return None
    if pose is not Pose.reference:
        raise typer.BadParameter("--face needs --pose reference and --pose-video FILE")
    try:
        x, y = (float(part) for part in face.split(","))
    except ValueError:
        x = y = -1.0
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise typer.BadParameter(f"--face takes two numbers from 0 to 1, such as 0.25,0.4, not {face!r}")
    return x, y
