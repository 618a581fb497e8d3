"""Fitting measured on a clip without truth: time, memory, and how well the fit explains frames it has not seen."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stopwatch import Stopwatch
from benchmarks.textured_render import render_psnr
from evaluation.resources import MemoryWatch
from faces.morphable import MorphableModel
from faces.mouth import LEFT_EYE, LIPS, RIGHT_EYE, eye_aperture, mouth_opening
from faces.track import FaceTrack
from fitting.fit import Person, fit_landmarks, project_landmarks, reprojection_error, track_clip
from fitting.landmarks import Landmarks
from fitting.photometric import PhotometricFit
from fitting.texture import unwrap_texture
from media.frames import FrameStore
from media.limits import ClipLimits
from media.normalise import normalise_clip
from problems import TooShort
from training.progress import Progress, silent

HELD_OUT = 150
"""Most frames that the fit is held against."""
FEWEST = 75


class Part:
    """Frames [start, stop) of a sequence."""

    def __init__(self, frames: FrameStore, start: int, stop: int) -> None:
        self._frames, self._start, self._stop = frames, start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int, /) -> Any:
        return self._frames[self._start + index]

    def __iter__(self) -> Iterator[Any]:
        return (self[n] for n in range(len(self)))


def measure_clip(path: Path, frames: int = 300, progress: Progress = silent) -> dict[str, Any]:
    """Fit the first frames of a clip as personalising does, then the next ones with the person fixed.

    Args:
        path: a video of one person.
        frames: learn from so many frames, or from 80 % of a shorter clip.
        progress: hears the fit's own stages.

    Returns:
        ``split`` (seconds by stage), ``wall_s`` and ``cpu_s`` of landmarks, fit and texture of the training frames,
        ``peak_rss_mb``, and of the held-out frames ``reprojection_pct_iod``, ``lips_pct_iod``, ``lids_pct_iod``
        (means), ``lip_gap_r``, ``eye_r``, ``render_psnr`` (mean dB).

    Raises:
        TooShort: under three seconds.
    """
    model = MorphableModel.load()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        normalise_clip(path, clip, clip.with_suffix(".wav"), limits=ClipLimits(max_seconds=None))
        store = FrameStore.from_clip(clip, stop=frames + HELD_OUT)
    if len(store) < FEWEST:
        raise TooShort(
            f"{path.name} has {len(store)} frames", remedy=f"use a clip of at least {FEWEST} frames"
        )
    train = min(frames, round(0.8 * len(store)))
    known, rest = Part(store, 0, train), Part(store, train, len(store))
    with MemoryWatch() as memory:
        watch = Stopwatch(progress)
        landmarks = track_clip(known, train, watch)
        watch.lap("fit.landmarks")
        track = fit_landmarks(landmarks, store.size, model=model, progress=watch)
        watch.lap("fit.gaze")
        photometric = PhotometricFit(track, known, model=model, progress=watch)
        track = photometric.refine(track, known, progress=watch)
        watch.lap("fit.surface")
        texture = unwrap_texture(track, known, model=model, progress=watch)
        watch.lap("fit.texture")
    seen = track_clip(rest, len(rest))
    held = fit_landmarks(seen, store.size, model=model, person=Person.of(track))
    held = photometric.refine(held, rest)
    split = watch.split
    return {
        "clip": path.name,
        "size": list(store.size),
        "train_frames": train,
        "split": split,
        "wall_s": round(sum(s["wall_s"] for s in split.values()), 1),
        "cpu_s": round(sum(s["cpu_s"] for s in split.values()), 1),
        "peak_rss_mb": round(memory.peak_mb),
        "focal_ratio": round(track.camera.focal / max(store.size), 3),
        **held_out_figures(held, seen, model),
        "render_psnr": round(float(np.mean(render_psnr(held, texture, rest, model=model))), 2),
    }


def held_out_figures(track: FaceTrack, seen: Landmarks, model: MorphableModel) -> dict[str, float]:
    """How well the fitted landmarks repeat the observed ones."""
    error = reprojection_error(track, model)[track.valid]
    lids = [*RIGHT_EYE, *LEFT_EYE]
    fitted = project_landmarks(track, model)[track.valid]
    points = seen.points[track.valid]
    return {
        "held_out_frames": int(track.valid.sum()),
        "reprojection_pct_iod": round(float(error[:, :468].mean()), 3),
        "lips_pct_iod": round(float(error[:, list(LIPS)].mean()), 3),
        "lids_pct_iod": round(float(error[:, lids].mean()), 3),
        "lip_gap_r": round(float(np.corrcoef(mouth_opening(fitted), mouth_opening(points))[0, 1]), 3),
        "eye_r": round(float(np.corrcoef(eye_aperture(fitted), eye_aperture(points))[0, 1]), 3),
    }
