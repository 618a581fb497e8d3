"""What the source's head and face units get wrong, put right: creases, lids that cross, a tongue in the way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter1d

from faces.raster import rasterize

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MIRROR = np.array([-1.0, 1.0, 1.0])
PIXELS_PER_MM = 20.0
"""Resolution of the orthographic pictures that lids and lips are measured on."""

CLOSED_SET_BACK = 1.6
"""Millimetres by which a closed upper lid stands further back than its source."""


def mirrored_name(name: str) -> str:
    """The unit of the other side; itself for one on the midline."""
    for one, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(one):
            return name.removesuffix(one) + other
    return {"jawLeft": "jawRight", "jawRight": "jawLeft"}.get(name, name)


def symmetric_units(names: list[str], units: Floats, partner: Ints) -> Floats:
    """Units (V, 3, E) of which the left one is the exact mirror image of the right one."""
    other = units[partner][:, :, [names.index(mirrored_name(n)) for n in names]] * MIRROR[:, None]
    return (units + other) / 2


def soften(units: Floats, triangles: Ints, softness: Floats, rounds: int = 4) -> Floats:
    """Diffuse displacements (V, 3, E) over the mesh where ``softness`` (V,) in [0, 1] allows it.

    The source's units end in hard borders on the cheek, which fold the skin there into a crease.
    """
    count = len(units)
    edges = np.concatenate([triangles[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    edges = np.concatenate([edges, edges[:, ::-1]])
    graph = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    graph.data[:] = 1.0
    mean = sparse.diags(1 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph
    flat = units.reshape(count, -1).copy()
    for _ in range(rounds):
        flat += 0.5 * softness[:, None] * (mean @ flat - flat)
    return flat.reshape(units.shape)


class FrontView:
    """Orthographic pictures of a part of the head from the front."""

    def __init__(self, triangles: Ints, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.triangles = triangles
        self.left, self.top = x[0], y[1]
        self.size = (int((y[1] - y[0]) * PIXELS_PER_MM), int((x[1] - x[0]) * PIXELS_PER_MM))

    def shown(self, vertices: Floats) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Triangle ids (H, W), -1 outside, and barycentric weights (H, W, 3)."""
        pixels = np.column_stack([
            (vertices[:, 0] - self.left) * PIXELS_PER_MM, (self.top - vertices[:, 1]) * PIXELS_PER_MM,
            500.0 - vertices[:, 2],
        ])  # fmt: skip
        corners = self.triangles
        far = (pixels[corners, 0].max(1) < 0) | (pixels[corners, 0].min(1) > self.size[1])
        far |= (pixels[corners, 1].max(1) < 0) | (pixels[corners, 1].min(1) > self.size[0])
        near = np.nonzero(~far)[0]
        # Depth is not perspective here: a constant offset keeps the weights affine to a thousandth.
        found = rasterize(pixels + np.array([0, 0, 1e5]), corners[near], self.size)
        return np.where(found.triangle >= 0, near[found.triangle], -1).astype(np.int32), found.barycentric

    def column(self, x: float) -> int:
        """The picture's column at head coordinate x."""
        return int(np.clip((x - self.left) * PIXELS_PER_MM, 0, self.size[1] - 1))

    def row(self, y: float) -> int:
        """The picture's row at head coordinate y."""
        return int(np.clip((self.top - y) * PIXELS_PER_MM, 0, self.size[0] - 1))


def close_lids(
    mean: Floats, blink: Floats, triangles: Ints, is_eye: NDArray[np.bool_], eye: Floats
) -> Floats:
    """The blink unit (V, 3) of one eye scaled along the lid so that the lids just meet at 1.

    The opening of each column is measured on pictures at blink 0 and .3 and is linear in between; where it would close
    sets the scale. The source's lids meet at about .65 and then run over one another.
    """
    view = FrontView(triangles, (eye[0] - 20, eye[0] + 20), (eye[1] - 20, eye[1] + 20))
    scale = np.ones(view.size[1])
    at = np.clip((mean[:, 0] - view.left) * PIXELS_PER_MM, 0, view.size[1] - 1)
    open_ = _opening_of(view, mean, is_eye)
    columns = np.nonzero(open_ > 2.5 * PIXELS_PER_MM)[0]
    for step in (0.4, 0.7, 0.8):
        scaled = scale[at.astype(int)][:, None] * blink
        left = _opening_of(view, mean + step * scaled, is_eye)
        shut = step * open_ / np.maximum(open_ - left, 1)  # where a linear closing ends
        trusted = columns[left[columns] > 0]
        if len(trusted) < 20:
            break
        # Towards the corners the opening is too small to measure: they take the nearest trusted scale.
        profile = np.interp(np.arange(len(open_)), trusted, shut[trusted])
        scale = np.clip(scale * gaussian_filter1d(profile, 1.5 * PIXELS_PER_MM, mode="nearest"), 0.45, 1.3)
    blink = scale[at.astype(int)][:, None] * blink
    fall = np.linalg.norm(blink, axis=1)
    # A lid that comes down in a straight line ends in front of the lower lid instead of on it.
    return blink - np.array([0.0, 0.0, CLOSED_SET_BACK]) * (fall / fall.max())[:, None]


def _opening_of(view: FrontView, vertices: Floats, seen_through: NDArray[np.bool_]) -> Floats:
    """Pixels a column in which a triangle of ``seen_through`` (F,) shows."""
    ids, _ = view.shown(vertices)
    return ((ids >= 0) & seen_through[np.maximum(ids, 0)]).sum(0).astype(np.float64)


def close_lips(
    mean: Floats, jaw_open: Floats, triangles: Ints, inner: NDArray[np.bool_], lips: NDArray[np.bool_]
) -> Floats:
    """The mean head (V, 3) with its lips touching.

    Args:
        inner: (F,) triangles that must not show: the mouth's inside, teeth, tongue.
        lips: (V,) vertices of the lips.
    """
    middle = mean[lips].mean(0)
    view = FrontView(triangles, (middle[0] - 32, middle[0] + 32), (middle[1] - 20, middle[1] + 20))
    carried = np.linalg.norm(jaw_open, axis=1)
    below = np.where(carried > 0.5 * carried[lips].max(), 1.0, -1.0)
    for _ in range(3):
        ids, _ = view.shown(mean)
        shows = (ids >= 0) & inner[np.maximum(ids, 0)]
        gap = shows.sum(0) / PIXELS_PER_MM
        if gap.max() < 0.05:
            break
        rows = np.arange(view.size[0])[:, None]
        columns = np.nonzero(gap > 0)[0]
        line = (shows * rows).sum(0)[columns] / shows.sum(0)[columns]
        height = np.interp(np.arange(len(gap)), columns, view.top - line / PIXELS_PER_MM)
        reach = gaussian_filter1d(gap, 0.6 * PIXELS_PER_MM, mode="nearest") + 0.12 * (gap > 0)
        at = np.clip((mean[:, 0] - view.left) * PIXELS_PER_MM, 0, len(gap) - 1).astype(int)
        away = np.abs(mean[:, 1] - height[at]) + np.maximum(0, middle[2] - 8.0 - mean[:, 2])
        fade = np.exp(-((away / 4.0) ** 2))
        mean = mean + np.array([0.0, 1.0, 0.0]) * (0.55 * reach[at] * fade * below)[:, None]
    return mean


def rest_tongue(tongue: Floats, floor: float, height: float, slope: float) -> Floats:
    """The tongue (N, 3) lying on the floor of the mouth.

    Args:
        tongue: vertices of the source, in millimetres.
        floor: y that stays.
        height: factor on the height above it.
        slope: by how much the tongue falls per millimetre from its tip towards the throat.
    """
    low = tongue.copy()
    low[:, 1] = floor + height * (tongue[:, 1] - floor) - slope * (tongue[:, 2].max() - tongue[:, 2])
    return low
