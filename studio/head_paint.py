"""Colours of the head model: linear albedo and region masks per vertex."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faces.morphable import SKIN, TONGUE
from studio.head_fine import FineHead
from studio.head_source import AnnyWheel, paint_mask

Floats = NDArray[np.float64]


def procedural_albedo(wheel: AnnyWheel, head: FineHead) -> tuple[Floats, dict[str, Floats]]:
    """Per-vertex linear albedo (V, 3) in [0, 1] and the painted region masks (V,) in [0, 1]."""
    skin = head.vertex_part == SKIN
    masks = {}
    for name in ("lips", "inside-mouth"):
        mask = np.where(skin, paint_mask(wheel, head.mpfb_uv, name), 0.0)
        masks[name] = (mask + mask[head.partner]) / 2
    # Between the painted lips and the painted inside runs a strip that is neither: it is lip.
    both = np.maximum(masks["lips"], masks["inside-mouth"])
    for pick in (np.maximum,) * 4 + (np.minimum,) * 4:
        corners = pick.reduce(both[head.triangles], axis=1)
        pick.at(both, head.triangles.ravel(), np.repeat(corners, 3))
    masks["lips"] = np.maximum(masks["lips"], np.where(skin, both - masks["inside-mouth"], 0.0)).clip(0, 1)
    albedo = np.tile([0.72, 0.53, 0.43], (len(head.mean), 1))
    for name, colour in (("lips", (0.62, 0.32, 0.30)), ("inside-mouth", (0.30, 0.09, 0.09))):
        albedo += masks[name][:, None] * (np.array(colour) - albedo)
    corner = head.mean[np.argmax(np.where(skin & (masks["lips"] > 0.5), head.mean[:, 0], -np.inf))]
    away = np.linalg.norm(head.mean * [np.sign(corner[0]), 1, 1] - corner, axis=1)
    away = np.minimum(away, away[head.partner])
    albedo += (skin * np.exp(-((away / 3.0) ** 2)))[:, None] * (np.array([0.30, 0.15, 0.14]) - albedo)
    albedo[head.vertex_part == TONGUE] = (0.56, 0.25, 0.25)
    # Little light reaches deep into the mouth.
    lip_depth = head.mean[skin & (masks["lips"] > 0.5), 2].max()
    deep = np.clip((lip_depth - 14.0 - head.mean[:, 2]) / 40.0, 0, 1)
    inside = (head.vertex_part == TONGUE) | (masks["inside-mouth"] > 0.5)
    albedo[inside] *= (1 - 0.85 * deep[inside])[:, None]
    built = ~np.isnan(head.colours[:, 0])
    albedo[built] = head.colours[built]
    return albedo.clip(0, 1), masks
