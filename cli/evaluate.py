"""``likeness evaluate CLIP``: the held-out protocol, its table, its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.outputs import Output
from cli.personalize import Preset
from cli.reading_options import AudioTrackOption, RotateOption, Turn
from cli.terminal import JsonOption, long_command, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    clip: Annotated[
        Path, typer.Argument(help="A video of one person who speaks; longer than the training part.")
    ],
    train_frames: Annotated[
        int, typer.Option(help="Learn from the first N frames (25 a second); the rest is held out.")
    ] = 300,
    preset: Annotated[
        Preset, typer.Option(help="preview: minutes on a CPU; standard and best want a GPU.")
    ] = Preset.preview,
    seed: Annotated[int, typer.Option(help="The same seed gives the same person.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for results; finished stages in it are reused.",
            show_default="CLIP.evaluation",
        ),
    ] = None,
    audio_track: AudioTrackOption = None,
    rotate: RotateOption = Turn.none,
    as_json: JsonOption = False,
) -> None:
    """Learn a person from the first frames of CLIP, generate the rest, and compare it with the real rest.

    Prints a table (reenact: driven by the real frames' motion; dub: by their sound; ceiling: the real frames
    encoded again; replay: training frames shown instead) and writes evaluation.json, side_by_side.mp4 and
    sheet.png.
    """
    folder = out if out is not None else Path(f"{clip.stem}.evaluation")
    resume = (
        "run the same command again: finished stages are kept and training goes on from its last checkpoint."
    )
    outputs = [Output(folder, folder=True)]
    with long_command(as_json=as_json, resume=resume, inputs=[clip], outputs=outputs) as progress:
        from workers.stages import evaluate as stage

        result = stage.run(
            clip,
            folder,
            train_frames=train_frames,
            preset=preset.value,
            seed=seed,
            device=device,
            audio_track=audio_track,
            rotate=int(rotate),
            progress=progress,
        )
        if not as_json:
            _print_table(result)
            _print_findings(stage.heard(folder))
            print(f"{folder / 'evaluation.json'}  {folder / 'sheet.png'}  {folder / 'side_by_side.mp4'}")
    if as_json:
        print_json({**result, **stage.heard(folder)})


def _print_table(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from evaluation.metrics import METRICS

    columns = ("reenact", "dub", "ceiling", "replay")
    table = Table("metric", *columns, "unit", "meaning")
    for column in table.columns[1:5]:
        column.justify = "right"
    for metric in METRICS:
        values = (metric.text(result[name][metric.key]) for name in columns)
        table.add_row(metric.key, *values, metric.unit, metric.meaning)
    console = Console(highlight=False)
    console.print(table)
    seconds = ", ".join(f"{stage} {value:.0f}" for stage, value in result["seconds"].items())
    console.print(f"seconds: {seconds}; peak memory {result['peak_rss_mb']:.0f} MiB")


def _print_findings(heard: Mapping[str, Any]) -> None:
    for finding in heard.get("findings", ()):
        print(f"{finding['severity']}: {finding['message']}")
        print(f"         {finding['remedy']}")
