"""A dataset's folder -> a corpus: every clip fitted, in shards, going on where a killed run stopped."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from faces.morphable import MorphableModel
from media.atomic import replacing
from motion.corpus import write_shard
from problems import Problem
from studio.recorded_people.layouts import RecordedClip, list_clips
from studio.recorded_people.reading import read_clip
from training.progress import Progress, Tick, silent
from training.runtime import available_cores, limit_threads

SHARD_CLIPS = 20
"""Clips in a shard; what a killed run loses, a core."""


@dataclass(frozen=True)
class Gathered:
    """What became of a dataset."""

    layout: str
    """The layout it was read in."""
    clips: int
    """Clips in the corpus."""
    skipped: dict[str, str]
    """Why a clip was left out, by its path in the dataset; the same stands in ``skipped.json``."""


def gather(
    dataset: Path,
    out: Path,
    *,
    layout: str = "auto",
    limit: int | None = None,
    progress: Progress = silent,
) -> Gathered:
    """Fit a dataset's clips and write them as a corpus for :func:`motion.general_training.train_general`.

    Args:
        dataset: root folder.
        out: folder for the shards and ``skipped.json``.
        layout: see :mod:`studio.recorded_people.layouts`.
        limit: take only so many clips, spread over the dataset.
        progress: listener.

    Raises:
        NotFound, InvalidParameter: no such folder or no clip in it. A clip that can't be used is skipped, not raised.
    """
    layout, clips = list_clips(dataset, layout)
    if limit is not None and limit < len(clips):
        clips = [clips[n * len(clips) // limit] for n in range(limit)]
    shards = [clips[n : n + SHARD_CLIPS] for n in range(0, len(clips), SHARD_CLIPS)]
    paths = [out / f"{layout}-{_key(dataset, shard)}.safetensors" for shard in shards]
    missing = [n for n, path in enumerate(paths) if not _report(path).exists()]
    done = sum(len(shard) for n, shard in enumerate(shards) if n not in set(missing))
    progress(Tick("motion.clips", done, len(clips)))
    if missing:
        with ProcessPoolExecutor(available_cores(), mp_context=get_context("spawn")) as processes:
            jobs = {processes.submit(_write, paths[n], dataset, shards[n]): n for n in missing}
            for job in as_completed(jobs):
                job.result()
                done += len(shards[jobs[job]])
                progress(Tick("motion.clips", done, len(clips)))
    skipped: dict[str, str] = {}
    for path in paths:
        skipped |= json.loads(_report(path).read_text())
    with replacing(out / "skipped.json") as part:
        part.write_text(json.dumps(skipped, indent=1, sort_keys=True, ensure_ascii=False))
    return Gathered(layout, len(clips) - len(skipped), skipped)


def _key(dataset: Path, shard: list[RecordedClip]) -> str:
    """A name that changes when a clip of the shard does."""
    content = hashlib.sha256()
    for clip in shard:
        content.update(f"{clip.video.relative_to(dataset)} {clip.video.stat().st_size}\n".encode())
    return content.hexdigest()[:16]


def _report(path: Path) -> Path:
    """Written after the shard: where it is, the shard is whole, also where all clips were skipped."""
    return path.with_suffix(".skipped.json")


def _write(path: Path, dataset: Path, shard: list[RecordedClip]) -> None:
    limit_threads(1)
    spoken, skipped = [], {}
    for clip in shard:
        try:
            spoken.append(read_clip(clip))
        except Problem as problem:
            skipped[str(clip.video.relative_to(dataset))] = problem.message
    if spoken:
        write_shard(path, MorphableModel.load().expression_names, spoken)
    with replacing(_report(path)) as part:
        part.write_text(json.dumps(skipped, ensure_ascii=False))
