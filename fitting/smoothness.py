"""How smooth a face moves: the temporal prior, chosen by cross-validation on the clip itself.

Every third frame is left out; the others are fitted under priors of different strength, and the frames left out are
predicted from their neighbours (under a first-difference prior the best guess is the straight line between them). Too
strong a prior flattens the motion and predicts badly. Too weak a one costs hardly anything, since a tracking detector's
errors go together from frame to frame; so the smoothest that predicts as well as the best is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from faces.camera import Camera
from faces.rotation import compose
from fitting.landmarks import LANDMARKS
from fitting.solver import FitState, LandmarkModel, LandmarkSolver, Observations, SolverConfig
from fitting.windows import IRISES

Floats = NDArray[np.float64]

FACTORS = (0.25, 0.5, 1.0, 2.0)
"""Strengths that are tried: multiples of the expected frame-to-frame changes in :class:`SolverConfig`."""


FRAMES = 60
"""Frames that it is tried on."""
AS_WELL = 1.005
"""A mean error up to this many times the least counts as good."""


@dataclass(frozen=True)
class Smoothness:
    """What cross-validation found."""

    factor: float
    """Multiple of the configured frame-to-frame changes; larger is less smooth."""
    errors: dict[float, float]
    """Mean distance of predicted to observed landmarks by factor, % of the inter-ocular distance."""

    def apply(self, config: SolverConfig) -> SolverConfig:
        """The configuration with this smoothness."""
        return scaled(config, self.factor)


def scaled(config: SolverConfig, factor: float) -> SolverConfig:
    """``config`` with frame-to-frame changes ``factor`` times as large."""
    return replace(
        config,
        smooth_rotation=config.smooth_rotation * factor,
        smooth_translation=config.smooth_translation * factor,
        smooth_expression=config.smooth_expression * factor,
    )


def cross_validate(
    rows: LandmarkModel,
    camera: Camera,
    observed: Observations,
    start: FitState,
    config: SolverConfig,
    factors: Sequence[float] = FACTORS,
) -> Smoothness:
    """Try all factors on consecutive frames.

    Args:
        rows: the person's landmark model (identity and offsets in its neutral).
        camera: the clip's camera.
        observed: T consecutive frames, T >= 12.
        start: a state near the solution.
        config: noise and priors; its smoothness is what the factors multiply.
        factors: strengths to try.
    """
    frames = len(observed.points)
    left_out = np.arange(2, frames - 1, 3)
    kept = np.setdiff1d(np.arange(frames), left_out)
    steps = np.concatenate([[0.0], np.cumsum(observed.gaps)])  # where each frame lies in time
    some = replace(
        observed, points=observed.points[kept], scale=observed.scale[kept], gaps=np.diff(steps[kept])
    )
    begin = FitState(start.rotation[kept], start.translation[kept], start.expression[kept], start.identity)
    judged = [n for n in range(LANDMARKS) if n not in IRISES]
    errors: dict[float, float] = {}
    for factor in factors:
        trial = scaled(config, factor)
        begin = LandmarkSolver(rows, camera, some, trial, solve_identity=False).solve(begin)
        solver = LandmarkSolver(rows, camera, observed, trial, solve_identity=False)
        pixels, _, _ = solver.project(_between(begin, steps[kept], steps))
        distance = np.linalg.norm(pixels - observed.points, axis=-1) / observed.scale[:, None]
        errors[float(factor)] = float(100 * distance[left_out][:, judged].mean())
    least = min(errors.values())
    return Smoothness(min(factor for factor, error in errors.items() if error <= AS_WELL * least), errors)


def _between(state: FitState, known: Floats, times: Floats) -> FitState:
    """The state at all ``times``, on straight lines (and geodesics) between those of ``known``."""
    later = np.searchsorted(known, times).clip(1, len(known) - 1)
    share = ((times - known[later - 1]) / (known[later] - known[later - 1])).clip(0, 1)[:, None]

    def line(values: Floats) -> Floats:
        return values[later - 1] + share * (values[later] - values[later - 1])

    turn = compose(state.rotation[later], -state.rotation[later - 1])
    return FitState(
        compose(share * turn, state.rotation[later - 1]),
        line(state.translation),
        line(state.expression),
        state.identity,
    )
