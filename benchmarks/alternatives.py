"""Other ways to fit the same landmarks with the same model, and the fit with parts of it left out.

All but the last row of :func:`alternatives` know the true focal length. Without a personal offset field three solvers
minimise ``LandmarkSolver.cost`` or a part of it, so their costs can be compared: the product's all-frames
Levenberg-Marquardt, Adam (Kingma and Ba 2015) on all unknowns at once by automatic differentiation in float32, and
Levenberg-Marquardt frame by frame with the identity of the first frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.fit_errors import FitErrors, fit_errors
from evaluation.landmark_motion import RIGID
from faces.camera import HEAD_TO_CAMERA
from faces.rotation import exp_map, log_map
from faces.track import FaceTrack, Motion
from fitting.fit import FitConfig, fit_landmarks
from fitting.landmarks import Landmarks
from fitting.solver import FitState, LandmarkSolver, Observations, SolverConfig
from fitting.windows import landmark_model, observe
from studio.synthetic_clips import SyntheticClip

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AdamConfig:
    """How long and how far Adam steps."""

    steps: int = 500
    """Gradient steps."""
    rotation: float = 0.01
    """Step size, radians."""
    translation: float = 3.0
    """Step size, millimetres."""
    expression: float = 0.03
    """Step size of expression coefficients."""
    identity: float = 0.02
    """Step size of identity coefficients, standard deviations."""


@dataclass(frozen=True)
class Attempt:
    """One way to fit one clip."""

    errors: FitErrors
    """Against the truth; gaze and blinks only mean something for the product's own fits."""
    cpu_s: float
    """CPU seconds."""
    cost: float | None
    """The product's cost on all frames without offsets, None where offsets are fitted too."""


def known_focal(ratio: float) -> FitConfig:
    """The product's configuration with the focal length fixed at ``ratio`` times the longer side."""
    return FitConfig(focal_ratio=ratio, solve_focal=False)


def alternatives(clip: SyntheticClip, landmarks: Landmarks) -> dict[str, Attempt]:
    """Fit one clip in every way; ``landmarks`` must be found in all frames."""
    camera = clip.camera
    size = (camera.width, camera.height)
    full = known_focal(camera.focal / max(size))
    rigid = replace(full, offset_rounds=0)
    free = SolverConfig(smooth_rotation=1e3, smooth_translation=1e6, smooth_expression=1e3)

    def product(config: FitConfig) -> Callable[[], FaceTrack]:
        return lambda: fit_landmarks(landmarks, size, model=clip.person.model, config=config)

    ways: dict[str, Callable[[], FaceTrack]] = {
        "ours": product(full),
        "ours_without_offsets": product(rigid),
        "adam_without_offsets": lambda: _adam(clip, landmarks, AdamConfig()),
        "per_frame_lm_without_offsets": lambda: _per_frame(clip, landmarks),
        "ours_without_smoothing": product(replace(full, solver=free)),
        "ours_focal_fixed_at_1.2": product(known_focal(1.2)),
        "ours_focal_estimated": product(FitConfig()),
    }
    observed = observe(landmarks.points, np.arange(len(landmarks.faces)), coupled=True)
    solver = _solver(clip, observed, SolverConfig(), identity=True)
    result = {}
    for name, way in ways.items():
        began = time.process_time()
        track = way()
        spent = time.process_time() - began
        cost = solver.cost(_state(track)) if name.endswith("without_offsets") else None
        result[name] = Attempt(fit_errors(track, clip), spent, cost)
    return result


def _solver(
    clip: SyntheticClip, observed: Observations, config: SolverConfig, *, identity: bool
) -> LandmarkSolver:
    rows = landmark_model(clip.person.model, clip.person.model.mean, identity=True)
    return LandmarkSolver(rows, clip.camera, observed, config, solve_identity=identity)


def _state(track: FaceTrack) -> FitState:
    motion = track.motion
    return FitState(
        motion.rotation.astype(np.float64),
        motion.translation.astype(np.float64),
        motion.expression.astype(np.float64),
        track.identity.astype(np.float64),
    )


def _track(clip: SyntheticClip, landmarks: Landmarks, state: FitState) -> FaceTrack:
    frames = len(state.rotation)
    nothing = np.zeros((frames, 2))
    return replace(
        clip.track(),
        motion=Motion(
            *(a.astype(np.float32) for a in (state.rotation, state.translation, state.expression, nothing))
        ),
        identity=state.identity.astype(np.float32),
        offsets=np.zeros_like(clip.person.neutral),
        landmarks=landmarks.points,
    )


def _start(clip: SyntheticClip, observed: Observations) -> FitState:
    """Pose of every frame by SQPnP on the rigid part of the mean face, no expression."""
    model, camera = clip.person.model, clip.camera
    rigid = list(RIGID)
    face = np.ascontiguousarray(model.landmark_points(model.mean)[rigid].astype(np.float64) @ HEAD_TO_CAMERA)
    matrix = np.array([[camera.focal, 0, camera.cx], [0, camera.focal, camera.cy], [0, 0, 1.0]])
    rotation, translation = [], []
    for points in observed.points:
        _, turned, moved = cv2.solvePnP(
            face, np.ascontiguousarray(points[rigid]), matrix, None, flags=cv2.SOLVEPNP_SQPNP
        )
        rotation.append(log_map(HEAD_TO_CAMERA @ exp_map(turned[:, 0]) @ HEAD_TO_CAMERA))
        translation.append(moved[:, 0])
    expression = np.zeros((len(rotation), len(model.expression_names)))
    return FitState(
        np.array(rotation), np.array(translation), expression, np.zeros(model.identity_basis.shape[-1])
    )


def _per_frame(clip: SyntheticClip, landmarks: Landmarks, first: int = 10) -> FaceTrack:
    """Identity from the ``first`` frames, then each frame alone."""
    index = np.arange(len(landmarks.faces))
    beginning = observe(landmarks.points, index[:first], coupled=False)
    start = _start(clip, observe(landmarks.points, index, coupled=False))
    head = FitState(
        start.rotation[:first], start.translation[:first], start.expression[:first], start.identity
    )
    identity = _solver(clip, beginning, SolverConfig(), identity=True).solve(head).identity
    states = []
    for t in index:
        alone = _solver(
            clip, observe(landmarks.points, index[t : t + 1], coupled=False), SolverConfig(), identity=False
        )
        here = FitState(
            start.rotation[t : t + 1], start.translation[t : t + 1], start.expression[t : t + 1], identity
        )
        states.append(alone.solve(here))
    return _track(
        clip,
        landmarks,
        FitState(
            np.concatenate([s.rotation for s in states]),
            np.concatenate([s.translation for s in states]),
            np.concatenate([s.expression for s in states]),
            identity,
        ),
    )


def _adam(clip: SyntheticClip, landmarks: Landmarks, config: AdamConfig) -> FaceTrack:
    """All unknowns at once by Adam; step sizes fall to a tenth, coefficients are clipped to [0, 1] after each step."""
    observed = observe(landmarks.points, np.arange(len(landmarks.faces)), coupled=True)
    solver = _solver(clip, observed, SolverConfig(), identity=True)
    start = _start(clip, observed)

    def tensor(array: Any) -> torch.Tensor:
        return torch.tensor(np.asarray(array), dtype=torch.float32)

    unknowns = [
        tensor(start.rotation), tensor(start.translation), tensor(start.expression[:, solver.free_expression]),
        tensor(start.identity),
    ]  # fmt: skip
    for unknown in unknowns:
        unknown.requires_grad_(True)
    rates = (config.rotation, config.translation, config.expression, config.identity)
    optimiser = torch.optim.Adam([{"params": [u], "lr": r} for u, r in zip(unknowns, rates, strict=True)])
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.1, total_iters=config.steps)
    cost = _torch_cost(solver, observed, tensor)
    for _ in range(config.steps):
        optimiser.zero_grad()
        cost(*unknowns).backward()
        optimiser.step()
        decay.step()
        with torch.no_grad():
            unknowns[2].clamp_(0.0, 1.0)
    rotation, translation, active, identity = (u.detach().numpy().astype(np.float64) for u in unknowns)
    expression = np.zeros_like(start.expression)
    expression[:, solver.free_expression] = active
    return _track(clip, landmarks, FitState(rotation, translation, expression, identity))


def _torch_cost(
    solver: LandmarkSolver, observed: Observations, tensor: Callable[[Any], torch.Tensor]
) -> Callable[..., torch.Tensor]:
    """``solver.cost`` for automatic differentiation; rotations' differences for small angles."""
    neutral, basis, identities = (
        tensor(solver.model.neutral),
        tensor(solver.basis),
        tensor(solver.identity_basis),
    )
    flip, points = tensor(HEAD_TO_CAMERA), tensor(observed.points)
    root = tensor(np.sqrt(observed.weights)[None] / (solver.config.pixel_sigma * observed.scale[:, None]))
    centre, focal, huber = (
        tensor([solver.camera.cx, solver.camera.cy]),
        solver.camera.focal,
        solver.config.huber,
    )
    coupling, prior, shared = tensor(solver.coupling), tensor(solver.prior[6:]), tensor(solver.shared_prior)

    def cost(
        rotation: torch.Tensor, translation: torch.Tensor, expression: torch.Tensor, identity: torch.Tensor
    ) -> torch.Tensor:
        turn = _rodrigues(rotation)
        shape = neutral + identities @ identity + torch.einsum("lda,ta->tld", basis, expression)
        placed = shape @ (flip @ turn).transpose(1, 2) + translation[:, None]
        pixels = placed[..., :2] * (focal / placed[..., 2:]) + centre
        size = ((pixels - points).square().sum(-1) + 1e-12).sqrt() * root
        data = torch.where(size < huber, size.square() / 2, huber * (size - huber / 2)).sum()
        between = turn[1:] @ turn[:-1].transpose(1, 2)
        skew = (between - between.transpose(1, 2)) / 2
        turned = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], -1)
        steps = torch.cat([turned, translation.diff(dim=0), expression.diff(dim=0)], 1)
        return (
            data
            + (coupling * steps.square()).sum() / 2
            + (prior * expression.square()).sum() / 2
            + (shared * identity.square()).sum() / 2
        )

    return cost


def _rodrigues(rotation: torch.Tensor) -> torch.Tensor:
    """(T, 3) axis-angle -> (T, 3, 3)."""
    x, y, z = rotation.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.linalg.matrix_exp(torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3))
