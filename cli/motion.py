"""``likeness motion PERSON RECORDING``: how a person would move, without rendering a video of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from cli.motion_options import (
    ExpressionVideoOption,
    FaceOption,
    HeadStrengthOption,
    LengthMismatchOption,
    LipStrengthOption,
    Mismatch,
    Pose,
    PoseOption,
    PoseVideoOption,
    SeedOption,
    SmoothingOption,
    check_pose,
)
from cli.outputs import Output
from cli.reading_options import AudioTrackOption
from cli.terminal import JsonOption, long_command, print_json, seconds_of

WRITTEN = ("track.safetensors", "motion.png", "preview.mp4")
"""Files that the command writes in its folder."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("motion")(motion)


def motion(
    person: Annotated[Path, typer.Argument(help="A PERSON file that `likeness personalize` wrote.")],
    recording: Annotated[Path, typer.Argument(help="What to say: a sound or video file of any length.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the results.", show_default="RECORDING.motion"),
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also write motion.png: lips, head and eyes over the sound.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also write preview.mp4: the bare head model, speaking.")
    ] = False,
    pose: PoseOption = Pose.learned,
    pose_video: PoseVideoOption = None,
    expression_video: ExpressionVideoOption = None,
    face: FaceOption = None,
    length_mismatch: LengthMismatchOption = Mismatch.bounce,
    audio_track: AudioTrackOption = None,
    lip_strength: LipStrengthOption = 1.0,
    head_strength: HeadStrengthOption = 1.0,
    smoothing: SmoothingOption = 0.0,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Make PERSON's face and head for RECORDING: seconds of work, to try settings before a dub, which then moves alike.

    Writes track.safetensors, like `likeness fit`.
    """
    place = check_pose(pose, pose_video, expression_video, length_mismatch, face)
    started = time.monotonic()
    folder = out if out is not None else Path(f"{recording.stem}.motion")
    with long_command(
        as_json=as_json,
        resume="run the same command again.",
        inputs=[person, recording, pose_video, expression_video],
        outputs=[Output(folder, folder=True, names=WRITTEN)],
    ) as progress:
        from motion.predict import MotionControls
        from workers.stages import speak

        figures = speak.run(
            person,
            recording,
            folder,
            pose=pose.value,
            pose_video=pose_video,
            expression_video=expression_video,
            face=place,
            length_mismatch=length_mismatch.value,
            audio_track=audio_track,
            seed=seed,
            controls=MotionControls(lip_strength, head_strength, smoothing),
            plot=plot,
            preview=preview,
            progress=progress,
        )
    wanted = {"track.safetensors": True, "motion.png": plot, "preview.mp4": preview}
    files = [str(folder / name) for name, made in wanted.items() if made]
    if as_json:
        print_json({**figures, "seconds": seconds_of(started), "files": files})
    else:
        for file in files:
            print(file)
        opening, turn = figures["lip_opening"], figures["head_std_deg"]
        print(
            f"{figures['frames']} frames, {100 * figures['speech_share']:.0f} % speech; "
            f"lips open {opening['mean']:.3f} (spread {opening['std']:.3f}) of the eyes' distance; "
            f"head turns by {turn[0]:.1f}, {turn[1]:.1f}, {turn[2]:.1f} degrees (pitch, yaw, roll)"
        )
