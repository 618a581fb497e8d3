"""The head after refinement: finer lips and lids, new eyeballs and teeth, units that meet where they should."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from faces.morphable import EYES, SKIN, TEETH, TONGUE
from studio.head_corrections import MIRROR, close_lids, close_lips, rest_tongue, soften, symmetric_units
from studio.head_cut import HeadMesh, mirror_vertices
from studio.head_parts import dental_arch, eyeball
from studio.head_refine import Refined, add_part, affine_rows, split_quads, triangulate
from studio.head_source import AnnyWheel, paint_mask

Floats = NDArray[np.float64]

TONGUE_ROOT = 98.0
"""z in hm08 behind which the tongue opens no less than here."""
LID_REACH = 18.1
"""Millimetres from the eyeball's centre (its radius is 15) within which skin counts as lid and is refined."""
ARCHES: dict[str, tuple[Floats, float, float]] = {
    "upper": (np.array([0.0, 657.0, 148.6]), 27.0, 44.0),
    "lower": (np.array([0.0, 658.0, 145.6]), 26.0, 43.0),
}
"""Of each jaw in hm08: the middle of the incisors' biting edge, the half width at the last tooth, and the depth."""


@dataclass
class FineHead:
    """The head after refinement: V vertices, F triangles."""

    mean: Floats  # (V, 3) millimetres
    identity: Floats  # (V, 3, K)
    expression: Floats  # (V, 3, E)
    names: list[str]
    triangles: NDArray[np.int64]  # (F, 3)
    triangle_part: NDArray[np.int64]  # (F,)
    vertex_part: NDArray[np.int64]  # (V,)
    partner: NDArray[np.int64]  # (V,) mirror vertex
    mpfb_uv: Floats  # (V, 2)
    colours: Floats  # (V, 3) linear albedo of the parts built here; NaN elsewhere

    def unit(self, name: str) -> Floats:
        """(V, 3) view of a named unit."""
        return self.expression[..., self.names.index(name)]


def refine(
    wheel: AnnyWheel, head: HeadMesh, mean: Floats, identity: Floats, names: list[str], expression: Floats
) -> FineHead:
    """Split the quads round lips and lids, and build eyeballs and teeth anew."""
    base, part = head.vertices, head.vertex_part
    lips = paint_mask(wheel, head.mpfb_uv, "lips") * (part == SKIN)
    lips = np.maximum(lips, lips[mirror_vertices(base)])
    near_lips = (lips > 0.15)[head.quads].any(1)
    near_lids = np.zeros(len(head.quads), bool)
    eyes = [np.nonzero((part == EYES) & (np.sign(base[:, 0]) == side))[0] for side in (-1, 1)]
    for eye in eyes:
        centre = (base[eye].max(0) + base[eye].min(0)) / 2
        away = np.linalg.norm(base - centre, axis=1)
        near_lids |= ((away < LID_REACH) & (base[:, 2] > centre[2] + 2.0))[head.quads].all(1)
    skin_quads = head.quad_part == SKIN
    kept = np.isin(head.quad_part, (SKIN, TONGUE))
    refined = split_quads(
        head.quads[kept], head.quad_part[kept], (skin_quads & (near_lips | near_lids))[kept], len(base)
    )
    print(
        f"split: {int((skin_quads & near_lips).sum())} lip quads and {int((skin_quads & near_lids).sum())} lid quads"
    )
    colours: list[tuple[NDArray[np.int64], Floats]] = []
    for eye in eyes:
        centre = (base[eye].max(0) + base[eye].min(0)) / 2
        radius = float(np.linalg.norm(base[eye] - centre, axis=1).mean())
        scale = float(np.ptp(mean[eye], axis=0).mean() / np.ptp(base[eye], axis=0).mean())
        points, faces, albedo = eyeball(radius, scale)
        new = add_part(refined, affine_rows(points + centre, base[eye], eye), faces, EYES)
        colours.append((new, albedo))
    jaw = np.linalg.norm(expression[..., names.index("jawOpen")], axis=1)
    jaws = {
        "upper": np.nonzero((part == TEETH) & (jaw < 5.0))[0],
        "lower": np.nonzero((part == TEETH) & (jaw >= 5.0))[0],
    }
    for name, arch in jaws.items():
        points, faces, albedo = dental_arch(name, *ARCHES[name])
        new = add_part(refined, affine_rows(points, base[arch], arch), faces, TEETH)
        colours.append((new, albedo))

    weights = refined.matrix(len(base))
    fine = weights @ base
    triangles, triangle_part = triangulate(refined, fine)
    motion = expression.copy()
    tongue = np.nonzero(part == TONGUE)[0]
    lower = jaws["lower"]
    # The tongue rides on the lower jaw, at its root as far as in its middle: else it fills the open mouth.
    riding = base[tongue]
    riding[:, 2] = np.maximum(riding[:, 2], TONGUE_ROOT)
    rigid = Refined(affine_rows(riding, base[lower], lower), [], []).matrix(len(base))
    opened = names.index("jawOpen")
    motion[tongue, :, opened] = rigid @ motion[..., opened]
    resting = mean.copy()
    low = rest_tongue(base[tongue], floor=652.0, height=0.45, slope=0.15)
    resting[tongue] += low - base[tongue]
    motion[tongue, :, names.index("tongueOut")] += base[tongue] - low  # out again over the lower lip

    used = np.unique(triangles)
    renumber = np.full(len(fine), -1)
    renumber[used] = np.arange(len(used))
    painted = np.full((len(fine), 3), np.nan)
    for members, albedo in colours:
        painted[members] = albedo
    triangles, weights = renumber[triangles], weights[used]
    vertex_part = np.zeros(len(used), np.int64)
    vertex_part[triangles.ravel()] = np.repeat(triangle_part, 3)

    def carry(values: Floats) -> Floats:
        return np.asarray(weights @ values.reshape(len(base), -1)).reshape(len(used), *values.shape[1:])

    partner = mirror_vertices(fine[used])
    units = symmetric_units(names, carry(motion), partner)
    return FineHead(
        carry(resting), carry(identity), units, names, triangles, triangle_part, vertex_part, partner,
        carry(head.mpfb_uv), painted[used],
    )  # fmt: skip


def correct(head: FineHead, lips: Floats, inside: Floats) -> None:
    """Soften the units' borders on the cheeks, close the lips, scale the blinks until the lids meet; in place."""
    skin = head.vertex_part == SKIN
    eyes = [(head.vertex_part == EYES) & (np.sign(head.mean[:, 0]) == side) for side in (-1, 1)]
    centres = [(head.mean[e].max(0) + head.mean[e].min(0)) / 2 for e in eyes]
    mouth = cKDTree(head.mean[skin & (lips > 0.3)]).query(head.mean)[0]
    lids = np.min([np.linalg.norm(head.mean - c, axis=1) for c in centres], axis=0)
    softness = np.clip((mouth - 5.0) / 10.0, 0, 1) * np.clip((lids - 22.0) / 8.0, 0, 1) * skin
    head.expression = soften(head.expression, head.triangles, softness)
    teeth_or_tongue = np.isin(head.triangle_part, (TEETH, TONGUE))
    hidden = teeth_or_tongue | (inside[head.triangles].min(1) > 0.5)
    around = np.isin(head.vertex_part, (SKIN,))
    closed = close_lips(head.mean, head.unit("jawOpen"), head.triangles, hidden, skin & (lips > 0.5))
    closed = (closed + closed[head.partner] * MIRROR) / 2
    head.mean = np.where(around[:, None], closed, head.mean)
    eyeball_triangle = head.triangle_part == EYES
    left = head.names.index("eyeBlinkLeft")
    blink = close_lids(head.mean, head.expression[..., left], head.triangles, eyeball_triangle, centres[1])
    head.expression[..., left] = blink
    head.expression[..., head.names.index("eyeBlinkRight")] = blink[head.partner] * MIRROR
