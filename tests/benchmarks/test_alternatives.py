from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.alternatives import (
    AdamConfig,
    _adam,
    _per_frame,
    _solver,
    _start,
    _state,
    _torch_cost,
    alternatives,
)
from benchmarks.fitting import exact_landmarks
from fitting.solver import FitState, SolverConfig
from fitting.windows import observe
from studio.synthetic_clips import SyntheticClip
from tests.benchmarks.exact_clip import exact_clip

SHORT = 16


@pytest.fixture(scope="module")
def clip() -> SyntheticClip:
    return exact_clip(0.1).part(np.arange(SHORT))


def test_adam_sees_the_solvers_cost(clip: SyntheticClip) -> None:
    observed = observe(clip.landmarks, np.arange(SHORT), coupled=True)
    solver = _solver(clip, observed, SolverConfig(), identity=True)
    start = _start(clip, observed)
    rng = np.random.default_rng(0)
    state = FitState(
        start.rotation + 0.002 * rng.standard_normal(start.rotation.shape),
        start.translation,
        np.clip(0.1 * rng.standard_normal(start.expression.shape), 0, 1)
        * (solver.model.expression_sigma > 0),
        0.05 * rng.standard_normal(start.identity.shape),
    )

    def tensor(array: object) -> torch.Tensor:
        return torch.tensor(np.asarray(array), dtype=torch.float64)

    cost = _torch_cost(solver, observed, tensor)
    active = state.expression[:, solver.free_expression]
    value = cost(*(tensor(a) for a in (state.rotation, state.translation, active, state.identity)))
    assert float(value) == pytest.approx(solver.cost(state), rel=2e-3)


def test_other_solvers_come_near_the_products_cost(clip: SyntheticClip) -> None:
    landmarks = exact_landmarks(clip)
    solver = _solver(
        clip, observe(clip.landmarks, np.arange(SHORT), coupled=True), SolverConfig(), identity=True
    )
    start = solver.cost(_start(clip, solver.observed))
    best = solver.cost(solver.solve(_start(clip, solver.observed)))
    adam = solver.cost(_state(_adam(clip, landmarks, AdamConfig(steps=200))))
    alone = solver.cost(_state(_per_frame(clip, landmarks)))
    assert 0.99 * best < adam < 1.5 * best < 0.5 * start
    assert best < alone < 0.5 * start


@pytest.mark.slow
def test_every_way_fits(clip: SyntheticClip) -> None:
    tried = alternatives(clip, exact_landmarks(clip))
    for name, attempt in tried.items():
        assert np.median(attempt.errors.rotation_deg) < 5.0, name
        assert attempt.cpu_s > 0
    costs = {name: attempt.cost for name, attempt in tried.items() if attempt.cost is not None}
    assert set(costs) == {"ours_without_offsets", "adam_without_offsets", "per_frame_lm_without_offsets"}
    ours = costs["ours_without_offsets"]
    assert 0.9 * ours < costs["adam_without_offsets"] < 1.3 * ours
    assert (
        np.median(tried["ours"].errors.mesh_mm)
        < np.median(tried["ours_without_offsets"].errors.mesh_mm) + 0.2
    )
