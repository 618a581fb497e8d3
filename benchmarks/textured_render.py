"""A fitted face drawn with its own texture and compared with the frames it stands for."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.pixels import psnr
from faces.atlas import atlas_for
from faces.camera import to_camera
from faces.light import vertex_shading
from faces.morphable import SKIN, MorphableModel
from faces.raster import rasterize
from faces.registry import model_named
from faces.texture import Texture
from faces.track import FaceTrack
from fitting.surface import ImageSequence
from studio.face_region import face_region

SUPERSAMPLING = 2


def render_psnr(
    track: FaceTrack,
    texture: Texture,
    frames: ImageSequence,
    *,
    every: int = 5,
    model: MorphableModel | None = None,
) -> list[float]:
    """PSNR in dB of every ``every``-th frame, over the pixels that the face covers wholly.

    Args:
        track: the fitted track of ``frames``.
        texture: the person's texture.
        frames: (H, W, 3) uint8 RGB, one per frame of the track.
        every: distance between the frames compared.
        model: the morphable model.
    """
    model = model or model_named(track.model)
    values = []
    for index in np.nonzero(track.valid)[0][::every]:
        real = frames[int(index)]
        drawn, covered = textured_render(track, texture, int(index), model)
        values.append(psnr(real, drawn, covered))
    return values


def textured_render(
    track: FaceTrack, texture: Texture, index: int, model: MorphableModel
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """One frame of a track: (H, W, 3) uint8 RGB, black beside the face, and (H, W) True where only face is seen.

    The face is the skin between the ears from chin to forehead, with eyes and mouth. Drawn at twice the size and
    averaged down, in the frame's own light where the track has it.
    """
    camera, motion = track.camera, track.motion[index : index + 1]
    neutral = model.neutral(track.identity, track.offsets)
    head = model.vertices(neutral, motion.expression, motion.gaze)
    placed = to_camera(head, motion.rotation, motion.translation)[0]
    pixels = np.column_stack([camera.project(placed) * SUPERSAMPLING, placed[:, 2] + model.recess])
    size = (camera.height * SUPERSAMPLING, camera.width * SUPERSAMPLING)
    fragments = rasterize(pixels, model.triangles, size)
    atlas = atlas_for(model)
    face = face_region(model)[model.triangles].all(1) | (model.triangle_part != SKIN)
    shown = (fragments.triangle >= 0) & (face & atlas.charted)[fragments.triangle]
    colour = texture.sample(fragments.interpolate(atlas.uv, model.triangles)).astype(np.float32)
    if len(track.light):
        colour *= fragments.interpolate(vertex_shading(model, placed, track.light[index]), model.triangles)
    colour[~shown] = 0
    small = cv2.resize(colour, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    cover = cv2.resize(shown.astype(np.float32), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return small.round().clip(0, 255).astype(np.uint8), cover > 0.999
