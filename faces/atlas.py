"""The texture atlas of a head model: one cylinder for the skin and flat charts for eyes, teeth, tongue and inner mouth.

The model's own uv crosses seams, so this one is made from the mean head: the skin is unrolled about a vertical axis
inside the head, with the jaw a little open and the lids half closed so that lips and lids do not fold over themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from faces.morphable import EYES, INNER_MOUTH, SKIN, TEETH, TONGUE, MorphableModel
from faces.raster import Fragments, rasterize

AXIS_DEPTH = 20.0
"""z of the cylinder's axis in millimetres: a little behind the face, so that cheeks get their share of texels."""
HALF_ANGLE = np.radians(118.0)
"""The skin is charted this far round each side; the back of the head has no texture."""
SKIN_HEIGHT = 0.78
"""Share of the atlas height that the skin takes; the small charts share the strip below."""

FROM_ABOVE = np.array(
    [[1.0, 0.0, 0.0], [0.0, np.cos(0.7), np.sin(0.7)], [0.0, -np.sin(0.7), np.cos(0.7)]], np.float32
)
"""The tongue lies flat: it is charted as seen from 40 degrees above (rows times this: x, up, towards the viewer)."""


@dataclass(frozen=True)
class Atlas:
    """Texture coordinates of every triangle corner."""

    uv: NDArray[np.float32]
    """(F, 3, 2) in [0, 1]; u to the right, v down."""
    charted: NDArray[np.bool_]
    """(F,) False for triangles without texture."""

    def texels(self, model: MorphableModel, size: int) -> Fragments:
        """Which triangle lies under each texel of a (size, size) atlas; where charts overlap, the outermost."""
        triangles = np.nonzero(self.charted)[0]
        corners = self.uv[triangles].reshape(-1, 2) * size
        middle = model.mean[model.triangles[triangles]].mean(1)
        radius = np.hypot(middle[:, 0], middle[:, 2] - AXIS_DEPTH)
        depth = np.repeat(1000.0 - radius, 3)
        own = np.arange(len(corners)).reshape(-1, 3)
        flat = rasterize(np.column_stack([corners, depth]), own, (size, size))
        return Fragments(
            np.where(flat.triangle >= 0, triangles[flat.triangle], -1).astype(np.int32), flat.barycentric
        )


def _build(model: MorphableModel) -> Atlas:
    unit = {n: model.expression_basis[..., k] for k, n in enumerate(model.expression_names)}
    shape = model.mean.astype(np.float64)
    for expression, amount in (("jawOpen", 0.15), ("eyeBlinkLeft", 0.35), ("eyeBlinkRight", 0.35)):
        if expression in unit:
            shape = shape + amount * unit[expression]
    opened = model.mean + 0.5 * unit["jawOpen"] if "jawOpen" in unit else model.mean
    uv = np.zeros((len(model.triangles), 3, 2))
    charted = np.zeros(len(model.triangles), bool)

    skin = model.triangle_part == SKIN
    corners = shape[model.triangles[skin]]
    angle = np.arctan2(corners[..., 0], corners[..., 2] - AXIS_DEPTH)
    top, bottom = shape[:, 1].max() + 1, shape[:, 1].min() - 1
    uv[skin, :, 0] = 0.5 + angle / (2 * HALF_ANGLE)
    uv[skin, :, 1] = (top - corners[..., 1]) / (top - bottom) * SKIN_HEIGHT
    charted[skin] = (np.abs(angle) < HALF_ANGLE).all(1) & (np.ptp(angle, axis=1) < 1.0)

    middle = model.mean[model.triangles].mean(1)
    jaw = (
        np.linalg.norm(unit["jawOpen"], axis=1)[model.triangles].mean(1)
        if "jawOpen" in unit
        else -middle[:, 1]
    )
    teeth = model.triangle_part == TEETH
    lower = teeth & (jaw > np.median(jaw[teeth])) if teeth.any() else teeth
    eye = model.triangle_part == EYES
    in_front = middle[:, 2] > model.eye_centres[:, 2].mean()
    strip = [
        (eye & in_front & (middle[:, 0] < 0), model.mean),
        (eye & in_front & (middle[:, 0] >= 0), model.mean),
        (teeth & ~lower, opened),
        (lower, opened),
        (model.triangle_part == TONGUE, opened @ FROM_ABOVE),
        (model.triangle_part == INNER_MOUTH, opened),
    ]
    for n, (members, geometry) in enumerate(strip):
        if not members.any():
            continue
        plane = geometry[model.triangles[members]][..., :2].astype(np.float64) * [1, -1]
        low, high = plane.reshape(-1, 2).min(0), plane.reshape(-1, 2).max(0)
        left, right = (n + 0.04) / len(strip), (n + 0.96) / len(strip)
        uv[members] = [left, SKIN_HEIGHT + 0.02] + (plane - low) / np.maximum(high - low, 1e-6) * [
            right - left,
            0.18,
        ]
        charted[members] = True
    return Atlas(uv.astype(np.float32), charted)


def atlas_for(model: MorphableModel) -> Atlas:
    """The atlas of a model, made once for it: another model of the same name has another one."""
    kept: Atlas | None = vars(model).get(_KEPT)
    # Two threads that ask at once may both make it; both get the one that was first.
    return kept if kept is not None else vars(model).setdefault(_KEPT, _build(model))


_KEPT = "_atlas"
