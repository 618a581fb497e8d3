"""``likeness bench fitting``: the fit against synthetic truth and held-out real frames, its cost, its alternatives."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alternatives import Attempt, alternatives, known_focal
from benchmarks.fit_errors import FitErrors, fit_errors, summary
from benchmarks.held_out_clip import measure_clip
from faces.track import FaceTrack
from fitting.fit import FitConfig, fit_landmarks, track_clip
from fitting.landmarks import Landmarks
from fitting.photometric import PhotometricFit
from media.encode import VideoWriter
from problems import NotFound
from studio.synthetic_clips import HELD_OUT, SyntheticClip, make_clip
from training.progress import Progress, Tick, silent
from training.runtime import available_cores

SHARED_CLIPS = Path(__file__).resolve().parents[2] / "shared" / "clips"
"""Real clips beside the checkout, used when they are there and none are named."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class FittingBench:
    """What is measured."""

    people: int = 50
    """Synthetic people, from seed ``HELD_OUT`` on: nothing was tuned on them."""
    frames: int = 60
    """Frames of each; at 25 a second."""
    compared: int = 4
    """People on whom the alternatives are compared."""
    clips: tuple[Path, ...] = ()
    """Clips without truth; a synthetic one when there are none."""
    clip_frames: int = 300
    """Frames that such a clip is learnt from."""

    @classmethod
    def quick(cls, clips: tuple[Path, ...] = ()) -> FittingBench:
        """A look within two minutes on two cores; too few people to publish."""
        return cls(people=4, frames=25, compared=1, clips=clips[:1], clip_frames=100)


def run(bench: FittingBench, progress: Progress = silent) -> dict[str, Any]:
    """Run the benchmark; docs/fitting.md explains the figures.

    Returns:
        ``synthetic`` (landmarks from pixels), ``synthetic_unknown_focal``, ``synthetic_exact_landmarks``, ``real``,
        ``seconds_300_frames``, ``peak_rss_mb``, ``split``, ``alternatives``, ``clips``.

    Raises:
        NotFound: a clip is missing.
    """
    for path in bench.clips:  # before minutes are spent on the people
        if not path.is_file():
            raise NotFound(f"there is no file {path}", remedy="check the path")
    seeds = range(HELD_OUT, HELD_OUT + bench.people)
    rows = _in_processes(_person, [(seed, bench.frames) for seed in seeds], "bench.people", progress)
    compared = list(seeds)[: bench.compared]
    tried = _in_processes(
        _attempts, [(seed, bench.frames) for seed in compared], "bench.alternatives", progress
    )
    with _single_threads(None):
        measured = _in_processes(_clip, _clips(bench), "bench.clips", progress, workers=1)
    whole = [m for m in measured if m["train_frames"] == bench.clip_frames] or measured
    real = [m for m in measured if not m["synthetic"]]
    return {
        **{name: summary([row[name] for row in rows]) for name in rows[0]},
        "real": _means(
            real,
            ("reprojection_pct_iod", "lips_pct_iod", "lids_pct_iod", "lip_gap_r", "eye_r", "render_psnr"),
        ),
        "seconds_300_frames": round(
            float(np.mean([m["wall_s"] / m["train_frames"] for m in whole])) * 300, 1
        ),
        "cpu_seconds_300_frames": round(
            float(np.mean([m["cpu_s"] / m["train_frames"] for m in whole])) * 300, 1
        ),
        "peak_rss_mb": max(m["peak_rss_mb"] for m in measured),
        "split": _mean_split([m["split"] for m in whole]),
        "alternatives": _compared(tried),
        "clips": measured,
        "settings": {"people": bench.people, "frames": bench.frames, "cores": available_cores()},
    }


def fit_clip(clip: SyntheticClip, landmarks: Landmarks, config: FitConfig) -> FaceTrack:
    """The product's fit of a synthetic clip from given landmarks and its pixels."""
    size, model = (clip.camera.width, clip.camera.height), clip.person.model
    track = fit_landmarks(landmarks, size, model=model, config=config)
    return PhotometricFit(track, clip.frames, model=model).refine(track, clip.frames)


def exact_landmarks(clip: SyntheticClip) -> Landmarks:
    """The true landmarks of a clip, as if a detector had found them without error."""
    frames, points = clip.landmarks.shape[:2]
    return Landmarks(clip.landmarks, np.zeros((frames, points), np.float32), np.ones(frames, np.int64))


def _person(seed: int, frames: int) -> dict[str, FitErrors]:
    clip = make_clip(seed, frames)
    detected = track_clip(clip.frames, frames)
    focal = known_focal(clip.camera.focal / max(clip.camera.width, clip.camera.height))
    return {
        "synthetic": fit_errors(fit_clip(clip, detected, focal), clip),
        "synthetic_unknown_focal": fit_errors(fit_clip(clip, detected, FitConfig()), clip),
        "synthetic_exact_landmarks": fit_errors(
            fit_landmarks(
                exact_landmarks(clip),
                (clip.camera.width, clip.camera.height),
                model=clip.person.model,
                config=focal,
            ),
            clip,
        ),
    }


def _attempts(seed: int, frames: int) -> dict[str, Attempt]:
    clip = make_clip(seed, frames)
    landmarks = track_clip(clip.frames, frames)
    seen = np.nonzero(landmarks.found)[0]
    return alternatives(
        clip.part(seen), Landmarks(landmarks.points[seen], landmarks.depth[seen], landmarks.faces[seen])
    )


def _clips(bench: FittingBench) -> list[tuple[Path | None, int]]:
    return [(path, bench.clip_frames) for path in bench.clips] or [(None, bench.clip_frames)]


def _clip(path: Path | None, frames: int) -> dict[str, Any]:
    if path is not None:
        return {**measure_clip(path, frames), "synthetic": False}
    clip = make_clip(HELD_OUT, round(frames * 1.25), (640, 640))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "synthetic.mp4"
        with VideoWriter(file, 640, 640, crf=12) as writer:
            for picture in clip.frames:
                writer.write(picture)
        return {**measure_clip(file, frames), "synthetic": True}


def shared_clips() -> tuple[Path, ...]:
    """The real clips beside the checkout, none when there are none."""
    return tuple(sorted(SHARED_CLIPS.glob("*.mp4")))


def _compared(tried: Sequence[dict[str, Attempt]]) -> dict[str, Any]:
    """Each way's errors over all people, CPU seconds a person, and cost over the product's."""
    result = {}
    for name in tried[0]:
        attempts = [row[name] for row in tried]
        errors = summary([a.errors for a in attempts])
        figures: dict[str, Any] = {
            key: errors[key]
            for key in ("rotation_deg", "translation_pct", "mesh_mm", "lip_gap_mm", "focal_pct")
        }
        figures["cpu_s"] = round(float(np.mean([a.cpu_s for a in attempts])), 2)
        pairs = [(a.cost, row["ours_without_offsets"].cost) for a, row in zip(attempts, tried, strict=True)]
        ratios = [cost / ours for cost, ours in pairs if cost is not None and ours]
        figures["cost_ratio"] = round(float(np.mean(ratios)), 3) if ratios else None
        result[name] = figures
    return result


def _means(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> dict[str, float] | None:
    """Means over clips, None without clips."""
    return {key: round(float(np.mean([row[key] for row in rows])), 3) for key in keys} if rows else None


def _mean_split(splits: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(name for split in splits for name in split)
    empty = {"wall_s": 0.0, "cpu_s": 0.0}
    return {
        name: {unit: round(float(np.mean([s.get(name, empty)[unit] for s in splits])), 2) for unit in empty}
        for name in names
    }


def _in_processes(
    work: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    stage: str,
    progress: Progress,
    workers: int | None = None,
) -> list[Any]:
    """``work(*call)`` for all calls, in order; each process uses one thread, and is fresh when there is one worker."""
    progress(Tick(stage, 0, len(calls)))
    count = workers or max(1, min(available_cores(), len(calls)))
    threads = _single_threads("1" if workers is None else None)
    with (
        threads,
        ProcessPoolExecutor(count, get_context("spawn"), max_tasks_per_child=1 if workers else None) as pool,
    ):
        futures = {pool.submit(work, *call): n for n, call in enumerate(calls)}
        results: list[Any] = [None] * len(calls)
        for done, future in enumerate(as_completed(futures), start=1):
            results[futures[future]] = future.result()
            progress(Tick(stage, done, len(calls)))
    return results


@contextmanager
def _single_threads(count: str | None) -> Iterator[None]:
    """Children started inside use ``count`` threads; None leaves that to them."""
    kept = {name: os.environ.get(name) for name in _THREADS}
    try:
        if count is not None:
            os.environ.update(dict.fromkeys(_THREADS, count))
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
