"""``likeness dub PERSON RECORDING -o OUT.mp4``: make a person say a recording."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

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
from cli.remote import ServerOption, remote_command
from cli.terminal import JsonOption, file_size, long_command, print_json, seconds_of

if TYPE_CHECKING:
    from workers.mark import Mark

_Container = Literal["mp4", "webm", "mov"]
_CONTAINERS: tuple[_Container, ...] = get_args(_Container)
UNMARKED = (
    "warning: this video will not say that it was made. Article 50 of the EU AI Act wants made videos marked so that "
    "machines can tell, and people told that they see one; both are now yours to do."
)
UNKEPT = (
    "warning: your own folder for settings can't be written, so the key that signs this video is made for it alone. "
    "Set HOME or XDG_CONFIG_HOME to a folder that you may write, or LIKENESS_C2PA_CERTIFICATE and LIKENESS_C2PA_KEY."
)


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
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The video to write: .mp4 (for everything), .webm (for the web) or .mov (ProRes, for editors); "
            "--output alpha needs one of the last two.",
        ),
    ],
    pose: PoseOption = Pose.learned,
    pose_video: PoseVideoOption = None,
    expression_video: ExpressionVideoOption = None,
    face: FaceOption = None,
    length_mismatch: LengthMismatchOption = Mismatch.bounce,
    audio_track: AudioTrackOption = None,
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
            help="The whole frame, a square round the face, or what was drawn on nothing, with transparency."
        ),
    ] = Shown.frame,
    height: Annotated[
        int | None,
        typer.Option(min=64, max=2160, help="Lines; the width follows.", show_default="the clip's"),
    ] = None,
    fps: Annotated[
        float, typer.Option(min=10, max=60, help="Frames a second, each drawn at its own moment.")
    ] = 25.0,
    crf: Annotated[
        int, typer.Option(min=10, max=35, help="Quality of mp4 and webm: 10 (best) to 35 (smallest).")
    ] = 18,
    no_provenance: Annotated[
        bool, typer.Option("--no-provenance", help="Write neither the watermark nor the C2PA manifest.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: SeedOption = 0,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a video of PERSON saying RECORDING, as long as it and as large as the clip unless told otherwise.

    The video says that it was made: a number in its pixels and a signed C2PA manifest (docs/provenance.md). Certificate
    and key are LIKENESS_C2PA_CERTIFICATE and LIKENESS_C2PA_KEY, or made once for you in ~/.config/likeness.
    """
    place = check_pose(pose, pose_video, expression_video, length_mismatch, face)
    kind = _container(out, output)
    if no_provenance and server is not None:
        raise typer.BadParameter("--no-provenance does not go with --server: a service marks every video")
    if no_provenance:
        print(UNMARKED, file=sys.stderr)
    started = time.monotonic()
    outputs = [Output(out)]
    inputs = [person, recording, pose_video, expression_video]
    if server is not None:
        with remote_command(server, as_json=as_json, inputs=inputs, outputs=outputs) as work:
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
                    "length_mismatch": length_mismatch.value,
                    **({"face": {"x": place[0], "y": place[1]}} if place else {}),
                },
                audio_track=audio_track,
                pose_video=pose_video,
                expression_video=expression_video,
                output={
                    "picture": output.value,
                    "format": kind,
                    "height": height,
                    "fps": fps,
                    "crf": crf,
                },
                preset=preset.value if preset else None,
            )
        ids = {"video_id": video.id, "person_id": video.person_id, "sha256": video.sha256}
        _say(out, started, as_json, {"pose": pose.value, **ids})
        return
    with long_command(
        as_json=as_json, resume="run the same command again.", inputs=inputs, outputs=outputs
    ) as progress:
        from media.encode import Encoding
        from motion.predict import MotionControls
        from provenance.manifest import can_sign
        from workers.stages import dub as stage

        mark = None if no_provenance else _mark()
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
            encoding=Encoding(kind, height, fps, crf),
            length_mismatch=length_mismatch.value,
            audio_track=audio_track,
            face=place,
            seed=seed,
            device=device,
            mark=mark,
            progress=progress,
        )
    signed = mark is not None and can_sign(out)
    marks = {"watermark": f"{mark.number:012x}" if mark else None, "c2pa": signed}
    facts = {"pose": pose.value, "frames": frames, **marks}
    _say(out, started, as_json, facts, said=_said(mark, signed=signed) if mark else "")


def _container(out: Path, output: Shown) -> _Container:
    """What the file's name says."""
    for kind in _CONTAINERS:
        if out.suffix.lower() == f".{kind}" and (kind != "mp4" or output is not Shown.alpha):
            return kind
    kinds = [f".{kind}" for kind in _CONTAINERS if kind != "mp4" or output is not Shown.alpha]
    raise typer.BadParameter(
        f"--out must end in {' or '.join(kinds)} with --output {output.value}, not {out.name}"
    )


def _say(out: Path, started: float, as_json: bool, facts: dict[str, Any], said: str = "") -> None:
    seconds = seconds_of(started)
    if as_json:
        print_json({"video": str(out), "bytes": out.stat().st_size, **facts, "seconds": seconds})
        return
    print(f"{out}  ({file_size(out)}, {seconds:.0f} s)")
    if said:
        print(said)


def _mark() -> Mark:
    from likeness.ids import new_id
    from likeness.settings import Settings
    from workers.mark import Mark, credentials_of_user

    credentials, kept = credentials_of_user(Settings.load())
    if not kept:
        print(UNKEPT, file=sys.stderr)
    return Mark(new_id("vid"), credentials)


def _said(mark: Mark, *, signed: bool) -> str:
    """One line on what was written."""
    if not signed:
        return f"watermark {mark.number:012x}; a webm can hold no C2PA manifest"
    return f"watermark {mark.number:012x}; C2PA manifest signed by {mark.credentials.organisation}"
