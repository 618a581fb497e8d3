"""Where the landmark detector sees its points, against where the head model has them.

    python -m studio.detector_bias faces/data/head.npz --people 80      # a quarter of an hour

On synthetic people the true place of every landmark is known in every frame. What the detector misses it by, averaged
over many people, is its own notion of its points: the nose's bridge, say, stands out two or three millimetres further.
The mean is written into the model (``MorphableModel.landmark_bias``), and fits expect landmarks there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from faces.camera import HEAD_TO_CAMERA, to_camera
from faces.mouth import LEFT_EYE, LEFT_IRIS, LIPS, RIGHT_EYE, RIGHT_IRIS
from faces.rotation import exp_map
from fitting.fit import track_clip
from media.atomic import replacing
from studio.synthetic_clips import HELD_OUT, SyntheticClip, make_clip
from training.progress import Progress, Tick, silent

Floats = NDArray[np.float64]

PRIOR_MM, NOISE_MM, REPEATED = 4.0, 1.0, 10
"""Deviation of a landmark's displacement, of a frame's error, and how many frames err alike."""


def landmark_displacement(clip: SyntheticClip, detected: NDArray[np.floating]) -> Floats:
    """(T, 478, 2) detected pixels of a clip -> (478, 3) millimetres in head axes that explain their errors.

    A ridge solve per landmark over all poses, so that turns of the head show the depth; frames without a face are NaN.
    """
    seen = np.isfinite(detected[:, 0, 0])
    motion, focal = clip.motion[seen], clip.camera.focal
    points = clip.person.model.detected_points(clip.person.vertices(motion))
    x, y, z = np.moveaxis(to_camera(points, motion.rotation, motion.translation).astype(np.float64), -1, 0)
    rows = np.zeros((*x.shape, 2, 3))  # of millimetres at the landmark, by camera millimetres
    rows[..., 0, 0] = rows[..., 1, 1] = 1.0
    rows[..., 0, 2], rows[..., 1, 2] = -x / z, -y / z
    rows = rows @ (HEAD_TO_CAMERA @ exp_map(motion.rotation))[:, None]
    error = (detected[seen] - clip.landmarks[seen]) * (z / focal)[..., None]
    weight = 1 / (NOISE_MM**2 * REPEATED)
    normal = weight * np.einsum("tlri,tlrj->lij", rows, rows) + np.eye(3) / PRIOR_MM**2
    right = weight * np.einsum("tlri,tlr->li", rows, error)
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0])


def measure_bias(
    seeds: Iterable[int], frames: int = 30, progress: Progress = silent
) -> tuple[Floats, Floats]:
    """Mean over people and its standard error, (478, 3) millimetres in head axes each."""
    found = []
    people = list(seeds)
    for done, seed in enumerate(people, start=1):
        clip = make_clip(seed, frames)
        found.append(landmark_displacement(clip, track_clip(clip.frames, frames).points))
        progress(Tick("studio.bias", done, len(people)))
    return np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))


def shaped(mean: Floats, points: NDArray[np.floating]) -> NDArray[np.float32]:
    """What of a measured bias (478, 3) is kept: its symmetric part; lips and lids move as one, so that their gaps stay.

    An asymmetry is half a degree of yaw and comes from the people's lights rather than from the detector. ``points``
    are the landmarks (478, 3) of the mean head.
    """
    mirror = np.array([-1.0, 1.0, 1.0])
    partner = cKDTree(points * mirror).query(points)[1]
    kept = ((mean + mean[partner] * mirror) / 2).astype(np.float32)
    for ring in (RIGHT_EYE, LEFT_EYE, LIPS):
        kept[list(ring)] = kept[list(ring)].mean(0)
    kept[[*RIGHT_IRIS, *LEFT_IRIS]] = 0.0
    return kept


def write_bias(model: Path, mean: Floats) -> None:
    """Add a bias measured with the model's present one to that, in its file; the rest stays as it is."""
    with np.load(model, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    present = arrays.get("landmark_bias", np.zeros_like(mean, np.float32))
    corners = arrays["mean"][arrays["triangles"][arrays["landmark_triangles"]]]
    points = np.einsum("lkd,lk->ld", corners, arrays["landmark_barycentric"])
    arrays["landmark_bias"] = (present + shaped(mean, points)).astype(np.float32)
    with replacing(model) as inside, inside.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def main() -> None:
    """Measure on development people and write the mean into the model."""
    parser = argparse.ArgumentParser(description="measure the landmark detector's own notion of its points")
    parser.add_argument("model", type=Path)
    parser.add_argument("--people", type=int, default=80, help=f"at most {HELD_OUT}")
    options = parser.parse_args()
    mean, error = measure_bias(
        range(min(options.people, HELD_OUT)),
        progress=lambda tick: print(f"{tick.done}/{tick.total}", flush=True),
    )
    print(
        f"mean size {np.linalg.norm(mean, axis=1).mean():.2f} mm, standard error {error.mean():.2f} mm an axis"
    )
    write_bias(options.model, mean)


if __name__ == "__main__":
    main()
