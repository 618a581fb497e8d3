"""Smoothing over the edges of a mesh."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def neighbour_mean(triangles: NDArray[Any], count: int) -> sparse.csr_matrix:
    """(count, count) matrix that replaces each vertex's value by the mean of itself and its neighbours."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).T
    ones = np.ones(edges.shape[1], np.float32)
    linked = sparse.coo_matrix((ones, edges), (count, count))
    linked = ((linked + linked.T + sparse.eye(count)) > 0).astype(np.float32).tocsr()
    return sparse.diags(1 / np.asarray(linked.sum(1)).ravel()).astype(np.float32) @ linked
