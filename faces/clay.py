"""A head as clay: the mesh with light from the upper left, for previews of a fit or of a motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faces.light import vertex_normals
from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel
from faces.raster import rasterize

Image = NDArray[np.uint8]

CLAY = {SKIN: (176, 190, 210), EYES: (245, 245, 245), TEETH: (250, 245, 225), TONGUE: (205, 100, 105)}
CLAY[INNER_MOUTH] = (120, 50, 55)
"""Colours of the parts of the head, RGB."""
_LIGHT = np.array([-0.35, -0.45, -0.82], np.float32)  # from the upper left, behind the camera; camera axes


def draw_clay(
    panel: Image,
    pixels: NDArray[np.floating],
    placed: NDArray[np.floating],
    model: MorphableModel,
    opacity: float = 1.0,
) -> None:
    """Draw a head over a picture, in place.

    Args:
        panel: (H, W, 3) uint8 RGB.
        pixels: (V, 2) where the vertices lie in it.
        placed: (V, 3) the vertices in camera millimetres.
        model: whose vertices they are.
        opacity: 0..1.
    """
    points = np.column_stack([pixels, placed[:, 2] + model.recess])
    fragments = rasterize(points, model.triangles, (panel.shape[0], panel.shape[1]), cull_backfaces=True)
    covered = fragments.triangle >= 0
    normals = vertex_normals(placed, model.triangles)
    lit = 0.35 + 0.65 * np.maximum(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0.0)
    # One pass for the light and for the paint of the eyes, whose irises show the gaze.
    shown = fragments.interpolate(np.column_stack([lit, np.sqrt(model.albedo)]), model.triangles)[covered]
    palette = np.array([CLAY[part] for part in range(len(CLAY))], np.float32)
    parts = model.triangle_part[fragments.triangle[covered]]
    colour = palette[parts]
    eyes = parts == EYES
    colour[eyes] = 255 * shown[eyes, 1:]
    colour *= shown[:, :1]
    if opacity < 1:
        colour = (1 - opacity) * panel[covered] + opacity * colour
    panel[covered] = colour.clip(0, 255).astype(np.uint8)
