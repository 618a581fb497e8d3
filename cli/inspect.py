"""``likeness inspect CLIP``: look at a clip and say whether a person can be learned from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.terminal import JsonOption, long_command, print_json

if TYPE_CHECKING:
    from fitting.inspect import Finding, Inspection

EXIT_NOT_TRAINABLE = 1
_MARKS = {"error": "[bold red]error[/]  ", "warning": "[yellow]warning[/]", "hint": "[cyan]hint[/]   "}


def register(app: typer.Typer) -> None:
    """Add the command to the ``likeness`` application."""
    app.command("inspect")(inspect)


def inspect(
    clip: Annotated[Path, typer.Argument(help="The video in which the person speaks.", metavar="CLIP")],
    as_json: JsonOption = False,
) -> None:
    """Look at a clip for some seconds: format, face, sound, and whether it can be trained on.

    The exit code is 0 when it can, 1 when it can't, 3 when the file can't be read at all.
    """
    with long_command(as_json=as_json) as progress:
        from fitting.inspect import inspect_clip

        inspection = inspect_clip(clip, progress=progress)
    if as_json:
        print_json(inspection.as_dict())
    else:
        _show(Console(highlight=False, soft_wrap=True), inspection)
    if not inspection.trainable:
        raise typer.Exit(EXIT_NOT_TRAINABLE)


def _show(console: Console, inspection: Inspection) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in _rows(inspection):
        table.add_row(name, escape(value))
    console.print(f"[bold]{escape(inspection.name)}[/]")
    console.print(table)
    for finding in inspection.findings:
        mark = _MARKS[finding.severity]
        console.print(f"{mark} {escape(finding.message)}{escape(_frames(finding))}")
        console.print(f"        {escape(finding.remedy)}", style="dim")
    verdict = "[bold green]trainable[/]" if inspection.trainable else "[bold red]not trainable[/]"
    console.print(f"verdict: {verdict}")


def _rows(inspection: Inspection) -> list[tuple[str, str]]:
    media, face, sound = inspection.media, inspection.face, inspection.sound
    rows = [("container", f"{media.container}, {media.duration_s:.1f} s")]
    if media.video is not None:
        video = media.video
        kind = "variable" if video.variable_fps else "constant"
        turn = f", turned by {video.rotation_deg} degrees" if video.rotation_deg else ""
        rows.append(
            ("video", f"{video.codec}, {video.width}x{video.height}{turn}, {video.fps:g} fps ({kind})")
        )
    if media.audio is not None:
        audio = media.audio
        rows.append(("sound", f"{audio.codec}, {audio.sample_rate} Hz, {audio.channels} channels"))
    if sound is not None:
        rows.append(
            (
                "",
                f"level {sound.level_dbfs:.0f}, peak {sound.peak_dbfs:.0f} dBFS, SNR {sound.snr_db:.0f} dB",
            )
        )
    if face is not None:
        rows += [
            ("face", f"in {face.share:.0%} of {len(inspection.sampled)} frames looked at"),
            (
                "",
                f"{face.box_px[0]:.0f}x{face.box_px[1]:.0f} px, {face.iod_px:.0f} px between eye corners",
            ),
            ("", f"sharpness {face.sharpness:.2f}, brightness {face.brightness:.0f} of 255"),
            ("yaw", f"{face.yaw_deg[0]:+.0f} to {face.yaw_deg[1]:+.0f} degrees"),
            ("pitch", f"{face.pitch_deg[0]:+.0f} to {face.pitch_deg[1]:+.0f} degrees"),
            ("mouth", f"open in {face.mouth_open:.0%} of them, at its widest by {face.mouth_widest:.2f}"),
            ("blinks", f"{face.blinks} seen"),
            ("light", f"jumps by up to {face.light_step:.2f}, drifts by {face.light_drift:.2f} stops"),
            ("faults", f"covered {face.covered:.0%}, moving {face.motion_blur:.0%}, soft {face.soft:.0%}"),
        ]
    rows.append(("frames", f"{inspection.frames} at 25 fps"))
    return rows


def _frames(finding: Finding) -> str:
    if not finding.frames:
        return ""
    shown = ", ".join(str(frame) for frame in finding.frames[:12])
    return f" (frames {shown}{', ...' if len(finding.frames) > 12 else ''})"
