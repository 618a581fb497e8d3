"""``likeness inspect CLIP``: look at a clip and say whether a person can be learned from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.reading_options import AudioTrackOption, RotateOption, Turn
from cli.remote import ServerOption, remote_command
from cli.terminal import JsonOption, long_command, print_json

EXIT_NOT_TRAINABLE = 1
_MARKS = {"error": "[bold red]error[/]  ", "warning": "[yellow]warning[/]", "hint": "[cyan]hint[/]   "}


def register(app: typer.Typer) -> None:
    """Add the command to the ``likeness`` application."""
    app.command("inspect")(inspect)


def inspect(
    clip: Annotated[Path, typer.Argument(help="The video in which the person speaks.", metavar="CLIP")],
    audio_track: AudioTrackOption = None,
    rotate: RotateOption = Turn.none,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a clip for some seconds: format, face, sound, and whether it can be trained on.

    The exit code is 0 when it can, 1 when it can't, 3 when the file can't be read at all.
    """
    if server is not None:
        with remote_command(server, as_json=as_json, inputs=[clip]) as work:
            report = work.inspect(clip, audio_track, int(rotate)).report or {}
    else:
        with long_command(as_json=as_json, inputs=[clip]) as progress:
            from workers.inspection import inspect as look

            report = look(clip, audio_track=audio_track, rotate=int(rotate), progress=progress).as_dict()
    if as_json:
        print_json(report)
    else:
        _show(Console(highlight=False, soft_wrap=True), report)
    if not report["trainable"]:
        raise typer.Exit(EXIT_NOT_TRAINABLE)


def _show(console: Console, report: dict[str, Any]) -> None:
    """``report`` is :meth:`fitting.inspect.Inspection.as_dict`, from here or from a service."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in _rows(report):
        table.add_row(name, escape(value))
    console.print(f"[bold]{escape(report.get('name', ''))}[/]")
    console.print(table)
    for finding in report["findings"]:
        mark = _MARKS[finding["severity"]]
        console.print(f"{mark} {escape(finding['message'])}{escape(_frames(finding['frames']))}")
        console.print(f"        {escape(finding['remedy'])}", style="dim")
    verdict = "[bold green]trainable[/]" if report["trainable"] else "[bold red]not trainable[/]"
    console.print(f"verdict: {verdict}")


def _rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    media, face, sound = report.get("media"), report.get("face"), report.get("sound")
    rows: list[tuple[str, str]] = []
    if media is not None:
        rows += _media_rows(media)
    if sound is not None:
        level = f"level {_number(sound['level_dbfs'])}, peak {_number(sound['peak_dbfs'])} dBFS"
        rows.append(("", f"{level}, SNR {_number(sound['snr_db'])} dB"))
    if face is not None:
        rows += _face_rows(face, len(report["sampled"]))
    if report.get("voice") is not None:
        rows.append(("voice", _voice_row(report["voice"])))
    if "frames" in report:
        rows.append(("frames", f"{report['frames']} at 25 fps"))
    return rows


def _voice_row(voice: dict[str, Any]) -> str:
    if voice["verdict"] == "unheard":
        return f"heard for {voice['voiced_s']:.1f} s; too little beside the face to compare with the lips"
    late = voice["sound_late_ms"]
    when = f"{late} ms late" if late > 0 else f"{-late} ms early"
    # Of a voice that fits nowhere, the lag at which it fits best means nothing.
    lag = f", sound {when}" if voice["verdict"] in ("together", "shifted") else ""
    return (
        f"lips follow it with correlation {voice['correlation']:.2f}, {voice['z']:.1f} standard deviations beyond "
        f"chance{lag}"
    )


def _media_rows(media: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("container", f"{media['container']}, {media['duration_s']:.1f} s")]
    video, audio = media["video"], media["audio"]
    if video is not None:
        kind = "variable" if video["variable_fps"] else "constant"
        turn = f", turned by {video['rotation_deg']} degrees" if video["rotation_deg"] else ""
        size = f"{video['width']}x{video['height']}"
        rows.append(("video", f"{video['codec']}, {size}{turn}, {video['fps']:g} fps ({kind})"))
    if audio is not None:
        rows.append(("sound", f"{audio['codec']}, {audio['sample_rate']} Hz, {audio['channels']} channels"))
    return rows


def _face_rows(face: dict[str, Any], looked_at: int) -> list[tuple[str, str]]:
    (width, height), (left, right), (down, up) = face["box_px"], face["yaw_deg"], face["pitch_deg"]
    return [
        ("face", f"in {face['share']:.0%} of {looked_at} frames looked at"),
        ("", f"{width:.0f}x{height:.0f} px, {face['iod_px']:.0f} px between eye corners"),
        ("", f"sharpness {face['sharpness']:.2f}, brightness {face['brightness']:.0f} of 255"),
        ("yaw", f"{left:+.0f} to {right:+.0f} degrees"),
        ("pitch", f"{down:+.0f} to {up:+.0f} degrees"),
        ("mouth", f"open in {face['mouth_open']:.0%} of them, at its widest by {face['mouth_widest']:.2f}"),
        ("blinks", f"{face['blinks']} seen"),
        ("light", f"jumps by up to {face['light_step']:.2f}, drifts by {face['light_drift']:.2f} stops"),
        (
            "faults",
            f"covered {face['covered']:.0%}, moving {face['motion_blur']:.0%}, soft {face['soft']:.0%}",
        ),
    ]


def _number(value: float | None) -> str:
    """JSON has no infinity: the level of silence is none."""
    return "none" if value is None else f"{value:.0f}"


def _frames(frames: list[int]) -> str:
    if not frames:
        return ""
    shown = ", ".join(str(frame) for frame in frames[:12])
    return f" (frames {shown}{', ...' if len(frames) > 12 else ''})"
