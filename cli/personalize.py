"""``likeness personalize CLIP -o PERSON``: learn a person from one clip."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.outputs import Output
from cli.reading_options import AudioTrackOption, RotateOption, Turn
from cli.remote import ServerOption, remote_command
from cli.terminal import JsonOption, file_size, long_command, print_json, seconds_of


class Preset(StrEnum):
    """How much work is put into a person."""

    instant = "instant"
    preview = "preview"
    standard = "standard"
    best = "best"


class Accepted(StrEnum):
    """Errors of an inspection that somebody may know better than."""

    lips_strange = "lips_strange"


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
    audio_track: AudioTrackOption = None,
    rotate: RotateOption = Turn.none,
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
    accept: Annotated[
        list[Accepted] | None,
        typer.Option(help="Train although the inspection finds this error; you know better."),
    ] = None,
    server: ServerOption = None,
    consent: Annotated[
        str | None, typer.Option(help="With --server: the consent to learn on (con_…).")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="With --server, instead: the full name of the person shown.")
    ] = None,
    attest: Annotated[
        bool, typer.Option("--attest", help="With --subject: you attest that this person agreed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Learn a person from CLIP and write one PERSON file.

    You need the consent of the person in the clip; a service asks for it (--consent, or --subject and --attest). Run
    the same command again after an interruption: finished stages are kept, and training goes on from its last
    checkpoint.
    """
    started = time.monotonic()
    outputs = [Output(out, suffixes=(".likeness", ""))]
    if server is not None:
        for name, value in (("--frames", frames), ("--work", work), ("--model", model)):
            if value is not None:
                raise typer.BadParameter(f"{name} is only used without --server")
        if (consent is None) == (subject is None and not attest) or (subject is None) == attest:
            raise typer.BadParameter("--server needs --consent ID, or --subject NAME together with --attest")
        with remote_command(server, as_json=as_json, inputs=[clip], outputs=outputs) as remote:
            consent_id = remote.consent(consent, subject)
            training = remote.personalize(
                clip,
                out,
                consent_id=consent_id,
                name=subject or out.stem,
                preset=preset.value,
                seed=seed,
                audio_track=audio_track,
                rotate=int(rotate),
                accept=[code.value for code in accept or ()],
            )
        ids = {"person_id": training.person_id, "training_id": training.id}
        _say(out, preset, started, as_json, ids, training.result or {})
        return
    if consent is not None or subject is not None or attest:
        raise typer.BadParameter("--consent, --subject and --attest are only used with --server")
    resume = (
        "run the same command again: finished stages are kept and training goes on from its last checkpoint."
    )
    outputs.append(Output(work or out.with_name(f".{out.name}.work"), "work" if work else "out", folder=True))
    with long_command(as_json=as_json, resume=resume, inputs=[clip], outputs=outputs) as progress:
        from workers.personalize import personalize as run

        run(
            clip,
            out,
            preset=preset.value,
            seed=seed,
            device=device,
            frames=frames,
            audio_track=audio_track,
            rotate=int(rotate),
            progress=progress,
            work=work,
            model=model,
            accept=[code.value for code in accept or ()],
        )
        from workers.package import read_manifest

        manifest = read_manifest(out)
    _say(out, preset, started, as_json, {}, manifest)


def _say(
    out: Path, preset: Preset, started: float, as_json: bool, ids: dict[str, str], manifest: Mapping[str, Any]
) -> None:
    """What was written, and how well it was learnt; ``ids`` are what a service knows it by."""
    seconds = seconds_of(started)
    findings: list[dict[str, Any]] = manifest.get("findings") or []
    if as_json:
        print_json(
            {
                "person": str(out),
                "bytes": out.stat().st_size,
                "preset": preset.value,
                "seconds": seconds,
                "metrics": manifest.get("metrics") or {},
                "findings": findings,
                **ids,
            }
        )
    else:
        print(f"{out}  ({file_size(out)}, {seconds:.0f} s)")
        for finding in findings:
            print(f"{finding['severity']}: {finding['message']}")
            print(f"         {finding['remedy']}")
        print(f"Next: likeness dub {ids.get('person_id', out)} RECORDING -o OUT.mp4")
