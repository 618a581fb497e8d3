"""Stage speak: PERSON + recording -> the motion alone, as numbers, a picture and a video of the bare head."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.track import FaceTrack, Motion
from media.audio import read_wav, stream_wav
from media.normalise import normalise_recording
from motion.features import ACTIVITY, extract_stream
from motion.plot import plot_motion
from motion.predict import MotionControls, MotionPredictor
from motion.preview import write_preview
from training.progress import Progress, Tick, silent
from training.runtime import limit_threads
from workers.package import open_package

FPS = 25.0


def run(
    person: Path,
    recording: Path,
    out: Path,
    *,
    pose: str = "learned",
    seed: int = 0,
    controls: MotionControls | None = None,
    plot: bool = False,
    preview: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Predict how a person moves while saying a recording.

    Writes ``track.safetensors`` (a :class:`faces.track.FaceTrack` of the person in that motion) into ``out``, with
    ``plot`` also ``motion.png`` and with ``preview`` ``preview.mp4``.

    Args:
        person: a PERSON file.
        recording: any sound or video file.
        out: folder for the results.
        pose: as for a dub, but ``reference``.
        seed: of everything that is sampled.
        controls: strengths and smoothing.
        plot: draw the curves.
        preview: write the video.
        progress: listener.

    Returns:
        figures of the motion, JSON types.

    Raises:
        Problem: what is wrong with the person or the recording.
    """
    limit_threads()
    out.mkdir(parents=True, exist_ok=True)
    with open_package(person) as package, tempfile.TemporaryDirectory(prefix="likeness-motion-") as folder:
        sound = Path(folder) / "recording.wav"
        seconds = normalise_recording(recording, sound)
        track = FaceTrack.load(package.path("track.safetensors"))
        predictor = MotionPredictor.load(package.path("motion.safetensors"))
        parts, done, total = [], 0, max(1, round(seconds * FPS))
        chunks = (chunk.samples[chunk.body] for chunk in stream_wav(sound, chunk_s=20.0))
        settings = controls or MotionControls()
        for part in predictor.stream(chunks, pose=pose, seed=seed, controls=settings):  # type: ignore[arg-type]
            parts.append(part)
            done += len(part)
            progress(Tick("motion.predict", min(done, total), total))
        motion = Motion.concatenate(parts)
        spoken = track.with_motion(motion)
        spoken.save(out / "track.safetensors")
        again = (chunk.samples[chunk.body] for chunk in stream_wav(sound, chunk_s=20.0))
        activity = np.concatenate([part.values[:, ACTIVITY] for part in extract_stream(again)])[: len(motion)]
        style = predictor.model.style
        opening = motion.expression @ style.opening + style.opening_rest
        if plot:
            plot_motion(
                motion, track.expression_names, opening, activity, read_wav(sound), out / "motion.png",
                f"{person.stem} says {recording.name}",
            )  # fmt: skip
        if preview:
            write_preview(spoken, out / "preview.mp4", sound=sound, progress=progress)
    return _figures(motion, opening, activity, style.opening_closed)


def _figures(
    motion: Motion, opening: NDArray[np.floating], activity: NDArray[np.floating], closed: float
) -> dict[str, Any]:
    minutes = len(motion) / FPS / 60
    shut = opening <= closed + 0.005
    euler = motion.euler()
    return {
        "frames": len(motion),
        "speech_share": round(float((activity > 0.3).mean()), 3),
        "lip_opening": {
            "mean": round(float(opening.mean()), 4),
            "std": round(float(opening.std()), 4),
            "max": round(float(opening.max()), 4),
        },
        "lip_closures_per_minute": round(float((shut[1:] & ~shut[:-1]).sum() / minutes), 1),
        "head_std_deg": [round(float(v), 2) for v in euler.std(0)],
        "head_speed_deg_s": round(float(np.linalg.norm(np.diff(euler, axis=0), axis=1).mean() * FPS), 2),
    }
