"""Pictures for docs/fitting.md: a synthetic person, the fitted head over it, its lit render, and the plot of the track.

python -m studio.fitting_pictures docs/fitting
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.atlas import atlas_for
from faces.camera import to_camera
from faces.light import NEUTRAL, shading, vertex_normals, vertex_shading
from faces.morphable import SKIN, MorphableModel
from faces.raster import rasterize
from faces.texture import Texture
from faces.track import FaceTrack
from fitting.figures import FitFigures
from fitting.fit import fit_landmarks, track_clip
from fitting.photometric import PhotometricFit
from fitting.plot import encode_png, plot_track
from fitting.texture import unwrap_texture
from studio.face_region import face_region
from studio.synthetic_clips import HELD_OUT, make_clip

SEED, FRAMES, SIDE = HELD_OUT + 12, 75, 300


def rows(
    track: FaceTrack, texture: Texture, frames: NDArray[np.uint8], shown: list[int]
) -> NDArray[np.uint8]:
    """One row a frame: the frame, grey head, head in the person's colours, the same lit, and what is left (x 4)."""
    model, camera = MorphableModel.load(), track.camera
    neutral, uv = model.neutral(track.identity, track.offsets), atlas_for(model).uv
    face = face_region(model)[model.triangles].all(1) | (model.triangle_part != SKIN)
    lamp = NEUTRAL.copy()
    lamp[:4] = np.array([0.55, -0.15, -0.2, -0.45])[:, None]
    lines = []
    for t in shown:
        motion = track.motion[t : t + 1]
        placed = to_camera(
            model.vertices(neutral, motion.expression, motion.gaze)[0],
            motion.rotation[0],
            motion.translation[0],
        )
        flat = np.column_stack([camera.project(placed), placed[:, 2] + model.recess])
        fragments = rasterize(flat, model.triangles, (camera.height, camera.width))
        covered = (fragments.triangle >= 0)[..., None]
        inside = covered & face[fragments.triangle][..., None]
        normals = fragments.interpolate(vertex_normals(placed, model.triangles), model.triangles)
        colour = texture.sample(fragments.interpolate(uv, model.triangles)).astype(np.float32)
        lit = colour * fragments.interpolate(vertex_shading(model, placed, track.light[t]), model.triangles)
        real = frames[t].astype(np.float32)
        pictures = [
            real,
            np.where(covered, 170 * shading(normals, lamp), real * 0.5),
            np.where(inside, colour, real * 0.5),
            np.where(inside, lit, real * 0.5),
            np.where(inside, 128 + 4 * (real - lit), 128.0),
        ]
        lines.append(np.hstack([_crop(picture, track, t) for picture in pictures]))
    return np.vstack(lines)


def _crop(picture: NDArray[Any], track: FaceTrack, t: int) -> NDArray[np.uint8]:
    marks = track.landmarks[t]
    centre, side = marks[:468].mean(0), 1.5 * float(np.ptp(marks[:468, 1]))
    left, top = (centre - side / 2).round().astype(int)
    moved = np.array([[SIDE / side, 0, -left * SIDE / side], [0, SIDE / side, -top * SIDE / side]])
    clipped = picture.clip(0, 255).astype(np.uint8)
    return cv2.warpAffine(clipped, moved, (SIDE, SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def main(folder: Path) -> None:
    """Write ``renders.jpg`` and ``track.png`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    clip = make_clip(SEED, FRAMES)
    landmarks = track_clip(clip.frames, FRAMES)
    track = fit_landmarks(landmarks, (clip.camera.width, clip.camera.height))
    track = PhotometricFit(track, clip.frames).refine(track, clip.frames)
    texture = unwrap_texture(track, clip.frames)
    jaw = track.motion.expression[:, track.expression_names.index("jawOpen")]
    yaw = track.motion.euler()[:, 1]
    shown = [int(yaw.argmin()), int(jaw.argmax()), int(yaw.argmax())]
    sheet = rows(track, texture, clip.frames, shown)
    quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
    cv2.imwrite(str(folder / "renders.jpg"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), quality)
    (folder / "track.png").write_bytes(
        encode_png(plot_track(track, FitFigures.of(track), f"synthetic person {SEED}"))
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
