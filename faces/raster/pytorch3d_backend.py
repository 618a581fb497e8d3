"""pytorch3d's rasteriser behind this product's conventions; imported only when it is asked for.

pytorch3d's normalised device coordinates have x to the left, y up, and the shorter side of the picture spans [-1, 1];
it works in float32 and gives a pixel centre exactly on an edge to no triangle. Checked with pytorch3d 0.7.9 on a CPU,
where it tries every triangle at every pixel: seconds for a head that the other backends draw in milliseconds.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module

import torch
from torch import Tensor


@lru_cache(maxsize=1)
def importable() -> bool:
    """Whether pytorch3d and its compiled part load in this process."""
    try:
        import_module("pytorch3d.renderer.mesh.rasterize_meshes")
    except (ImportError, OSError):  # not there, or built for another torch
        return False
    return True


def to_ndc(vertices: Tensor, height: int, width: int) -> Tensor:
    """(..., 3) x, y in pixels and z -> x, y in pytorch3d's normalised device coordinates and the same z."""
    x, y, z = vertices.unbind(-1)
    shorter = min(height, width)
    return torch.stack([(width - 2 * x) / shorter, (height - 2 * y) / shorter, z], dim=-1)


def rasterize_pytorch3d(
    vertices: Tensor, triangles: Tensor, height: int, width: int, cull: bool
) -> tuple[Tensor, Tensor]:
    """(B, V, 3) and (F, 3) -> (B, h, w) int64 ids and (B, h, w, 3) differentiable weights in the vertices' dtype."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    batch, count = len(vertices), len(triangles)
    if batch == 0 or count == 0:
        nothing = torch.full((batch, height, width), -1, dtype=torch.int64, device=vertices.device)
        return nothing, vertices.new_zeros((batch, height, width, 3))
    behind = ~(vertices.detach()[..., 2] > 0)[:, triangles].all(-1)  # (B, F)
    # A triangle without area is never drawn, and keeps the numbering.
    faces = torch.where(behind[..., None], 0, triangles)
    packed, _, weights, _ = rasterize_meshes(
        Meshes(to_ndc(vertices.double(), height, width).float(), faces),
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        perspective_correct=True,
        cull_backfaces=cull,
    )
    found = packed[..., 0]  # numbered through the batch
    covered = found >= 0
    weights = torch.where(covered[..., None], weights[..., 0, :], 0.0)
    return torch.where(covered, found % count, -1), weights.to(vertices.dtype)
