"""All-frames Levenberg-Marquardt on landmarks, with analytic Jacobians and a Schur complement on the shared identity.

Unknowns: per frame a rotation, a translation and E expression coefficients bounded to [0, 1]; shared K identity
coefficients and the focal length. Residuals: weighted re-projection of 478 landmarks and, once the face's colours are
known, the brightness of points on its surface (both Huber), a prior per coefficient, and first differences over time.
The normal equations are block-tridiagonal in time (the smoothness couples neighbours by diagonal blocks) with a dense
border for what is shared:

    [ D_1  B_1               C_1 ]
    [ B_1  D_2  B_2          C_2 ]
    [      ...               ... ]      Schur complement: (H - C' D^-1 C) d_shared = g_shared - C' D^-1 g
    [ C_1' C_2' ...           H  ]

Bounds are kept by an active set: a coefficient at a bound whose gradient points outwards does not move in that step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from faces.camera import HEAD_TO_CAMERA, Camera
from faces.rotation import compose, exp_map
from fitting.normal_equations import NormalEquations, PointRows, accumulate, frame_rows, solve_tridiagonal

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
    focal_sigma: float = 0.15
    """Prior of the focal length's logarithm round the camera's value."""
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
    log_focal: float = 0.0
    """Natural logarithm of the focal length over the camera's."""

    def copy(self) -> FitState:
        """An independent copy."""
        return FitState(
            self.rotation.copy(),
            self.translation.copy(),
            self.expression.copy(),
            self.identity.copy(),
            self.log_focal,
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


class SurfaceTerm(Protocol):
    """Brightness measured at N points of the surface in T frames (``fitting.photometric``)."""

    @property
    def neutral(self) -> Floats:
        """(N, 3) millimetres, head frame."""
        ...

    @property
    def expression_basis(self) -> Floats:
        """(N, 3, E)."""
        ...

    def measure(self, pixels: Floats) -> tuple[Floats, Floats]:
        """(T, N, 2) pixels -> residuals (T, N) in sigmas and their gradients (T, N, 2) per pixel."""
        ...


class LandmarkSolver:
    """Levenberg-Marquardt over all given frames at once.

    Args:
        model: the landmark rows of the morphable model.
        camera: the camera; its focal length is fixed, or the start where it is solved.
        observed: landmarks and weights.
        config: noise and priors.
        solve_identity: also solve the shared identity.
        solve_focal: also solve the focal length.
        surface: also match the brightness of the surface.
    """

    def __init__(
        self,
        model: LandmarkModel,
        camera: Camera,
        observed: Observations,
        config: SolverConfig,
        *,
        solve_identity: bool,
        solve_focal: bool = False,
        surface: SurfaceTerm | None = None,
    ) -> None:
        self.model, self.camera, self.observed, self.config = model, camera, observed, config
        self.solve_identity, self.solve_focal, self.surface = solve_identity, solve_focal, surface
        self.free_expression = np.nonzero(model.expression_sigma > 0)[0]
        self.basis = np.ascontiguousarray(model.expression_basis[..., self.free_expression])  # (L, 3, A)
        identities = model.identity_basis.shape[-1] if solve_identity else 0
        self.identity_basis = np.ascontiguousarray(model.identity_basis[..., :identities])
        if surface is not None:
            self.surface_basis = np.ascontiguousarray(surface.expression_basis[..., self.free_expression])
        steps = np.concatenate(
            [
                np.full(3, config.smooth_rotation),
                np.array([1.0, 1.0, 3.0]) * config.smooth_translation,
                np.full(len(self.free_expression), config.smooth_expression),
            ]
        )
        self.coupling = 1.0 / steps**2 / np.maximum(observed.gaps, 1.0)[:, None]  # (T - 1, P)
        self.prior = np.concatenate([np.zeros(6), model.expression_sigma[self.free_expression] ** -2])  # (P,)
        shared = [np.full(identities, config.identity_sigma)] + [np.array([config.focal_sigma])] * solve_focal
        self.shared_prior = np.concatenate(shared) ** -2  # (S,)

    def focal(self, state: FitState) -> float:
        """The focal length in pixels."""
        return self.camera.focal * float(np.exp(state.log_focal))

    def project(self, state: FitState) -> tuple[Floats, Floats, Floats]:
        """Pixels (T, L, 2), points before translation (T, L, 3) and after it (T, L, 3)."""
        return self._project(
            self.model.neutral + self.model.identity_basis @ state.identity, self.basis, state
        )

    def _project(self, neutral: Floats, basis: Floats, state: FitState) -> tuple[Floats, Floats, Floats]:
        active = state.expression[:, self.free_expression]
        shapes = neutral + (active @ basis.reshape(-1, basis.shape[-1]).T).reshape(len(active), -1, 3)
        turned = shapes @ (HEAD_TO_CAMERA @ exp_map(state.rotation)).transpose(0, 2, 1)
        placed = turned + state.translation[:, None]
        centre = np.array([self.camera.cx, self.camera.cy])
        return placed[..., :2] * (self.focal(state) / placed[..., 2:]) + centre, turned, placed

    def residuals(self, state: FitState) -> tuple[Floats, Floats]:
        """Weighted landmark residuals (T, L, 2) in sigmas, and their Huber weights (T, L)."""
        pixels, _, _ = self.project(state)
        sigma = self.config.pixel_sigma * self.observed.scale[:, None, None]
        residual = (pixels - self.observed.points) / sigma * np.sqrt(self.observed.weights)[None, :, None]
        return residual, self._robust(np.linalg.norm(residual, axis=-1))

    def _robust(self, size: Floats) -> Floats:
        return np.minimum(1.0, self.config.huber / np.maximum(size, 1e-9))

    def _huber(self, size: Floats) -> float:
        h = self.config.huber
        return float(np.where(size < h, size**2 / 2, h * (size - h / 2)).sum())

    def cost(self, state: FitState) -> float:
        """Half the robust sum of squares, with priors and smoothness."""
        residual, _ = self.residuals(state)
        data = self._huber(np.linalg.norm(residual, axis=-1))
        if self.surface is not None:
            pixels, _, _ = self._project(self.surface.neutral, self.surface_basis, state)
            data += self._huber(np.abs(self.surface.measure(pixels)[0]))
        prior = (self.prior * self._parameters(state) ** 2).sum() / 2
        smooth = (self.coupling * self._differences(state) ** 2).sum() / 2
        shared = (self.shared_prior * self._shared(state) ** 2).sum() / 2
        return float(data + prior + smooth + shared)

    def _parameters(self, state: FitState) -> Floats:
        zeros = np.zeros((len(state.rotation), 6))
        return np.concatenate([zeros, state.expression[:, self.free_expression]], axis=1)  # pose has no prior

    def _shared(self, state: FitState) -> Floats:
        """(S,) the shared unknowns."""
        identity = state.identity if self.solve_identity else np.zeros(0)
        return np.append(identity, state.log_focal) if self.solve_focal else identity

    def _differences(self, state: FitState) -> Floats:
        """(T - 1, P) later minus earlier; rotations as the relative axis-angle in camera axes."""
        turn = compose(state.rotation[1:], -state.rotation[:-1]) @ HEAD_TO_CAMERA
        active = state.expression[:, self.free_expression]
        return np.concatenate([turn, np.diff(state.translation, axis=0), np.diff(active, axis=0)], axis=1)

    def jacobian(self, state: FitState) -> tuple[Floats, Floats]:
        """Pixel Jacobians (T, L, 2, P) and (T, L, 2, S): what a step is made from, without weights; for tests."""
        _, turned, placed = self.project(state)
        rotation = HEAD_TO_CAMERA @ exp_map(state.rotation)
        points, size = len(self.basis), 6 + self.basis.shape[-1]
        frame = np.zeros((len(rotation), points * 2, size))
        shared = np.zeros((len(rotation), points * 2, len(self.shared_prior)))
        for t in range(len(rotation)):
            frame_rows(
                placed[t], turned[t], rotation[t], self.focal(state), np.tile(np.eye(2), (points, 1, 1)),
                self.basis, self.identity_basis, self.solve_focal, frame[t], shared[t],
            )  # fmt: skip
        shape = (len(rotation), points, 2)
        return frame.reshape(*shape, size), shared.reshape(*shape, shared.shape[-1])

    def solve(self, state: FitState, on_step: Callable[[int, float], None] | None = None) -> FitState:
        """Minimise from ``state``; every accepted step lowers the cost."""
        # A frame's system is small: BLAS's threads would wait for each other, and on a shared machine cost ten times
        # the work.
        with threadpool_limits(1, "blas"):
            return self._solve(state, on_step)

    def _solve(self, state: FitState, on_step: Callable[[int, float], None] | None) -> FitState:
        state = state.copy()
        cost, damping = self.cost(state), 1e-3
        for iteration in range(self.config.iterations):
            normal = self.normal_equations(state)
            improved = False
            for _ in range(6):
                trial = self.step(state, normal, damping)
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

    def landmark_rows(self, state: FitState) -> PointRows:
        """Rows of the re-projection residuals."""
        _, turned, placed = self.project(state)
        residual, robust = self.residuals(state)
        sigma = self.config.pixel_sigma * self.observed.scale[:, None]
        root = np.sqrt(self.observed.weights)[None, :] * np.sqrt(robust) / sigma  # (T, L)
        direction = root[..., None, None] * np.eye(2)
        return PointRows(
            placed, turned, self.basis, self.identity_basis, direction, residual * np.sqrt(robust)[..., None]
        )

    def surface_rows(self, state: FitState) -> PointRows:
        """Rows of the brightness residuals."""
        assert self.surface is not None
        pixels, turned, placed = self._project(self.surface.neutral, self.surface_basis, state)
        residual, gradient = self.surface.measure(pixels)
        root = np.sqrt(self._robust(np.abs(residual)))
        nothing = np.zeros((*self.surface_basis.shape[:2], self.identity_basis.shape[-1]))
        return PointRows(
            placed, turned, self.surface_basis, nothing, (gradient * root[..., None])[..., None, :],
            (residual * root)[..., None],
        )  # fmt: skip

    def normal_equations(self, state: FitState) -> NormalEquations:
        """Data, priors and smoothness; the smoothness between frames is ``coupling``."""
        rotation, focal = HEAD_TO_CAMERA @ exp_map(state.rotation), self.focal(state)
        normal = accumulate(self.landmark_rows(state), rotation, focal, with_focal=self.solve_focal)
        if self.surface is not None:
            extra = accumulate(self.surface_rows(state), rotation, focal, with_focal=self.solve_focal)
            normal = normal.plus(extra)
        diagonal = np.arange(normal.blocks.shape[1])
        normal.blocks[:, diagonal, diagonal] += self.prior
        normal.gradient[:] += self.prior * self._parameters(state)
        pull = self.coupling * self._differences(state)
        normal.blocks[:-1, diagonal, diagonal] += self.coupling
        normal.blocks[1:, diagonal, diagonal] += self.coupling
        normal.gradient[:-1] -= pull
        normal.gradient[1:] += pull
        shared = np.arange(len(self.shared_prior))
        normal.shared_block[shared, shared] += self.shared_prior
        normal.shared_gradient[:] += self.shared_prior * self._shared(state)
        return normal

    def step(self, state: FitState, normal: NormalEquations, damping: float) -> FitState:
        """The damped Gauss-Newton step from ``state``."""
        blocks, gradient = normal.blocks.copy(), normal.gradient.copy()
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
        border = normal.border * free[:, :, None]
        solved = solve_tridiagonal(blocks, coupling, np.concatenate([gradient[..., None], border], -1))
        step, response = solved[..., 0], solved[..., 1:]
        identity, log_focal = state.identity, state.log_focal
        if len(self.shared_prior):
            shared_block = normal.shared_block * (1 + damping * np.eye(len(self.shared_prior)))
            schur = shared_block - np.einsum("tpk,tpj->kj", border, response)
            right = normal.shared_gradient - np.einsum("tpk,tp->k", border, step)
            shared = np.linalg.solve(schur, right)
            step = step - response @ shared
            identity = identity - shared[: len(identity)] if self.solve_identity else identity
            log_focal = log_focal - float(shared[-1]) if self.solve_focal else log_focal
        expression = state.expression.copy()
        expression[:, self.free_expression] = np.clip(active - step[:, 6:], 0.0, 1.0)
        return FitState(
            compose(-step[:, :3] @ HEAD_TO_CAMERA, state.rotation),
            state.translation - step[:, 3:6],
            expression,
            identity,
            log_focal,
        )
