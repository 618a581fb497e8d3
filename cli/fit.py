"""``likeness fit CLIP``: the face of a clip as numbers, and a preview to look at."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.outputs import Output
from cli.reading_options import AudioTrackOption, RotateOption, Turn
from cli.terminal import JsonOption, long_command, print_json, seconds_of

WRITTEN = (
    "clip.mp4", "audio.wav", "inspection.json", "track.safetensors", "texture.safetensors", "preview.mp4",
    "preview.png",
)  # fmt: skip
"""Files that the command writes in its folder."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("fit")(fit)


def fit(
    clip: Annotated[Path, typer.Argument(help="A video of one person who faces the camera and speaks.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the results.", show_default="CLIP.fit"),
    ] = None,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Also write preview.mp4 and preview.png.", show_default=False),
    ] = False,
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Fit the first N frames (25 a second) only.", show_default="all"),
    ] = None,
    audio_track: AudioTrackOption = None,
    rotate: RotateOption = Turn.none,
    as_json: JsonOption = False,
) -> None:
    """Follow the face through CLIP: head pose, expression and gaze of every frame, shape and texture of the person.

    Writes track.safetensors and texture.safetensors. With --preview also preview.mp4 (landmarks and the fitted head
    over the clip) and preview.png (pose, jaw, lips, eyes, gaze and error over time).
    """
    started = time.monotonic()
    folder = out if out is not None else Path(f"{clip.stem}.fit")
    with long_command(
        as_json=as_json,
        resume="run the same command again.",
        inputs=[clip],
        outputs=[Output(folder, folder=True, names=WRITTEN)],
    ) as progress:
        from faces.track import FaceTrack
        from fitting.figures import FitFigures
        from workers.presets import PRESETS
        from workers.stages import fit as stage
        from workers.stages import validate

        validate.run(clip, folder, audio_track=audio_track, rotate=int(rotate), progress=progress)
        # The smallest preset that takes in so many frames; none of them, the largest.
        fitting = [name for name, preset in PRESETS.items() if frames is not None and frames <= preset.frames]
        stage.run(folder, frames=frames, preset=(fitting or ["best"])[0], seed=0, progress=progress)
        track = FaceTrack.load(folder / "track.safetensors")
        figures = FitFigures.of(track)
        files = [folder / "track.safetensors", folder / "texture.safetensors"]
        if preview:
            from fitting.plot import encode_png, plot_track
            from fitting.preview import write_preview
            from media.atomic import replacing
            from media.decode import read_frames

            sound = folder / validate.AUDIO
            write_preview(
                read_frames(folder / validate.VIDEO, fps=track.fps, stop=len(track)),
                track,
                figures,
                folder / "preview.mp4",
                sound=sound if sound.is_file() else None,
                progress=progress,
            )
            with replacing(folder / "preview.png") as part:
                part.write_bytes(encode_png(plot_track(track, figures, clip.name)))
            files += [folder / "preview.mp4", folder / "preview.png"]
    result = {
        **figures.summary(),
        "seconds": seconds_of(started),
        "files": [str(file) for file in files],
    }
    if as_json:
        print_json(result)
    else:
        _show(result)


def _show(result: Mapping[str, Any]) -> None:
    errors = result["errors"]
    print(
        f"{result['frames_with_face']} of {result['frames']} frames with a face, {result['blinks']} blinks, "
        f"{result['seconds']:.0f} s"
    )
    print(
        "landmarks off by "
        + ", ".join(f"{name} {value['median']:.2f}" for name, value in errors.items())
        + " % of the inter-ocular distance (medians)"
    )
    print(
        f"lip gap r {result['lip_gap_r']:.3f}, eye opening r {result['eye_r']:.3f} (fitted against observed)"
    )
    print("  ".join(result["files"]))
