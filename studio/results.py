"""Make ``docs/results.md`` from evaluations: ``python -m studio.results CLIP[:TRAIN_FRAMES] ... --out
docs/results.md``.

Each CLIP is evaluated into ``--work`` (finished stages there are reused); a folder that ``likeness
evaluate`` wrote may be given instead and is only read. Beside the tables stand the curves of lips, yaw and
eyes. Frames of the person are published only with ``--faces``: a measured clip's owner may not have agreed
to be shown in a repository.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from evaluation.metrics import METRICS, marks_missed
from evaluation.sheet import SheetConfig, save_png
from media.atomic import replacing
from problems import InvalidParameter, Problem

COLUMNS = ("reenact", "dub", "ceiling", "replay")
ROOT = Path(__file__).resolve().parent.parent
PICTURE_WIDTH = 1200
"""Pixels."""


def read_evaluation(folder: Path) -> dict[str, Any]:
    """The content of a folder's ``evaluation.json``.

    Raises:
        InvalidParameter: the folder has none, or it is damaged.
    """
    try:
        content = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        missing = {*COLUMNS, "seconds", "peak_rss_mb", "protocol"} - set(content)
        if missing:
            raise ValueError(f"no {', '.join(sorted(missing))}")
    except (OSError, ValueError) as error:
        raise InvalidParameter(
            f"{folder} has no complete evaluation.json ({error})",
            remedy="give a clip, or a folder that likeness evaluate has finished",
        ) from error
    return dict(content)


def split_argument(text: str, default: int) -> tuple[Path, int]:
    """``CLIP`` or ``CLIP:FRAMES`` -> path and number of training frames."""
    found = re.fullmatch(r"(.+):(\d+)", text)
    return (Path(found[1]), int(found[2])) if found else (Path(text), default)


def section(content: Mapping[str, Any], picture: str | None) -> str:
    """One clip's part of the page, in Markdown."""
    protocol, seconds = content["protocol"], content["seconds"]
    lines = [
        f"## {protocol['clip']}",
        "",
        (
            f"Learnt from the first {protocol['train_frames']} frames, preset `{protocol['preset']}`, "
            f"seed {protocol['seed']}; judged on the next {protocol['held_out_frames']}."
        ),
        "",
        "| metric | " + " | ".join(COLUMNS) + " | unit |",
        "|---|" + "---:|" * len(COLUMNS) + "---|",
    ]
    for metric in METRICS:
        values = " | ".join(metric.text(content[name].get(metric.key)) for name in COLUMNS)
        lines.append(f"| `{metric.key}` | {values} | {metric.unit} |")
    stages = ", ".join(
        f"{name} {seconds[name]:.0f} s" for name in seconds if name not in ("personalize", "measure")
    )
    lines += [
        "",
        (
            f"Personalising took **{seconds['personalize'] / 60:.1f} minutes**, dubbing ran at "
            f"**{protocol['dub_frames_per_second']:.1f} frames a second**, peak memory was "
            f"**{content['peak_rss_mb'] / 1024:.2f} GiB** ({stages})."
        ),
        "",
    ]
    missed = marks_missed(content["reenact"], content["dub"], content["replay"])
    if seconds["personalize"] > 12 * 60:
        missed.append(f"personalising took {seconds['personalize'] / 60:.1f} minutes, over 12")
    if protocol["dub_frames_per_second"] < 5:
        missed.append(f"dubbing ran at {protocol['dub_frames_per_second']:.1f} frames a second, under 5")
    if content["peak_rss_mb"] > 4096:
        missed.append(f"peak memory was {content['peak_rss_mb']:.0f} MiB, over 4096")
    lines.append("Marks: all reached." if not missed else "Marks missed: " + "; ".join(missed) + ".")
    if picture:
        lines += ["", f"![{protocol['clip']}]({picture})"]
    return "\n".join(lines) + "\n"


def write_page(folders: Sequence[Path], out: Path, *, faces: bool = False, command: str = "") -> None:
    """Write the page, and beside it a folder of its name with one picture a clip.

    Args:
        folders: finished evaluations.
        out: the Markdown file.
        faces: publish the whole sheets with frames of the person, not the curves alone.
        command: how the page was made, quoted in it.
    """
    pictures = out.with_suffix("")
    parts = [_introduction(command)]
    for folder in folders:
        content = read_evaluation(folder)
        sheet = cv2.imread(str(folder / "sheet.png"))
        link = None
        if sheet is not None:
            shown = sheet if faces else sheet[-3 * SheetConfig().curve :]
            name = f"{Path(content['protocol']['clip']).stem}.png"
            save_png(np.ascontiguousarray(shown[..., ::-1], np.uint8), pictures / name, width=PICTURE_WIDTH)
            link = f"{pictures.name}/{name}"
        parts.append(section(content, link))
    with replacing(out) as part:
        part.write_text("\n".join(parts), encoding="utf-8")


def _introduction(command: str) -> str:
    rows = "\n".join(f"| `{m.key}` | {m.meaning} | {m.unit or '-'} | {m.better} |" for m in METRICS)
    return f"""# Results

Made by `{command or "python -m studio.results"}` on {machine()}.

Protocol: a person is learnt from the first frames of a clip; the rest is generated and compared with the
real rest. *reenact* is driven by the real frames' own tracked motion, *dub* by their sound. Two controls go
through the same encoder, tracker and metrics: *ceiling* is the real held-out frames encoded again, *replay*
the training frames played forth and back. The definitions, ranges and sources are in the docstrings of
`evaluation/`.

| metric | meaning | unit | better |
|---|---|---|---|
{rows}
"""


def machine() -> str:
    """The computer in words: processor, cores, memory, Python."""
    model = platform.processor() or platform.machine()
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        model = found[1] if found else model
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, Python {platform.python_version()}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m studio.results", description=__doc__)
    parser.add_argument(
        "clips", nargs="+", metavar="CLIP[:TRAIN_FRAMES]", help="a clip, or a folder of results"
    )
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--work", type=Path, default=Path("out/results"), help="where clips are evaluated")
    parser.add_argument("--train-frames", type=int, default=300)
    parser.add_argument("--preset", default="preview")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--faces", action="store_true", help="publish frames of the person, not the curves alone"
    )
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    folders = []
    try:
        for text in options.clips:
            path, train_frames = split_argument(text, options.train_frames)
            if path.is_dir():
                folders.append(path)
                continue
            print(path.name, file=sys.stderr, flush=True)
            folders.append((options.work / path.stem).resolve())
            # A process of its own for each clip: the memory it reports must not hold what the last one left.
            command = [
                sys.executable,
                "-m",
                "cli",
                "evaluate",
                str(path.resolve()),
                "-o",
                str(folders[-1]),
            ]
            command += ["--train-frames", str(train_frames), "--preset", options.preset]
            command += ["--seed", str(options.seed), "--device", options.device]
            ended = subprocess.run(command, cwd=ROOT).returncode
            if ended:
                return ended
        write_page(
            folders, options.out, faces=options.faces, command=" ".join(["python -m studio.results", *given])
        )
    except Problem as problem:
        print(f"{problem.title}: {problem.message}\nWhat to do: {problem.remedy}", file=sys.stderr)
        return 1
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
