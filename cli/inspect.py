"""``likeness inspect CLIP``: look at a clip and say whether a person can be learned from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from problems import Problem
from training.progress import Tick

if TYPE_CHECKING:
    from fitting.inspect import Finding, Inspection


def register(app: typer.Typer) -> None:
    """Add the command to the ``likeness`` application."""
    app.command("inspect")(inspect)


def inspect(
    clip: Annotated[Path, typer.Argument(help="The video in which the person speaks.", metavar="CLIP")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Look at a clip for some seconds: format, face, sound, and whether it can be trained on.

    The exit code is 0 when it can, 1 when it can't.
    """
    # MediaPipe takes a second to import; `likeness --help` should not wait for it.
    from fitting.inspect import inspect_clip

    try:
        if as_json:
            inspection = inspect_clip(clip)
        else:
            bar = Progress(
                TextColumn("looking"), BarColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
            )
            with bar:
                task = bar.add_task("inspect", total=None)

                def show(tick: Tick) -> None:
                    bar.update(task, completed=tick.done, total=tick.total)

                inspection = inspect_clip(clip, progress=show)
    except Problem as problem:
        if as_json:
            typer.echo(json.dumps({"trainable": False, "problem": problem.as_dict()}))
        else:
            console = Console(stderr=True)
            console.print(f"[bold red]{problem.title}[/]: {escape(problem.message)}", highlight=False)
            console.print(f"What to do: {escape(problem.remedy)}", highlight=False)
        raise typer.Exit(1) from problem
    if as_json:
        typer.echo(json.dumps(inspection.as_dict()))
    else:
        _show(Console(), inspection)
    raise typer.Exit(0 if inspection.trainable else 1)


def _show(console: Console, inspection: Inspection) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in _rows(inspection):
        table.add_row(name, escape(value))
    console.print(f"[bold]{escape(inspection.name)}[/]", highlight=False)
    console.print(table, highlight=False)
    for finding in inspection.findings:
        error = finding.severity == "error"
        mark = "[bold red]error[/]  " if error else "[yellow]warning[/]"
        console.print(f"{mark} {escape(finding.message)}{escape(_frames(finding))}", highlight=False)
        console.print(f"        {escape(finding.remedy)}", style="dim", highlight=False)
    verdict = "[bold green]trainable[/]" if inspection.trainable else "[bold red]not trainable[/]"
    console.print(f"verdict: {verdict}", highlight=False)


def _rows(inspection: Inspection) -> list[tuple[str, str]]:
    media, face, sound = inspection.media, inspection.face, inspection.sound
    rows = [("container", f"{media.container}, {media.duration_s:.1f} s")]
    if media.video is not None:
        video = media.video
        kind = "variable" if video.variable_fps else "constant"
        turn = f", turned by {video.rotation_deg} degrees" if video.rotation_deg else ""
        rows.append(("video", f"{video.codec}, {video.width}x{video.height}{turn}, {video.fps:g} fps ({kind})"))
    if media.audio is not None:
        audio = media.audio
        rows.append(("sound", f"{audio.codec}, {audio.sample_rate} Hz, {audio.channels} channels"))
    if sound is not None:
        rows.append(
            (
                "",
                f"level {sound.level_dbfs:.0f} dBFS, peak {sound.peak_dbfs:.0f} dBFS, "
                f"{sound.snr_db:.0f} dB over the background, {sound.clipped:.1%} clipped",
            )
        )
    if face is not None:
        rows += [
            ("face", f"in {face.share:.0%} of {len(inspection.sampled)} frames looked at"),
            ("", f"{face.box_px[0]:.0f}x{face.box_px[1]:.0f} px, {face.iod_px:.0f} px between the eyes' outer corners"),
            ("", f"sharpness {face.sharpness:.2f}, brightness {face.brightness:.0f} of 255"),
            (
                "",
                f"yaw {face.yaw_deg[0]:+.0f} to {face.yaw_deg[1]:+.0f} degrees, "
                f"pitch {face.pitch_deg[0]:+.0f} to {face.pitch_deg[1]:+.0f}",
            ),
        ]
    rows.append(("frames", f"{inspection.frames} at 25 fps"))
    return rows


def _frames(finding: Finding) -> str:
    if not finding.frames:
        return ""
    shown = ", ".join(str(frame) for frame in finding.frames[:12])
    return f" (frames {shown}{', ...' if len(finding.frames) > 12 else ''})"
