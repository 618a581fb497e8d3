"""What every rasteriser backend takes and gives.

Pixel (column i, row j) is sampled at its centre (i + 0.5, j + 0.5). A triangle with a vertex at or behind the camera
(z <= 0) is dropped whole, as is one without area. A centre exactly on an edge belongs to the triangle whose top or left
edge it is, so neighbours leave neither hole nor overlap (pytorch3d instead gives such a centre to no triangle). Of two
triangles at the same depth the one with the lower index wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from faces.raster.numba_backend import interpolate_corners, interpolate_vertices, rasterize_numba
from problems import InvalidParameter

if TYPE_CHECKING:  # the numba backend works without loading torch
    import torch

Backend = Literal["numba", "torch", "pytorch3d"]


@dataclass(frozen=True)
class Fragments:
    """What covers each pixel."""

    triangle: NDArray[np.int32]
    """(h, w) index of the nearest triangle, -1 where there is none."""
    barycentric: NDArray[np.float32]
    """(h, w, 3) perspective-correct weights of the triangle's corners, zero where there is none."""

    def interpolate(self, attributes: NDArray[Any], triangles: NDArray[Any]) -> NDArray[np.float32]:
        """Per-vertex (V, C) or per-corner (F, 3, C) ``attributes`` -> (h, w, C), zero where nothing covers."""
        values = np.ascontiguousarray(attributes, np.float32)
        if values.ndim == 2:
            faces = np.ascontiguousarray(triangles, np.int32)
            return interpolate_vertices(self.triangle, self.barycentric, values, faces)
        return interpolate_corners(self.triangle, self.barycentric, values)


@dataclass(frozen=True)
class TensorFragments:
    """What covers each pixel of a batch of pictures."""

    triangle: torch.Tensor
    """(B, h, w) int64 index of the nearest triangle, -1 where there is none; without gradient."""
    barycentric: torch.Tensor
    """(B, h, w, 3) perspective-correct weights of the triangle's corners, zero where there is none; differentiable in
    the vertices' x, y and z."""

    def interpolate(self, attributes: torch.Tensor, triangles: torch.Tensor) -> torch.Tensor:
        """Per-vertex values at each pixel, differentiable in the values and, through the weights, in the vertices.

        Args:
            attributes: (V, C) for the whole batch, or (B, V, C).
            triangles: (F, 3), as they were rasterised.

        Returns:
            (B, h, w, C), zero where nothing covers.
        """
        return self.interpolate_corners(attributes[..., triangles.long(), :])

    def interpolate_corners(self, attributes: torch.Tensor) -> torch.Tensor:
        """The same for per-corner values, (F, 3, C) or (B, F, 3, C)."""
        batch, row, column = (self.triangle >= 0).nonzero(as_tuple=True)
        nearest = self.triangle[batch, row, column]
        corners = attributes[nearest] if attributes.ndim == 3 else attributes[batch, nearest]  # (N, 3, C)
        mixed = (corners * self.barycentric[batch, row, column, :, None]).sum(1)
        empty = mixed.new_zeros((*self.triangle.shape, attributes.shape[-1]))
        return empty.index_put((batch, row, column), mixed)


def available_backends() -> tuple[Backend, ...]:
    """The backends that work in this installation: numba and torch always, pytorch3d where it can be imported."""
    from faces.raster import pytorch3d_backend

    return ("numba", "torch", "pytorch3d") if pytorch3d_backend.importable() else ("numba", "torch")


def rasterize(
    vertices: NDArray[Any],
    triangles: NDArray[Any],
    size: tuple[int, int],
    *,
    cull_backfaces: bool = False,
    backend: Backend = "numba",
) -> Fragments:
    """Rasterise one mesh on the CPU.

    Args:
        vertices: (V, 3) x and y in pixels, z depth in millimetres (> 0, larger is farther).
        triangles: (F, 3) vertex indices; counter-clockwise seen from outside in head axes (y up).
        size: (height, width) in pixels.
        cull_backfaces: drop triangles that face away.
        backend: one of :func:`available_backends`.

    Raises:
        InvalidParameter: the backend is unknown or not installed.
    """
    if backend == "numba":
        points = np.ascontiguousarray(vertices, np.float64)
        faces = np.ascontiguousarray(triangles, np.int32)
        return Fragments(*rasterize_numba(points, faces, size[0], size[1], cull_backfaces))
    _require(backend)
    import torch

    fragments = rasterize_tensors(
        torch.from_numpy(np.array(vertices, np.float64))[None],
        torch.from_numpy(np.array(triangles, np.int64)),
        size,
        cull_backfaces=cull_backfaces,
        backend=backend,
    )
    return Fragments(
        fragments.triangle[0].to(torch.int32).numpy(), fragments.barycentric[0].to(torch.float32).numpy()
    )


def rasterize_tensors(
    vertices: torch.Tensor,
    triangles: torch.Tensor,
    size: tuple[int, int],
    *,
    cull_backfaces: bool = False,
    backend: Backend = "torch",
) -> TensorFragments:
    """Rasterise a batch of meshes that share their triangles, on the vertices' device.

    Which triangle covers a pixel is found without gradient; its weights are then computed from the vertices with
    gradient. Silhouettes therefore carry none: a pixel does not know of a triangle that nearly covers it.

    Args:
        vertices: (B, V, 3) x and y in pixels, z depth in millimetres (> 0, larger is farther); any floating dtype.
        triangles: (F, 3) vertex indices; counter-clockwise seen from outside in head axes (y up).
        size: (height, width) in pixels.
        cull_backfaces: drop triangles that face away.
        backend: ``torch`` (works in float64 inside, gives the vertices' dtype) or ``pytorch3d`` (works in float32).

    Raises:
        InvalidParameter: the backend is unknown, not installed, or ``numba``.
        ValueError: a shape is wrong.
    """
    _require(backend)
    if backend == "numba":
        raise InvalidParameter(
            "the numba rasteriser takes arrays, not tensors",
            remedy="use the torch backend for tensors, or rasterize() for arrays",
        )
    if vertices.ndim != 3 or vertices.shape[-1] != 3 or triangles.ndim != 2 or triangles.shape[-1] != 3:
        shapes = f"{tuple(vertices.shape)} and {tuple(triangles.shape)}"
        raise ValueError(f"expected (B, V, 3) vertices and (F, 3) triangles, got {shapes}")
    if backend == "torch":
        from faces.raster.torch_backend import rasterize_torch as run
    else:
        from faces.raster.pytorch3d_backend import rasterize_pytorch3d as run
    return TensorFragments(
        *run(vertices, triangles.to(vertices.device).long(), size[0], size[1], cull_backfaces)
    )


def _require(backend: str) -> None:
    known = get_args(Backend)
    if backend not in known:
        raise InvalidParameter(
            f"there is no rasteriser backend {backend!r}", remedy=f"use one of {', '.join(known)}"
        )
    if backend == "pytorch3d" and backend not in available_backends():
        raise InvalidParameter(
            "the rasteriser backend pytorch3d can't be imported here",
            remedy="use numba or torch, or install a pytorch3d that is built for this version of torch",
        )
