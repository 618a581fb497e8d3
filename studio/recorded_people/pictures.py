"""Clips -> examples to train the general renderer on: each person fitted and drawn as if to be learnt."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from media.atomic import replacing
from media.encode import VideoWriter
from media.limits import ClipLimits
from media.normalise import FPS, normalise_clip
from problems import NotFound, Problem
from rendering.dataset import DatasetConfig, draw_examples
from studio.recorded_people.layouts import list_clips
from studio.synthetic_clips import make_clip
from training.progress import Progress, Tick, silent
from workers.presets import preset_named
from workers.stages import fit
from workers.stages.render import layers_of

INVENTED_SIZES = ((512, 512), (640, 640), (480, 480), (640, 480))
"""(width, height) of invented people's clips, in turn: a face of a hundred pixels or more."""


@dataclass(frozen=True)
class PicturesConfig:
    """What is kept of each person."""

    size: int = 256
    """Side of the network's frames in pixels."""
    frames: int = 120
    """Frames of each clip that are looked at, 50 or more."""
    passes: int = 2
    """Different source frames per target."""


@dataclass(frozen=True)
class Gathered:
    """What became of the clips."""

    people: int
    """People with examples in the folder."""
    skipped: dict[str, str]
    """Why a clip was left out, by its name; the same stands in ``skipped.json``."""


def gather_invented(
    out: Path,
    people: int,
    *,
    first: int = 0,
    config: PicturesConfig | None = None,
    progress: Progress = silent,
) -> Gathered:
    """Examples of invented people (``studio.synthetic_clips``), seeds ``first`` .. ``first + people - 1``."""
    config = config or PicturesConfig()

    def film(seed: int) -> Callable[[Path], None]:
        def write(work: Path) -> None:
            size = INVENTED_SIZES[seed % len(INVENTED_SIZES)]
            clip = make_clip(seed, config.frames, size, progress=progress)
            with VideoWriter(work / "clip.mp4", *size, fps=FPS, crf=12) as writer:
                for picture in clip.frames:
                    writer.write(picture)

        return write

    return _gather(
        out,
        ((f"invented-{seed}", film(seed)) for seed in range(first, first + people)),
        people,
        config,
        progress,
    )


def gather_recorded(
    clips: Path,
    out: Path,
    *,
    limit: int | None = None,
    config: PicturesConfig | None = None,
    progress: Progress = silent,
) -> Gathered:
    """Examples of a folder's clips, or a dataset's (``studio.recorded_people.layouts``), the first of each speaker.

    Raises:
        NotFound, InvalidParameter: no such folder or no clip in it. A clip that can't be used is skipped, not raised.
    """
    config = config or PicturesConfig()
    _, found = list_clips(clips, "auto")
    first = list({clip.speaker: clip for clip in reversed(found)}.values())[::-1][:limit]
    limits = replace(ClipLimits(), max_seconds=config.frames / FPS, max_duration_s=7200.0)

    def read(video: Path) -> Callable[[Path], None]:
        def write(work: Path) -> None:
            normalise_clip(video, work / "clip.mp4", work / "audio.wav", limits=limits)

        return write

    named = ((_key(clip.video), read(clip.video)) for clip in first)
    return _gather(out, named, len(first), config, progress)


def _key(video: Path) -> str:
    facts = f"{video.resolve()} {video.stat().st_size}"
    return f"{video.stem}-{hashlib.sha256(facts.encode()).hexdigest()[:8]}"


def _gather(
    out: Path,
    clips: Iterator[tuple[str, Callable[[Path], None]]],
    count: int,
    config: PicturesConfig,
    progress: Progress,
) -> Gathered:
    """Go on where a killed run stopped: a person whose examples are there is not made again."""
    skipped: dict[str, str] = {}
    made = 0
    for n, (name, write) in enumerate(clips):
        progress(Tick("render.pictures", n, count, message=name))
        if (out / name / "target.npy").is_file():
            made += 1
            continue
        try:
            _make(out / name, write, config)
            made += 1
        except Problem as problem:
            skipped[name] = problem.message
    progress(Tick("render.pictures", count, count))
    if not made:
        raise NotFound("no clip could be used", remedy="see skipped", details={"skipped": skipped})
    with replacing(out / "skipped.json") as part:
        part.write_text(json.dumps(skipped, indent=1, sort_keys=True, ensure_ascii=False))
    return Gathered(made, skipped)


def _make(folder: Path, write: Callable[[Path], None], config: PicturesConfig) -> None:
    with tempfile.TemporaryDirectory(prefix="likeness-pictures-") as temporary:
        work = Path(temporary)
        write(work)
        fit.run(work, frames=config.frames, preset="preview", seed=0)
        compositor = layers_of(work, preset_named("preview"), seed=0)
        drawing = DatasetConfig(size=config.size, passes=config.passes, identity_every=12)
        draw_examples(compositor, config=drawing, seed=0).save(folder)
