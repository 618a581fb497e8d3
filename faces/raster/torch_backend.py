"""The reference rasteriser in torch: any device, batched, differentiable.

Each triangle is tried against the pixels of its bounding box only. All those (triangle, pixel) pairs of the batch form
one list, of which a fixed number is worked on at a time, so memory depends neither on the size of the triangles nor on
the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAIRS = {"cpu": 1 << 18, "cuda": 1 << 22}
"""(triangle, pixel) pairs tried at a time: the cache's share of a CPU, enough work for a GPU."""


def rasterize_torch(
    vertices: Tensor, triangles: Tensor, height: int, width: int, cull: bool
) -> tuple[Tensor, Tensor]:
    """(B, V, 3) and (F, 3) -> (B, h, w) int64 ids and (B, h, w, 3) differentiable weights in the vertices' dtype."""
    with torch.no_grad():
        nearest = _nearest(_precise(vertices)[:, triangles], height, width, cull)
    return nearest, _weights(vertices, triangles, nearest)


def _precise(values: Tensor) -> Tensor:
    # Ties and shared edges need the digits; Apple's GPUs have no float64.
    return values.float() if values.device.type == "mps" else values.double()


def _nearest(corners: Tensor, height: int, width: int, cull: bool) -> Tensor:
    """(B, F, 3, 3) corners -> (B, h, w) index of the nearest triangle, -1 where there is none."""
    batch, count = corners.shape[:2]
    device = corners.device
    corners = corners.reshape(-1, 3, 3)  # (N, corner, xyz)
    x, y, z = corners.unbind(-1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (y[:, 1] - y[:, 0]) * (x[:, 2] - x[:, 0])
    drawn = (z > 0).all(1) & (area.abs() > 0) & area.isfinite()
    if cull:  # image y points down, so a triangle that faces the camera has a negative area here
        drawn &= area < 0
    first_x, last_x = _span(x, width)
    first_y, last_y = _span(y, height)
    columns = (last_x - first_x + 1).clamp(min=0)
    pairs = torch.where(drawn, columns * (last_y - first_y + 1).clamp(min=0), 0)
    ends = pairs.cumsum(0)
    # Clockwise in the picture from here on: the sides' functions are then positive inside.
    corners = torch.where((area < 0)[:, None, None], corners[:, [0, 2, 1]], corners)

    unused = len(corners)  # larger than any index
    nearness = torch.zeros(batch * height * width, dtype=corners.dtype, device=device)  # 1 / z
    winner = torch.full((batch * height * width,), unused, dtype=torch.int64, device=device)
    total = int(ends[-1]) if unused else 0
    step = PAIRS.get(device.type, 1 << 20)
    for start in range(0, total, step):
        pair = torch.arange(start, min(start + step, total), device=device)
        owner = torch.searchsorted(ends, pair, right=True)
        within = pair - (ends[owner] - pairs[owner])
        column = first_x[owner] + within % columns[owner]
        row = first_y[owner] + within // columns[owner]
        near, hit = _try(corners[owner], column, row)
        owner, near = owner[hit], near[hit]
        pixel = (owner // max(count, 1) * height + row[hit]) * width + column[hit]
        best = nearness.scatter_reduce(0, pixel, near, "amax")
        winner = torch.where(best > nearness, unused, winner)
        equal = near == best[pixel]
        winner = winner.scatter_reduce(0, pixel[equal], owner[equal], "amin")
        nearness = best
    return torch.where(winner < unused, winner % max(count, 1), -1).reshape(batch, height, width)


def _span(values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """(N, 3) coordinates -> first and last pixel whose centre lies within them, cut to the picture."""
    first = (values.amin(1) - 0.5).ceil().nan_to_num(0.0).clamp(0, size)
    last = (values.amax(1) - 0.5).floor().nan_to_num(-1.0).clamp(-1, size - 1)
    return first.long(), last.long()


def _try(corners: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """(P, 3, 3) clockwise corners at P pixels -> 1 / depth, and whether the pixel is inside (top-left rule)."""
    x, y, z = corners.unbind(-1)
    at_x, at_y = x - (column + 0.5)[:, None], y - (row + 0.5)[:, None]
    sides = _sides(at_x, at_y)
    from_x, from_y, to_x, to_y = (n.roll(by, 1) for by in (-1, -2) for n in (x, y))
    owned = (to_y < from_y) | ((to_y == from_y) & (to_x > from_x))
    hit = ((sides > 0) | ((sides == 0) & owned)).all(1)
    u, v, w = sides.unbind(1)
    near_a, near_b, near_c = (1 / z).unbind(1)
    return (u * near_a + v * near_b + w * near_c) / (u + v + w), hit


def _sides(x: Tensor, y: Tensor) -> Tensor:
    """(P, 3) corners relative to the pixel's centre -> (P, 3) twice the areas opposite to each corner."""
    # Written so that swapping the ends of a side flips its sign exactly: neighbours agree on shared edges.
    next_x, next_y, last_x, last_y = (n.roll(by, 1) for by in (-1, -2) for n in (x, y))
    return next_x * last_y - next_y * last_x


def _weights(vertices: Tensor, triangles: Tensor, nearest: Tensor) -> Tensor:
    """Perspective-correct weights of the found triangles, with gradient in the vertices."""
    batch, row, column = (nearest >= 0).nonzero(as_tuple=True)
    corners = _precise(vertices[batch[:, None], triangles[nearest[batch, row, column]]])  # (P, 3, 3)
    x, y, z = corners.unbind(-1)
    share = _sides(x - (column + 0.5)[:, None], y - (row + 0.5)[:, None]) / z
    weights = (share / share.sum(1, keepdim=True)).to(vertices.dtype)
    empty = vertices.new_zeros((*nearest.shape, 3))
    return empty.index_put((batch, row, column), weights)
