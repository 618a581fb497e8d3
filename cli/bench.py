"""``likeness bench``: measure parts of the product; each benchmark ends with one JSON object when asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import JsonOption, long_command, print_json

bench = typer.Typer(
    name="bench", help="Measure parts of the product.", no_args_is_help=True, add_completion=False
)


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(bench)


@bench.callback()
def _group() -> None:
    """Measure parts of the product."""


@bench.command("fitting")
def fitting(
    people: Annotated[int, typer.Option(help="Synthetic people.", min=1)] = 50,
    frames: Annotated[int, typer.Option(help="Frames of each, at 25 a second.", min=20)] = 60,
    clip: Annotated[
        list[Path] | None,
        typer.Option(
            help="A real clip; may be given several times.", show_default="../shared/clips, if there"
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Few people and frames: does it run, are the sizes right.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the fit against synthetic people whose every number is known, and against held-out real frames.

    Rotation, translation, mesh, lip gap, gaze and blinks with landmarks found in the pixels and with exact ones; time
    by step and memory for 300 frames; other ways to fit, in the same run. Takes a quarter of an hour on two cores.
    """
    with long_command(as_json=as_json, inputs=clip or ()) as progress:
        from benchmarks.fitting import FittingBench, run, shared_clips

        clips = tuple(clip) if clip else shared_clips()
        plan = FittingBench.quick(clips) if quick else FittingBench(people, frames, clips=clips)
        result = run(plan, progress)
        if not as_json:
            _print_tables(result)
    if as_json:
        print_json(result)


@bench.command("motion")
def motion(
    people: Annotated[int, typer.Option(help="Synthetic people who are learnt.", min=1)] = 18,
    seeds: Annotated[int, typer.Option(help="Seeds that figures are averaged over.", min=1)] = 3,
    clip: Annotated[
        list[Path] | None,
        typer.Option(
            help="A real clip, or a folder of `likeness fit`; may be given several times.",
            show_default="../shared/clips, if there",
        ),
    ] = None,
    general: Annotated[
        Path | None, typer.Option(help="Other general weights.", show_default="the shipped ones")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few people: does it run.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure speech to motion: lips against synthetic truth and held-out real frames, heads against the person's own.

    Needs espeakng-loader for the synthetic people. Takes about ten minutes on two cores.
    """
    with long_command(as_json=as_json, inputs=[*(clip or ()), general]) as progress:
        from dataclasses import replace

        from benchmarks.fitting import shared_clips
        from benchmarks.motion import MotionBench, run

        clips = tuple(clip) if clip else shared_clips()
        plan = MotionBench.quick(clips) if quick else MotionBench(people=people, seeds=seeds, clips=clips)
        if general is not None:
            plan = replace(plan, general=general)
        result = run(plan, progress)
    if as_json:
        print_json(result)
    else:
        _print_motion(result)


@bench.command("rendering")
def rendering(
    preset: Annotated[str, typer.Option(help="instant, preview, standard or best.")] = "preview",
    clip: Annotated[
        Path | None, typer.Option(help="Whom to learn.", show_default="the bundled sample")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    quick: Annotated[
        bool, typer.Option("--quick", help="Layers only, short recordings: does it run.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what a person costs: seconds to learn, frames a second to dub by size, memory for 1 and 10 minutes.

    The recording of ten minutes takes most of the time: it is drawn whole.
    """
    with long_command(as_json=as_json, inputs=[clip]) as progress:
        from dataclasses import replace

        from benchmarks.rendering import SAMPLE, RenderingBench, run, with_preset

        whom = clip or SAMPLE
        plan = RenderingBench.quick(whom) if quick else with_preset(RenderingBench(clip=whom), preset)
        result = run(replace(plan, device=device), progress)
    if as_json:
        print_json(result)
    else:
        for key, value in result.items():
            print(f"{key}: {value}")


def _print_motion(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    for part in ("studio", "real"):
        table = Table(part, "")
        for key, value in result[part].items():
            if key != "by_language":
                table.add_row(key, str(value))
        console.print(table)
    languages: Mapping[str, Mapping[str, float]] = result["studio"]["by_language"]
    table = Table("language", *next(iter(languages.values()), {}))
    for name, row in languages.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    console.print(table)
    table = Table("head", *(result["head"].get("ours", {})))
    for name, row in result["head"].items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    console.print(table)
    console.print(f"{result['seconds_per_minute']} s for one minute of speech")


def _print_tables(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    parts = [name for name in result if name.startswith("synthetic")]
    table = Table("error: median / 95th percentile", *(name.replace("_", " ") for name in parts))
    for key, value in result[parts[0]].items():
        if isinstance(value, Mapping) and "p50" in value:
            table.add_row(key, *(_range(result[name][key]) for name in parts))
    table.add_row("blinks found", *(_blinks(result[name]["blinks"]) for name in parts))
    console.print(table)

    table = Table("way", "rotation_deg", "mesh_mm", "lip_gap_mm", "CPU s", "cost / ours")
    for name, row in result["alternatives"].items():
        ratio = "-" if row["cost_ratio"] is None else f"{row['cost_ratio']:.3f}"
        errors = (_range(row[key]) for key in ("rotation_deg", "mesh_mm", "lip_gap_mm"))
        table.add_row(name.replace("_", " "), *errors, f"{row['cpu_s']:.1f}", ratio)
    console.print(table)

    table = Table("step of 300 frames", "wall s", "CPU s")
    for name, split in result["split"].items():
        table.add_row(name, f"{split['wall_s']:.1f}", f"{split['cpu_s']:.1f}")
    console.print(table)
    for row in result["clips"]:
        console.print(
            f"{row['clip']}: held-out reprojection {row['reprojection_pct_iod']:.2f} % IOD, "
            f"lips {row['lips_pct_iod']:.2f}, lids {row['lids_pct_iod']:.2f}; "
            f"lip gap r {row['lip_gap_r']:.3f}, eye r {row['eye_r']:.3f}; "
            f"render {row['render_psnr']:.1f} dB"
        )
    console.print(
        f"300 frames: {result['seconds_300_frames']:.0f} s ({result['cpu_seconds_300_frames']:.0f} CPU s), "
        f"peak memory {result['peak_rss_mb']:.0f} MiB"
    )


def _range(value: Mapping[str, float]) -> str:
    return f"{value['p50']:.2f} / {value['p95']:.2f}"


def _blinks(value: Mapping[str, Any]) -> str:
    return f"{value['found_within_a_frame']} of {value['true']}, {value['false_per_minute']:.1f} false/min"


@bench.command("jobs")
def jobs(
    count: Annotated[int, typer.Option("--jobs", help="Jobs under the fault schedule.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Few jobs, short queues: two minutes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Kill workers, relays, Redis and Postgres under load and count what was lost; time claims, starts and wake-ups.

    Starts its own servers (development packages). About ten minutes on two cores.
    """
    with long_command(as_json=as_json) as progress:
        from benchmarks.jobs import JobsBench, run, with_jobs

        plan = JobsBench.quick() if quick else with_jobs(JobsBench(), count, seed)
        result = run(plan, progress)
        if not as_json:
            for name, value in result.items():
                typer.echo(f"{name:<20} {value}")
    if as_json:
        print_json(result)


@bench.command("api")
def api(
    database: Annotated[str, typer.Option(help="postgres or sqlite.")] = "postgres",
    clients: Annotated[int, typer.Option(help="Dashboards that ask once a second.", min=1)] = 200,
    uploads: Annotated[int, typer.Option(help="Files that come in at once, meanwhile.", min=1)] = 20,
    upload_mb: Annotated[int, typer.Option(help="Size of each, MB.", min=1)] = 100,
    quick: Annotated[
        bool, typer.Option("--quick", help="50 clients, 4 uploads of 20 MB: half a minute.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the API while many people watch and large files come in: answers, memory, start-up, MB a second.

    Starts an API and its database (development packages). Needs 2 GB of disk; about a minute on two cores.
    """
    with long_command(as_json=as_json) as progress:
        from benchmarks.api import ApiBench, run, served_by

        plan = ApiBench(served_by(database), clients, uploads, upload_mb)
        result = run(plan.quick() if quick else plan, progress)
        if not as_json:
            for name, value in result.items():
                typer.echo(f"{name:<16} {value}")
    if as_json:
        print_json(result)


@bench.command("provenance")
def provenance(
    scenes: Annotated[int, typer.Option(help="Invented clips on which nothing was tuned.", min=1)] = 21,
    frames: Annotated[int, typer.Option(help="Frames of each clip, at 25 a second.", min=9)] = 40,
    payloads: Annotated[int, typer.Option(help="Numbers that each is marked with.", min=1)] = 1,
    clip: Annotated[
        list[Path] | None,
        typer.Option(
            help="A filmed clip; may be given several times.",
            show_default="the bundled sample, and ../shared/clips, if there",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Two short scenes: does it run.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure the marks: what the watermark survives, what it costs, false positives, a signature's time and size.

    Each clip is compressed, halved and cropped. Takes about ten minutes on two cores.
    """
    with long_command(as_json=as_json, inputs=clip or ()) as progress:
        from benchmarks.fitting import shared_clips
        from benchmarks.provenance import SAMPLE, ProvenanceBench, run

        given = tuple(clip or ())
        plan = ProvenanceBench(given or (SAMPLE, *shared_clips()), scenes, frames, payloads)
        result = run(ProvenanceBench.quick(given) if quick else plan, progress)
        if not as_json:
            _print_marks(result)
    if as_json:
        print_json(result)


def _print_marks(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    groups = [name for name in ("invented", "filmed") if result[name]]
    table = Table("attack", *groups, "missed in")
    for attack in result[groups[0]]:
        rows = [result[name][attack] for name in groups]
        found = (
            f"{row['detected']} of {row['runs']}, confidence {row['least_confidence']:.2f}" for row in rows
        )
        table.add_row(attack, *found, "; ".join(name for row in rows for name in row["missed"]))
    console.print(table)
    table = Table("clip", "PSNR, dB", "ms a frame", "bytes more, %")
    for name, row in result["clips"].items():
        more = 100 * row["bytes_more"]
        table.add_row(name, f"{row['psnr_db']:.1f}", f"{row['ms_a_frame']:.1f}", f"{more:.0f}")
    console.print(table)
    false, signed = result["false_positives"], result["manifest"]
    console.print(f"without a mark: {false['found']} found in {false['windows']} windows")
    console.print(f"a signature: {signed['seconds']} s, {signed['bytes']} bytes")
