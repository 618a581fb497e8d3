"""The arithmetic of one Levenberg-Marquardt step: rows of the Jacobian, their products, and the banded solve.

A frame's rows are made, multiplied and forgotten before the next frame's, so memory does not grow with the clip and
the rows stay in the cache (all frames' Jacobians at once took three times as long and a gigabyte).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from training.runtime import in_threads

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PointRows:
    """Points on the head whose projections are compared with something seen, in T frames."""

    placed: Floats
    """(T, L, 3) camera millimetres."""
    turned: Floats
    """(T, L, 3) the same before translation."""
    expression_basis: Floats
    """(L, 3, A) head frame, free coefficients only."""
    shared_basis: Floats
    """(L, 3, K) head frame; K = 0 when nothing shared is solved."""
    direction: Floats
    """(T, L, D, 2) what is measured of a pixel displacement, weighted: D = 2 for a position, 1 for a brightness."""
    residual: Floats
    """(T, L, D) weighted residuals."""


@dataclass(frozen=True)
class NormalEquations:
    """J'J and J'r, block by block; P = 6 + A frame parameters, S shared ones (identity, then log focal)."""

    blocks: Floats
    """(T, P, P)."""
    gradient: Floats
    """(T, P)."""
    border: Floats
    """(T, P, S)."""
    shared_block: Floats
    """(S, S)."""
    shared_gradient: Floats
    """(S,)."""

    def plus(self, other: NormalEquations) -> NormalEquations:
        """The sum of two kinds of measurement."""
        return NormalEquations(
            self.blocks + other.blocks,
            self.gradient + other.gradient,
            self.border + other.border,
            self.shared_block + other.shared_block,
            self.shared_gradient + other.shared_gradient,
        )


def accumulate(rows: PointRows, rotation: Floats, focal: float, *, with_focal: bool) -> NormalEquations:
    """Products of all rows.

    Args:
        rows: one kind of measurement.
        rotation: (T, 3, 3) head to camera axes.
        focal: pixels.
        with_focal: add the logarithm of the focal length to the shared parameters.
    """
    frames, size = len(rotation), 6 + rows.expression_basis.shape[-1]
    shared = rows.shared_basis.shape[-1] + int(with_focal)
    out = NormalEquations(
        np.zeros((frames, size, size)),
        np.zeros((frames, size)),
        np.zeros((frames, size, shared)),
        np.zeros((shared, shared)),
        np.zeros(shared),
    )
    # Points whose weight is zero in every frame cost nothing.
    used = np.nonzero(np.abs(rows.direction).max((0, 2, 3)) > 0)[0]
    measured = [
        np.ascontiguousarray(x[:, used]) for x in (rows.placed, rows.turned, rows.direction, rows.residual)
    ]
    expression = np.ascontiguousarray(rows.expression_basis[used])
    identity = np.ascontiguousarray(rows.shared_basis[used])

    def work(part: slice) -> tuple[Floats, Floats]:
        placed, turned, direction, residual = (x[part] for x in measured)
        return _multiply(
            placed, turned, direction, residual, rotation[part], focal, expression, identity, with_focal,
            out.blocks[part], out.gradient[part], out.border[part],
        )  # fmt: skip

    # Threads of our own: BLAS's spin between small products, which on a shared machine cost five times the work.
    for block, gradient in in_threads(work, frames):
        out.shared_block[:] += block
        out.shared_gradient[:] += gradient
    return out


@njit(cache=True, nogil=True)
def frame_rows(
    placed: Any, turned: Any, rotation: Any, focal: Any, direction: Any, expression: Any, identity: Any,
    with_focal: Any, jacobian: Any, border: Any,
) -> None:  # pragma: no cover - compiled  # fmt: skip
    """Weighted rows of one frame, (L D, 6 + A) and (L D, S), in place.

    The first three parameters are a rotation increment from the left in camera axes: d(turned) = increment x turned.
    """
    points, measures = direction.shape[0], direction.shape[1]
    moving, constant = expression.shape[2], identity.shape[2]
    for n in range(points):
        x, y, z = placed[n, 0], placed[n, 1], placed[n, 2]
        tx, ty, tz = turned[n, 0], turned[n, 1], turned[n, 2]
        scale = focal / z
        for d in range(measures):
            row = n * measures + d
            gx, gy = direction[n, d, 0], direction[n, d, 1]
            # Change of the measurement by a displacement of the point in camera axes.
            cx, cy = gx * scale, gy * scale
            cz = -(gx * x + gy * y) * scale / z
            jacobian[row, 0] = cz * ty - cy * tz
            jacobian[row, 1] = cx * tz - cz * tx
            jacobian[row, 2] = cy * tx - cx * ty
            jacobian[row, 3], jacobian[row, 4], jacobian[row, 5] = cx, cy, cz
            hx = cx * rotation[0, 0] + cy * rotation[1, 0] + cz * rotation[2, 0]
            hy = cx * rotation[0, 1] + cy * rotation[1, 1] + cz * rotation[2, 1]
            hz = cx * rotation[0, 2] + cy * rotation[1, 2] + cz * rotation[2, 2]
            for k in range(moving):
                jacobian[row, 6 + k] = (
                    hx * expression[n, 0, k] + hy * expression[n, 1, k] + hz * expression[n, 2, k]
                )
            for k in range(constant):
                border[row, k] = hx * identity[n, 0, k] + hy * identity[n, 1, k] + hz * identity[n, 2, k]
            if with_focal:
                border[row, constant] = (gx * x + gy * y) * scale


@njit(cache=True, nogil=True, fastmath=True)
def _multiply(
    placed: Any, turned: Any, direction: Any, residual: Any, rotation: Any, focal: Any, expression: Any,
    identity: Any, with_focal: Any, blocks: Any, gradient: Any, border: Any,
) -> Any:  # pragma: no cover - compiled  # fmt: skip
    """Products of some frames, in place; returns those of the shared parameters."""
    frames, size, shared = len(placed), blocks.shape[1], border.shape[2]
    own = np.zeros((direction.shape[1] * direction.shape[2], size))
    common = np.zeros((len(own), shared))
    shared_block, shared_gradient = np.zeros((shared, shared)), np.zeros(shared)
    for t in range(frames):
        frame_rows(
            placed[t],
            turned[t],
            rotation[t],
            focal,
            direction[t],
            expression,
            identity,
            with_focal,
            own,
            common,
        )
        errors = residual[t].ravel()
        for row in range(len(own)):
            error = errors[row]
            for i in range(size):
                value = own[row, i]
                gradient[t, i] += value * error
                for j in range(i + 1):
                    blocks[t, i, j] += value * own[row, j]
                for j in range(shared):
                    border[t, i, j] += value * common[row, j]
            for i in range(shared):
                value = common[row, i]
                shared_gradient[i] += value * error
                for j in range(i + 1):
                    shared_block[i, j] += value * common[row, j]
        for i in range(size):
            for j in range(i):
                blocks[t, j, i] = blocks[t, i, j]
    for i in range(shared):
        for j in range(i):
            shared_block[j, i] = shared_block[i, j]
    return shared_block, shared_gradient


def solve_tridiagonal(blocks: Floats, coupling: Floats, right: Floats) -> Floats:
    """Solve a symmetric block-tridiagonal system by block elimination (the block Thomas algorithm).

    Args:
        blocks: (T, P, P) diagonal blocks.
        coupling: (T - 1, P) diagonals of the off-diagonal blocks.
        right: (T, P, R) right-hand sides.
    """
    frames = len(blocks)
    inverses = np.empty_like(blocks)
    forward = right.copy()
    inverses[0] = np.linalg.inv(blocks[0])
    for t in range(1, frames):
        c = coupling[t - 1]
        carried = c[:, None] * inverses[t - 1]  # B D^-1
        inverses[t] = np.linalg.inv(blocks[t] - carried * c[None, :])
        forward[t] -= carried @ forward[t - 1]
    solution = np.empty_like(forward)
    solution[-1] = inverses[-1] @ forward[-1]
    for t in range(frames - 2, -1, -1):
        solution[t] = inverses[t] @ (forward[t] - coupling[t][:, None] * solution[t + 1])
    return solution
