"""A motion as a video of the person's bare head model, without any network or clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.camera import Camera, to_camera
from faces.clay import draw_clay
from faces.registry import model_named
from faces.track import FaceTrack
from media.encode import VideoWriter
from training.progress import Progress, silent, ticking

SIZE = 512
"""Width and height in pixels."""
PAPER = (24, 26, 30)


def write_preview(
    track: FaceTrack, out: Path, *, sound: Path | None = None, progress: Progress = silent
) -> None:
    """Write the head moving as mp4, frame by frame.

    Args:
        track: the motion with the person's identity.
        out: the file to write.
        sound: a file whose sound is added.
        progress: listener.
    """
    model = model_named(track.model)
    neutral = model.neutral(track.identity, track.offsets)
    place = np.median(track.motion.translation, axis=0)
    # The head about fills the picture at its usual distance.
    height = float(np.ptp(neutral[:, 1]))
    focal = 0.85 * SIZE * float(place[2]) / height
    camera = Camera(focal, SIZE / 2, SIZE / 2, SIZE, SIZE)
    middle = (neutral.max(0) + neutral.min(0)) / 2
    page: NDArray[np.uint8] = np.full((SIZE, SIZE, 3), PAPER, np.uint8)
    away = np.array([place[0], place[1] - middle[1], 0.0], np.float32)
    with VideoWriter(out, SIZE, SIZE, fps=track.fps, audio=sound) as writer:
        for t in ticking(range(len(track)), progress, "motion.preview", len(track)):
            motion = track.motion[t : t + 1]
            shape = model.vertices(neutral, motion.expression, motion.gaze)[0]
            placed = to_camera(shape, motion.rotation[0], motion.translation[0] - away)
            picture = page.copy()
            draw_clay(picture, camera.project(placed), placed, model)
            writer.write(picture)
