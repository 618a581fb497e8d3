"""All-frames Levenberg-Marquardt on landmarks, with analytic Jacobians and a Schur complement on the shared identity.

Unknowns: per frame a rotation, a translation and E expression coefficients bounded to [0, 1]; shared K identity
coefficients. Residuals: weighted re-projection of 478 landmarks (Huber), a prior per coefficient, and first differences
over time. The normal equations are block-tridiagonal in time (the smoothness couples neighbours by diagonal blocks)
with a dense border for the identity:

    [ D_1  B_1               C_1 ]
    [ B_1  D_2  B_2          C_2 ]
    [      ...               ... ]      Schur complement: (H_id - C' D^-1 C) d_id = g_id - C' D^-1 g
    [ C_1' C_2' ...          H_id]

Bounds are kept by an active set: a coefficient at a bound whose gradient points outwards does not move in that step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.camera import HEAD_TO_CAMERA, Camera
from faces.rotation import compose, exp_map

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SolverConfig:
    """How strongly pixels, priors and time pull."""

    pixel_sigma: float = 0.012
    """Expected landmark error in inter-ocular distances; 0.005..0.03."""
    huber: float = 2.5
    """Residuals beyond this many sigmas count linearly."""
    identity_sigma: float = 0.08
    """Prior of identity coefficients. Landmark errors repeat from frame to frame, so the prior must weigh as much as
    hundreds of frames do: a loose one runs to nine sigma and gains nothing."""
    smooth_rotation: float = 0.02
    """Expected frame-to-frame change of rotation, radians."""
    smooth_translation: float = 4.0
    """Expected frame-to-frame change of translation, millimetres (depth counts a third)."""
    smooth_expression: float = 0.18
    """Expected frame-to-frame change of an expression coefficient."""
    iterations: int = 12
    """Upper limit of accepted steps."""
    tolerance: float = 3e-4
    """Stop when an accepted step lowers the cost by less than this share."""


@dataclass
class FitState:
    """The unknowns while they are solved; float64."""

    rotation: Floats
    """(T, 3) axis-angle."""
    translation: Floats
    """(T, 3) millimetres."""
    expression: Floats
    """(T, E) in [0, 1]."""
    identity: Floats
    """(K,) standard deviations."""

    def copy(self) -> FitState:
        """An independent copy."""
        return FitState(
            self.rotation.copy(), self.translation.copy(), self.expression.copy(), self.identity.copy()
        )


@dataclass(frozen=True)
class Observations:
    """What is fitted to."""

    points: Floats
    """(T, L, 2) pixels."""
    weights: Floats
    """(L,) relative importance; 0 leaves a landmark out."""
    scale: Floats
    """(T,) inter-ocular distance in pixels: the unit of landmark noise."""
    gaps: Floats
    """(T - 1,) frames between neighbours (1 where none is missing)."""


@dataclass(frozen=True)
class LandmarkModel:
    """The morphable model restricted to L landmarks."""

    neutral: Floats
    """(L, 3) mean plus personal offsets, millimetres."""
    identity_basis: Floats
    """(L, 3, K)."""
    expression_basis: Floats
    """(L, 3, E)."""
    expression_sigma: Floats
    """(E,) prior standard deviation of each coefficient; 0 switches it off."""


class LandmarkSolver:
    """Levenberg-Marquardt over all given frames at once.

    Args:
        model: the landmark rows of the morphable model.
        camera: the fixed camera.
        observed: landmarks and weights.
        config: noise and priors.
        solve_identity: also solve the shared identity.
    """

    def __init__(
        self,
        model: LandmarkModel,
        camera: Camera,
        observed: Observations,
        config: SolverConfig,
        *,
        solve_identity: bool,
    ) -> None:
        self.model, self.camera, self.observed, self.config = model, camera, observed, config
        self.solve_identity = solve_identity
        self.free_expression = np.nonzero(model.expression_sigma > 0)[0]
        self.basis = model.expression_basis[..., self.free_expression]  # (L, 3, A)
        steps = np.concatenate(
            [
                np.full(3, config.smooth_rotation),
                np.array([1.0, 1.0, 3.0]) * config.smooth_translation,
                np.full(len(self.free_expression), config.smooth_expression),
            ]
        )
        self.coupling = 1.0 / steps**2 / np.maximum(observed.gaps, 1.0)[:, None]  # (T - 1, P)
        self.prior = np.concatenate([np.zeros(6), model.expression_sigma[self.free_expression] ** -2])  # (P,)

    def project(self, state: FitState) -> tuple[Floats, Floats, Floats]:
        """Pixels (T, L, 2), points before translation (T, L, 3) and after it (T, L, 3)."""
        shape = self.model.neutral + self.model.identity_basis @ state.identity
        shapes = shape + np.einsum("lda,ta->tld", self.basis, state.expression[:, self.free_expression])
        turned = shapes @ (HEAD_TO_CAMERA @ exp_map(state.rotation)).transpose(0, 2, 1)
        placed = turned + state.translation[:, None]
        return self.camera.project(placed), turned, placed

    def residuals(self, state: FitState) -> tuple[Floats, Floats]:
        """Weighted landmark residuals (T, L, 2) in sigmas, and their Huber weights (T, L)."""
        pixels, _, _ = self.project(state)
        sigma = self.config.pixel_sigma * self.observed.scale[:, None, None]
        residual = (pixels - self.observed.points) / sigma * np.sqrt(self.observed.weights)[None, :, None]
        size = np.linalg.norm(residual, axis=-1)
        return residual, np.minimum(1.0, self.config.huber / np.maximum(size, 1e-9))

    def cost(self, state: FitState) -> float:
        """Half the robust sum of squares, with priors and smoothness."""
        residual, _ = self.residuals(state)
        size = np.linalg.norm(residual, axis=-1)
        h = self.config.huber
        data = np.where(size < h, size**2 / 2, h * (size - h / 2)).sum()
        parameters = self._parameters(state)
        prior = (self.prior * parameters**2).sum() / 2
        smooth = (self.coupling * self._differences(state) ** 2).sum() / 2
        identity = (
            (state.identity**2).sum() / self.config.identity_sigma**2 / 2 if self.solve_identity else 0.0
        )
        return float(data + prior + smooth + identity)

    def _parameters(self, state: FitState) -> Floats:
        zeros = np.zeros((len(state.rotation), 6))
        return np.concatenate([zeros, state.expression[:, self.free_expression]], axis=1)  # pose has no prior

    def _differences(self, state: FitState) -> Floats:
        """(T - 1, P) later minus earlier; rotations as the relative axis-angle in camera axes."""
        turn = compose(state.rotation[1:], -state.rotation[:-1]) @ HEAD_TO_CAMERA
        active = state.expression[:, self.free_expression]
        return np.concatenate([turn, np.diff(state.translation, axis=0), np.diff(active, axis=0)], axis=1)

    def jacobian(self, state: FitState) -> tuple[Floats, Floats, Floats]:
        """Unweighted pixel Jacobians: per frame (T, L, 2, P) with P = 6 + A, identity (T, L, 2, K), pixels (T, L, 2).

        The first three parameters are a rotation increment applied from the left in camera axes.
        """
        pixels, turned, placed = self.project(state)
        x, y, z = placed[..., 0], placed[..., 1], placed[..., 2]
        f = self.camera.focal
        zero = np.zeros_like(x)
        du = np.stack(
            [np.stack([f / z, zero, -f * x / z**2], -1), np.stack([zero, f / z, -f * y / z**2], -1)], -2
        )
        cross = np.zeros((*turned.shape[:2], 3, 3))  # minus the cross-product matrix of the turned point
        cross[..., 0, 1], cross[..., 0, 2] = turned[..., 2], -turned[..., 1]
        cross[..., 1, 0], cross[..., 1, 2] = -turned[..., 2], turned[..., 0]
        cross[..., 2, 0], cross[..., 2, 1] = turned[..., 1], -turned[..., 0]
        rotation = HEAD_TO_CAMERA @ exp_map(state.rotation)  # (T, 3, 3)
        head = du @ rotation[:, None]  # (T, L, 2, 3): pixels by head-frame displacement
        expression = np.matmul(head.swapaxes(0, 1).reshape(head.shape[1], -1, 3), self.basis)
        expression = expression.reshape(head.shape[1], len(rotation), 2, -1).swapaxes(0, 1)
        frame = np.concatenate([du @ cross, du, expression], axis=-1)
        if not self.solve_identity:
            return frame, np.zeros((*pixels.shape, 0)), pixels
        identity = np.matmul(head.swapaxes(0, 1).reshape(head.shape[1], -1, 3), self.model.identity_basis)
        return frame, identity.reshape(head.shape[1], len(rotation), 2, -1).swapaxes(0, 1), pixels

    def solve(self, state: FitState, on_step: Callable[[int, float], None] | None = None) -> FitState:
        """Minimise from ``state``; every accepted step lowers the cost."""
        state = state.copy()
        cost, damping = self.cost(state), 1e-3
        for iteration in range(self.config.iterations):
            normal = self._normal_equations(state)
            improved = False
            for _ in range(6):
                trial = self._step(state, normal, damping)
                trial_cost = self.cost(trial)
                if trial_cost < cost:
                    gain = (cost - trial_cost) / max(cost, 1e-12)
                    state, cost, damping, improved = trial, trial_cost, max(damping / 5, 1e-7), True
                    break
                damping *= 8
            if on_step is not None:
                on_step(iteration + 1, cost)
            if not improved or gain < self.config.tolerance:
                break
        return state

    def _normal_equations(self, state: FitState) -> dict[str, Any]:
        frame, identity, _ = self.jacobian(state)
        residual, robust = self.residuals(state)
        sigma = self.config.pixel_sigma * self.observed.scale
        root = np.sqrt(self.observed.weights)[None, :] * np.sqrt(robust) / sigma[:, None]  # (T, L)
        frames, landmarks = root.shape
        frame = (frame * root[:, :, None, None]).reshape(frames, landmarks * 2, -1)
        weighted = (residual * np.sqrt(robust)[..., None]).reshape(frames, landmarks * 2, 1)
        transposed = frame.transpose(0, 2, 1)
        blocks = transposed @ frame  # (T, P, P)
        gradient = (transposed @ weighted)[..., 0]  # (T, P)
        diagonal = np.arange(blocks.shape[1])
        blocks[:, diagonal, diagonal] += self.prior
        gradient += self.prior * self._parameters(state)
        pull = self.coupling * self._differences(state)
        blocks[:-1, diagonal, diagonal] += self.coupling
        blocks[1:, diagonal, diagonal] += self.coupling
        gradient[:-1] -= pull
        gradient[1:] += pull
        border = id_block = id_gradient = None
        if self.solve_identity:
            identity = (identity * root[:, :, None, None]).reshape(frames, landmarks * 2, -1)
            border = transposed @ identity  # (T, P, K)
            flat = identity.reshape(-1, identity.shape[-1])
            id_block = flat.T @ flat + np.eye(flat.shape[1]) / self.config.identity_sigma**2
            id_gradient = flat.T @ weighted.reshape(-1) + state.identity / self.config.identity_sigma**2
        return {
            "blocks": blocks, "gradient": gradient, "border": border, "id_block": id_block, "id_gradient": id_gradient
        }  # fmt: skip

    def _step(self, state: FitState, normal: dict[str, Any], damping: float) -> FitState:
        blocks, gradient = normal["blocks"].copy(), normal["gradient"].copy()
        frames, size = gradient.shape
        active = state.expression[:, self.free_expression]
        held = np.zeros((frames, size), bool)
        held[:, 6:] = ((active <= 0) & (gradient[:, 6:] > 0)) | ((active >= 1) & (gradient[:, 6:] < 0))
        free = ~held
        diagonal = np.arange(size)
        blocks[:, diagonal, diagonal] *= 1 + damping
        blocks *= free[:, :, None] & free[:, None, :]
        blocks[:, diagonal, diagonal] += held
        gradient *= free
        coupling = -self.coupling * (free[:-1] & free[1:])
        if self.solve_identity:
            border = normal["border"] * free[:, :, None]
            solved = _solve_tridiagonal(blocks, coupling, np.concatenate([gradient[..., None], border], -1))
            particular, response = solved[..., 0], solved[..., 1:]
            id_block = normal["id_block"] * (1 + damping * np.eye(len(normal["id_block"])))
            schur = id_block - np.einsum("tpk,tpj->kj", border, response)
            step_identity = np.linalg.solve(
                schur, normal["id_gradient"] - np.einsum("tpk,tp->k", border, particular)
            )
            step = particular - response @ step_identity
        else:
            step = _solve_tridiagonal(blocks, coupling, gradient[..., None])[..., 0]
            step_identity = np.zeros_like(state.identity)
        expression = state.expression.copy()
        expression[:, self.free_expression] = np.clip(active - step[:, 6:], 0.0, 1.0)
        return FitState(
            compose(-step[:, :3] @ HEAD_TO_CAMERA, state.rotation),
            state.translation - step[:, 3:6],
            expression,
            state.identity - step_identity,
        )


def _solve_tridiagonal(blocks: Floats, coupling: Floats, right: Floats) -> Floats:
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
