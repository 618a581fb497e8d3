"""``likeness train``: make the general weights that every person starts from."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from cli.outputs import Output
from cli.terminal import JsonOption, long_command, print_json, seconds_of

train = typer.Typer(
    name="train", help="Make the general weights that every person starts from.", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(train)


@train.command("world")
def world(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the corpus.")],
    hours: Annotated[float, typer.Option(min=0.01, help="Length of all speech.")] = 9.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people.")] = 1,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Voices and languages that training never uses.")
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="Real recordings to mix in: /usr/share/asterisk/sounds with Debian's asterisk-core-sounds."
        ),
    ] = None,
    prompts_share: Annotated[
        float, typer.Option(min=0, max=1, help="How many of the clips they make.")
    ] = 0.3,
    as_json: JsonOption = False,
) -> None:
    """Let synthetic people speak: sound, phonemes, faces and heads as numbers. Needs espeakng-loader.

    About a minute of work for an hour of speech. Run it again after an interruption: finished shards are kept.
    """
    started = time.monotonic()
    with long_command(
        as_json=as_json,
        resume="run the same command again: finished shards are kept.",
        inputs=[prompts],
        outputs=[Output(out, folder=True)],
    ) as progress:
        from studio.speech_world.world import write_world

        clips = write_world(
            out,
            hours=hours,
            seed=seed,
            split="held-out" if held_out else "train",
            prompts=prompts,
            share=prompts_share,
            progress=progress,
        )
    if as_json:
        print_json({"corpus": str(out), "clips": clips, "seconds": seconds_of(started)})
    else:
        print(f"{out}  ({clips} clips)")


@train.command("clips")
def clips(
    folder: Annotated[
        Path, typer.Argument(help="A dataset's root, or any folder of clips of people who speak.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the corpus.")],
    layout: Annotated[str, typer.Option(help="auto, lrw, hdtf, mead, voxceleb or clips.")] = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Take only so many clips.", show_default="all")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit real clips, so that the general weights can be trained on them. Their licence is yours to have.

    Run it again after an interruption: finished shards are kept. Clips that can't be used are listed in skipped.json.
    """
    started = time.monotonic()
    with long_command(
        as_json=as_json,
        resume="run the same command again: finished shards are kept.",
        inputs=[folder],
        outputs=[Output(out, folder=True)],
    ) as progress:
        from studio.recorded_people.gathering import gather

        gathered = gather(folder, out, layout=layout, limit=limit, progress=progress)
    if as_json:
        print_json(
            {
                "corpus": str(out),
                "layout": gathered.layout,
                "clips": gathered.clips,
                "skipped": gathered.skipped,
                "seconds": seconds_of(started),
            }
        )
    else:
        print(f"{out}  (layout {gathered.layout}: {gathered.clips} clips, {len(gathered.skipped)} skipped)")


@train.command("motion")
def motion(
    corpus: Annotated[list[Path], typer.Argument(help="Corpus folders, e.g. of `likeness train world`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The safetensors file to write.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 4000,
    windows: Annotated[int, typer.Option(min=1, help="People a step; more on a GPU.")] = 16,
    hidden: Annotated[int, typer.Option(min=8, help="LSTM units in each direction.")] = 128,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:N].")] = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    work: Annotated[
        Path | None, typer.Option(help="Folder for the checkpoint.", show_default="OUT.work")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the general speech-to-motion model. Run it again after an interruption: it goes on from its checkpoint."""
    started = time.monotonic()
    outputs = _weights(out, work)
    with long_command(
        as_json=as_json, resume="run the same command again.", inputs=corpus, outputs=outputs
    ) as progress:
        from dataclasses import asdict

        from motion.corpus import Corpus
        from motion.general_training import GeneralConfig, train_general
        from motion.network import single_thread
        from training.runtime import pick_device

        with single_thread():
            report = train_general(
                Corpus.load(corpus),
                out,
                config=GeneralConfig(steps=steps, windows=windows, hidden=hidden),
                seed=seed,
                checkpoint_dir=work or out.with_suffix(".work"),
                device=pick_device(device),
                progress=progress,
            )
    result = {**asdict(report), "seconds": seconds_of(started), "weights": str(out)}
    if as_json:
        print_json(result)
    else:
        print(
            f"{out}  ({report.hours:.1f} h of {report.speakers} speakers, {report.steps} steps; on held-out speakers "
            f"lip r {report.lip_r:.3f}, {report.lip_r_adapted:.3f} adapted; bilabials {report.bilabial_auc:.3f}, "
            f"speech {report.speaking_auc:.3f})"
        )


@train.command("pictures")
def pictures(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the examples.")],
    clips: Annotated[
        Path | None,
        typer.Option(help="A folder of clips, one or more a person; their licence is yours to have."),
    ] = None,
    people: Annotated[
        int, typer.Option(min=1, help="People: so many are invented, or taken of the clips.")
    ] = 16,
    first: Annotated[int, typer.Option(min=0, help="Seed of the first invented person.")] = 0,
    frames: Annotated[int, typer.Option(min=50, help="Frames of each person.")] = 120,
    size: Annotated[int, typer.Option(min=64, help="Side of the network's frames in pixels.")] = 256,
    as_json: JsonOption = False,
) -> None:
    """Fit and draw people for the general renderer: invented ones, or those of your clips.

    About a minute and 140 MB a person. Run it again after an interruption: finished people are kept.
    """
    started = time.monotonic()
    with long_command(
        as_json=as_json,
        resume="run the same command again: finished people are kept.",
        inputs=[clips],
        outputs=[Output(out, folder=True)],
    ) as progress:
        from studio.recorded_people.pictures import PicturesConfig, gather_invented, gather_recorded

        config = PicturesConfig(size=size, frames=frames)
        if clips is None:
            gathered = gather_invented(out, people, first=first, config=config, progress=progress)
        else:
            gathered = gather_recorded(clips, out, limit=people, config=config, progress=progress)
    result = {"examples": str(out), "people": gathered.people, "skipped": gathered.skipped}
    if as_json:
        print_json({**result, "seconds": seconds_of(started)})
    else:
        print(f"{out}  ({gathered.people} people, {len(gathered.skipped)} clips skipped)")


@train.command("renderer")
def renderer(
    examples: Annotated[list[Path], typer.Argument(help="Folders of `likeness train pictures`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The safetensors file to write.")],
    preset: Annotated[str, typer.Option(help="preview, standard or best: whose network it is.")] = "preview",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 8000,
    batch: Annotated[int, typer.Option(min=1, help="Frames a step; more on a GPU.")] = 4,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda[:N].")] = "auto",
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the checkpoint and the strip of held-out frames.", show_default="OUT.work"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the general renderer. Run it again after an interruption: it goes on from its checkpoint."""
    started = time.monotonic()
    outputs = _weights(out, work)
    with long_command(
        as_json=as_json, resume="run the same command again.", inputs=examples, outputs=outputs
    ) as progress:
        from dataclasses import asdict

        from rendering.general import train_general_renderer
        from rendering.people import load_people
        from training.runtime import limit_threads, pick_device

        limit_threads()
        report = train_general_renderer(
            load_people(examples),
            out,
            preset=preset,
            steps=steps,
            batch=batch,
            seed=seed,
            device=pick_device(device),
            work=work or out.with_suffix(".work"),
            progress=progress,
        )
    if as_json:
        print_json({**asdict(report), "seconds": seconds_of(started), "weights": str(out)})
    else:
        scores = ", ".join(f"{name} {value:.2f}" for name, value in report.held_out.items())
        print(f"{out}  ({report.steps} steps; held-out frames, dB: {scores})")


def _weights(out: Path, work: Path | None) -> list[Output]:
    """The file of the weights, and the folder of the checkpoint."""
    beside = Output(work or out.with_suffix(".work"), "work" if work else "out", folder=True)
    return [Output(out, suffixes=(".safetensors",)), beside]
