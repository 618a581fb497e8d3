"""Head motion against a person's own: distributions of pose and velocity, beats, and the controls beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.beats import beat_gain, speed_gain
from evaluation.head_pose import head_pose_similarity, pose_distance, velocity_distance
from faces.rotation import euler_from_rotvec
from faces.track import FaceTrack, Motion
from motion.predict import MotionPredictor
from motion.prosody import FRAME

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

FPS = 25.0


def angles_of(motion: Motion) -> Floats:
    """(T, 3) pitch, yaw and roll in degrees."""
    return np.asarray(euler_from_rotvec(motion.rotation), np.float64)


def measure_head(
    predictor: MotionPredictor,
    learnt: FaceTrack,
    held_out: FaceTrack,
    samples: Array,
    other: FaceTrack,
    seeds: Sequence[int],
) -> dict[str, dict[str, float]]:
    """Sampled head motion, and its controls, against the held-out part of a clip.

    Args:
        predictor: learnt from ``learnt``.
        learnt: the frames that were learnt from.
        held_out: the frames after them.
        samples: the held-out frames' sound, 16 kHz.
        other: another person's track, moved to this person's mean pose.
        seeds: of the samples; figures are means over them.

    Returns:
        for ``ours``, ``real_halves`` (the learnt part itself), ``frozen``, ``shuffled`` and ``other_person``: ``hs``,
        ``pose_distance`` (degrees), ``velocity_distance`` (degrees a second), and for those with a sound of their own
        ``beat_z`` and ``speed_z`` (alignment with the sound in standard deviations above chance).
    """
    real = angles_of(held_out.motion)
    known = angles_of(learnt.motion)
    ours = [angles_of(predictor.predict(samples, seed=seed)[: len(real)]) for seed in seeds]
    foreign = angles_of(other.motion)
    foreign = foreign - foreign.mean(0) + known.mean(0)
    shuffled = [np.random.default_rng(seed).permutation(known) for seed in seeds]
    sets = {
        "ours": ours,
        "real_halves": [known],
        "frozen": [np.repeat(known.mean(0, keepdims=True), len(real), axis=0)],
        "shuffled": shuffled,
        "other_person": [foreign],
    }
    result = {name: _mean([_distances(real, drawn) for drawn in draws]) for name, draws in sets.items()}
    result["ours"] |= _mean([_beats(drawn, samples) for drawn in ours])
    result["real_halves"] |= _beats(real, samples)
    return result


def _distances(real: Floats, generated: Floats) -> dict[str, float]:
    return {
        "hs": head_pose_similarity(real, generated),
        "pose_distance": pose_distance(real, generated),
        "velocity_distance": velocity_distance(real, generated, FPS),
    }


def _beats(angles: Floats, samples: Array) -> dict[str, float]:
    samples = samples[: len(angles) * FRAME]
    return {"beat_z": beat_gain(angles, samples).z, "speed_z": speed_gain(angles, samples).z}


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}


def plot_head(real: Floats, drawn: Sequence[Floats], title: str, out: Path) -> None:
    """Pitch, yaw and roll of the real head and of some samples, one column each, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * (1 + len(drawn)), 6), layout="constrained")
    axes: Any = figure.subplots(3, 1 + len(drawn), sharex=True, sharey="row", squeeze=False)
    for column, angles in enumerate([real, *drawn]):
        for row, name in enumerate(("pitch", "yaw", "roll")):
            axes[row][column].plot(np.arange(len(angles)) / FPS, angles[:, row], lw=1)
            axes[row][0].set_ylabel(f"{name}, degrees")
        axes[0][column].set_title("real" if column == 0 else f"seed {column - 1}")
        axes[2][column].set_xlabel("seconds")
    figure.suptitle(title)
    figure.savefig(out, dpi=110)
