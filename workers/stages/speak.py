"""Stage speak: PERSON + recording -> the motion alone, as numbers, pictures and a video of the bare head."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.motion_preview import draw_motion
from faces.track import FaceTrack, Motion
from media.audio import read_wav, stream_wav
from media.normalise import normalise_recording
from motion.features import ACTIVITY, extract_stream
from motion.model import MotionModel
from motion.plot import plot_motion
from motion.predict import MotionControls
from motion.preview import write_preview
from training.progress import Progress, Tick, silent
from training.runtime import limit_threads
from workers.driving import (
    FPS,
    check_driving,
    driven_motion,
    frames_of,
    frames_to_make,
    reference_motion,
    same_file,
)
from workers.package import open_package


def run(
    person: Path,
    recording: Path,
    out: Path,
    *,
    pose: str = "learned",
    pose_video: Path | None = None,
    expression_video: Path | None = None,
    length_mismatch: str = "bounce",
    face: tuple[float, float] | None = None,
    audio_track: int | None = None,
    seed: int = 0,
    controls: MotionControls | None = None,
    plot: bool = False,
    motion_picture: Path | None = None,
    preview: bool = False,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Make the motion of a person who says the recording: the very motion that a dub with the same person, pose, seed
    and controls shows.

    Writes ``track.safetensors`` (a :class:`faces.track.FaceTrack` of the person in that motion) into ``out``, with
    ``plot`` also ``motion.png`` and with ``preview`` ``preview.mp4``.

    Args:
        person: a PERSON file.
        recording: any sound or video file.
        out: folder for the results.
        pose, pose_video, expression_video, length_mismatch, face, audio_track: as for a dub.
        seed: of everything that is sampled.
        controls: strengths and smoothing.
        plot: draw all curves, large.
        motion_picture: a PNG to write with the curves of head and jaw, small (``evaluation.motion_preview``).
        preview: write the video of the bare head, with the sound.
        progress: listener.

    Returns:
        figures of the motion, JSON types.

    Raises:
        InvalidParameter: ``pose`` and the videos do not fit together.
        Problem: what is wrong with the person, the recording or a video.
    """
    controls = controls or MotionControls()
    check_driving(pose, pose_video, expression_video, controls, length_mismatch, face)
    limit_threads()
    out.mkdir(parents=True, exist_ok=True)
    with open_package(person) as package, tempfile.TemporaryDirectory(prefix="likeness-motion-") as folder:
        scratch = Path(folder)
        sound = scratch / "recording.wav"
        led = same_file(recording, pose_video) or same_file(recording, expression_video)
        seconds = normalise_recording(recording, sound, audio_track=audio_track, led=led)
        track = FaceTrack.load(package.path("track.safetensors"))
        reference = reference_motion(track, pose_video, expression_video, None, scratch, progress, face)
        frames = frames_to_make(package, frames_of(seconds), reference, length_mismatch)
        parts, done = [], 0
        for part, _ in driven_motion(
            package, track, sound, pose, reference, False, controls, seed, frames, length_mismatch
        ):
            parts.append(part)
            done += len(part)
            progress(Tick("motion.predict", done, frames))
        motion = Motion.concatenate(parts)
        spoken = track.with_motion(motion)
        spoken.save(out / "track.safetensors")
        again = (chunk.samples[chunk.body] for chunk in stream_wav(sound, chunk_s=20.0))
        activity = np.concatenate([part.values[:, ACTIVITY] for part in extract_stream(again)])[:frames]
        activity = np.pad(activity, (0, frames - len(activity)))  # silence may follow the sound
        style = MotionModel.load(package.path("motion.safetensors")).style
        opening = motion.expression @ style.opening + style.opening_rest
        if plot:
            plot_motion(
                motion, track.expression_names, opening, activity, read_wav(sound), out / "motion.png",
                f"{person.stem} says {recording.name}",
            )  # fmt: skip
        if motion_picture is not None:
            draw_motion(motion, track.expression_names, motion_picture)
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
