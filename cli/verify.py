"""``likeness verify VIDEO``: where does this video come from?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import JsonOption, long_command, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    video: Annotated[Path, typer.Argument(help="Any video file.")],
    trust: Annotated[
        Path | None,
        typer.Option(help="PEM certificates of authorities to trust.", show_default="nobody is trusted"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read a video's two marks: the signed C2PA manifest in the file, and the number in the pixels.

    The exit code is 0 when at least one was found, 1 when there is none.
    """
    with long_command(as_json=as_json, inputs=[video, trust]) as progress:
        from workers.stages import verify as stage

        anchors = _certificates(trust) if trust is not None else None
        report = stage.run(video, anchors=anchors, progress=progress)
    if as_json:
        print_json(report)
    else:
        print("\n".join(_lines(report)))
    if report["c2pa"] is None and not report["watermark"]["found"]:
        raise typer.Exit(1)


def _certificates(path: Path) -> str:
    from problems import InvalidParameter

    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(
            f"{path} can't be read", remedy="give a PEM file with --trust", details={"field": "trust"}
        ) from error


def _lines(report: dict[str, Any]) -> list[str]:
    signed, mark = report["c2pa"], report["watermark"]
    lines = ["C2PA       none"]
    if signed is not None:
        state = (
            "unchanged since it was signed" if signed["valid"] else "CHANGED or damaged since it was signed"
        )
        known = "trusted" if signed["trusted"] else "untrusted"
        lines = [
            f"C2PA       {state}; signed by {signed['signer']} ({known})",
            f"           {signed['title']}, made by {signed['generator']}",
        ]
        lines += [f"           {name}: {value}" for name, value in (signed["consent"] or {}).items()]
        lines += [f"           {each}" for each in signed["problems"]]
    if mark["found"]:
        where = ", in a cropped picture" if mark["part"] else ""
        lines.append(f"watermark  {mark['payload']} (confidence {mark['confidence']:.2f}{where})")
    else:
        lines.append(f"watermark  none in {mark['frames']} frames")
    if report["agree"] is False:
        lines.append("           the manifest names another number: it belongs to another video")
    return lines
