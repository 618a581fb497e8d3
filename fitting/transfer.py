"""ARKit expressions for a model that has none, or has components without names.

The shipped head's displacements are read off where it lies on the other model (deformation by correspondence, Noh and
Neumann, SIGGRAPH 2001). Across the closed mouth and between the lids the nearest surface is ambiguous: there the field
is solved along the other model's own mesh, which does not bridge them. Then each field is projected onto the model's
own components, which know its own faces better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from faces.morphable import INNER_MOUTH, SKIN, MorphableModel
from fitting.closest import Floats, Surface, vertex_normals
from fitting.registration import laplacian

SEPARATED = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight")
"""Expressions that move neighbouring surfaces apart."""


@dataclass(frozen=True)
class TransferConfig:
    """How displacements are carried over."""

    near: float = 2.0
    """Surfaces this much further away than the nearest are rivals, millimetres."""
    spread: float = 1.5
    """Disagreement of rivals' displacements at which a vertex is trusted half, millimetres."""
    reach: float = 10.0
    """Distance from the shipped head at which a vertex is trusted to 1/e, millimetres."""
    smoothness: float = 0.02
    """Stiffness of the field along the mesh."""
    ridge: float = 1e-3
    """Of the projection, as a share of the components' mean square length."""
    explained: float = 0.9
    """Share of a displacement's square that the model's own components must explain to replace it."""
    sample: int = 8000
    """Vertices that the projection is solved on."""


def transfer_expressions(
    head: MorphableModel,
    shipped: Floats,
    scale: float,
    vertices: Floats,
    triangles: NDArray[Any],
    config: TransferConfig,
) -> Floats:
    """(V, 3, E) millimetres: ``head``'s expressions on another skin.

    Args:
        head: the shipped head.
        shipped: (S, 3) its vertices laid over the other head.
        scale: size of the other head over the shipped one.
        vertices: (V, 3) the other head.
        triangles: (F, 3) its skin, and the inside of its mouth if it has one.
    """
    bends = head.triangles[np.isin(head.triangle_part, (SKIN, INNER_MOUTH))]
    source = Surface(shipped, bends)
    used = np.unique(triangles)
    normals = vertex_normals(vertices, triangles)[used]
    near, weights, distance = source.look_up(vertices[used], normals)
    count = len(head.expression_names)
    rows = head.expression_basis.reshape(len(shipped), -1)
    field = scale * source.at(near[:, 0], weights[:, 0], rows)

    apart = np.concatenate([head.expression_basis[..., head.expression_index(n)] for n in SEPARATED], axis=1)
    rivals = scale * source.at(near, weights, apart)
    different = np.linalg.norm(rivals - rivals[:, :1], axis=-1) * (distance < distance[:, :1] + config.near)
    trust = 1 / (1 + (different.max(1) / config.spread) ** 2)
    trust = trust**2 * np.exp(-((distance[:, 0] / config.reach) ** 2))
    renumber = np.full(len(vertices), -1)
    renumber[used] = np.arange(len(used))
    smooth = laplacian(vertices[used], renumber[triangles])
    far = 0.05 * np.clip((distance[:, 0] - config.reach) / config.reach, 0, 1)  # there nothing moves
    system = config.smoothness * smooth.T @ smooth + sparse.diags(trust + far + 1e-6)
    result = np.zeros((len(vertices), 3 * count))
    result[used] = splu(system.tocsc()).solve(trust[:, None] * field)
    return result.reshape(len(vertices), 3, count)


def project_on_own(
    wanted: Floats, own: NDArray[Any], skin: NDArray[np.int64], config: TransferConfig
) -> tuple[Floats, NDArray[np.bool_]]:
    """Replace displacements by the model's own components where these explain them.

    Args:
        wanted: (V, 3, E) millimetres.
        own: (V, 3, C) the model's components, a standard deviation each.
        skin: vertices that count.

    Returns:
        (V, 3, E) displacements, and (E,) which of them are the model's own.
    """
    every = skin[:: max(len(skin) // config.sample, 1)]
    basis = own[every].reshape(-1, own.shape[-1]).astype(np.float64)
    target = wanted[every].reshape(-1, wanted.shape[-1])
    normal = basis.T @ basis
    ridge = config.ridge * np.trace(normal) / len(normal) * np.eye(len(normal))
    coefficients = np.linalg.solve(normal + ridge, basis.T @ target)
    left = ((target - basis @ coefficients) ** 2).sum(0)
    good = left < (1 - config.explained) * (target**2).sum(0)
    result = wanted.copy()
    result[..., good] = own @ coefficients[:, good]
    return result, good
