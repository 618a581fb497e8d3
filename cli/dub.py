"""``likeness dub PERSON RECORDING -o OUT.mp4``: make a person say a recording."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.motion_options import HeadStrengthOption, LipStrengthOption, Pose, SeedOption, SmoothingOption
from cli.remote import ServerOption, remote_command
from cli.terminal import JsonOption, file_size, long_command, print_json, seconds_of


class DubPreset(StrEnum):
    """Ways to draw a person that need nothing learnt beside the layers."""

    instant = "instant"


class Shown(StrEnum):
    """What of the picture is written; ``rendering.renderer.OUTPUTS``, listed here so that --help needs no renderer."""

    frame = "frame"
    face = "face"
    alpha = "alpha"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dub")(dub)


def dub(
    person: Annotated[
        Path,
        typer.Argument(
            help="A PERSON file that `likeness personalize` wrote; with --server also a person's id (per_…)."
        ),
    ],
    recording: Annotated[Path, typer.Argument(help="What to say: a sound or video file of any length.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The mp4 to write (webm with --output alpha).")],
    pose: Annotated[
        Pose,
        typer.Option(
            help="Head motion: learned from the sound, the clip's own, none, or a reference video's (--pose-video)."
        ),
    ] = Pose.learned,
    pose_video: Annotated[
        Path | None, typer.Option(help="With --pose reference: the video whose head motion is taken.")
    ] = None,
    expression_video: Annotated[
        Path | None,
        typer.Option(help="Take the expressions of this video too, instead of the sound's: reenactment."),
    ] = None,
    lip_strength: LipStrengthOption = 1.0,
    head_strength: HeadStrengthOption = 1.0,
    smoothing: SmoothingOption = 0.0,
    preset: Annotated[
        DubPreset | None,
        typer.Option(help="instant: layers only, without the network: faster.", show_default="PERSON's own"),
    ] = None,
    output: Annotated[
        Shown,
        typer.Option(
            help="The whole frame, a square round the face, or what was drawn on nothing: a webm with transparency."
        ),
    ] = Shown.frame,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: SeedOption = 0,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a video of PERSON saying RECORDING, as long as the recording, at the clip's resolution."""
    if pose is Pose.reference and pose_video is None:
        raise typer.BadParameter("--pose reference needs --pose-video FILE")
    if pose is not Pose.reference and pose_video is not None:
        raise typer.BadParameter("--pose-video is only used with --pose reference")
    if expression_video is not None and pose is not Pose.reference:
        raise typer.BadParameter("--expression-video needs --pose reference and --pose-video FILE")
    started = time.monotonic()
    if server is not None:
        with remote_command(server, as_json=as_json) as work:
            video = work.dub(
                work.person_id(person),
                recording,
                out,
                pose={
                    "mode": pose.value,
                    "seed": seed,
                    "lip_strength": lip_strength,
                    "head_strength": head_strength,
                    "smoothing": smoothing,
                },
                pose_video=pose_video,
                expression_video=expression_video,
                output=output.value,
                preset=preset.value if preset else None,
            )
        ids = {"video_id": video.id, "person_id": video.person_id, "sha256": video.sha256}
        _say(out, started, as_json, {"pose": pose.value, **ids})
        return
    with long_command(as_json=as_json, resume="run the same command again.") as progress:
        from motion.predict import MotionControls
        from workers.stages import dub as stage

        frames = stage.run(
            person,
            recording,
            out,
            pose=pose.value,
            pose_video=pose_video,
            expression_video=expression_video,
            controls=MotionControls(lip_strength, head_strength, smoothing),
            preset=preset.value if preset else None,
            output=output.value,
            seed=seed,
            device=device,
            progress=progress,
        )
    _say(out, started, as_json, {"pose": pose.value, "frames": frames})


def _say(out: Path, started: float, as_json: bool, facts: dict[str, Any]) -> None:
    seconds = seconds_of(started)
    if as_json:
        print_json({"video": str(out), "bytes": out.stat().st_size, **facts, "seconds": seconds})
    else:
        print(f"{out}  ({file_size(out)}, {seconds:.0f} s)")
