"""``likeness personalize CLIP -o PERSON``: learn a person from one clip."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal import JsonOption, file_size, long_command, print_json, seconds_of


class Preset(StrEnum):
    """How much work is put into a person."""

    instant = "instant"
    preview = "preview"
    standard = "standard"
    best = "best"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("personalize")(personalize)


def personalize(
    clip: Annotated[
        Path, typer.Argument(help="A video of one person who faces the camera and speaks, about 12 s.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The PERSON file to write.")],
    preset: Annotated[
        Preset,
        typer.Option(help="instant: layers only; preview: minutes on a CPU; standard, best: for a GPU."),
    ] = Preset.preview,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same person.")] = 0,
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Learn from the first N frames (25 a second) only.", show_default="all"),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for checkpoints; a second run with it goes on.", show_default="beside PERSON"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="An imported morphable model (likeness models list).", show_default="the shipped head"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Learn a person from CLIP and write one PERSON file.

    You need the consent of the person in the clip. Run the same command again after an interruption: finished stages
    are kept, and training goes on from its last checkpoint.
    """
    started = time.monotonic()
    resume = (
        "run the same command again: finished stages are kept and training goes on from its last checkpoint."
    )
    with long_command(as_json=as_json, resume=resume) as progress:
        from workers.personalize import personalize as run

        run(
            clip,
            out,
            preset=preset.value,
            seed=seed,
            device=device,
            frames=frames,
            progress=progress,
            work=work,
            model=model,
        )
    seconds = seconds_of(started)
    if as_json:
        print_json(
            {"person": str(out), "bytes": out.stat().st_size, "preset": preset.value, "seconds": seconds}
        )
    else:
        print(f"{out}  ({file_size(out)}, {seconds:.0f} s)")
        print(f"Next: likeness dub {out} RECORDING -o OUT.mp4")
