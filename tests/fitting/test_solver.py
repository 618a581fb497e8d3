from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from faces.camera import HEAD_TO_CAMERA, Camera
from faces.morphable import MorphableModel
from faces.rotation import compose, exp_map, log_map
from fitting.normal_equations import solve_tridiagonal
from fitting.solver import (
    FitState,
    LandmarkModel,
    LandmarkSolver,
    Observations,
    SolverConfig,
)
from fitting.windows import EXPRESSION_SIGMA, landmark_weights
from tests.generated_clip import choreography, true_track


def _toy(seed: int = 0, frames: int = 4, *, loose: bool = False) -> tuple[LandmarkSolver, FitState]:
    """A small random model and a state off its optimum; one expression is switched off."""
    rng, landmarks = np.random.default_rng(seed), 14
    sigma = np.array([0.4, 0.3, 0.0, 0.5])
    model = LandmarkModel(
        neutral=rng.normal(0, 45, (landmarks, 3)),
        identity_basis=rng.normal(0, 2, (landmarks, 3, 3)),
        expression_basis=rng.normal(0, 5, (landmarks, 3, 4)),
        expression_sigma=sigma,
    )
    truth = _state(rng, frames)
    camera = Camera.for_image(640, 480)
    config = SolverConfig(huber=1e9 if loose else 2.5)
    ones = np.ones(landmarks)
    nothing = Observations(
        np.zeros((frames, landmarks, 2)), ones, np.full(frames, 100.0), np.ones(frames - 1)
    )
    points, _, _ = LandmarkSolver(
        model, camera, nothing, config, solve_identity=True, solve_focal=True
    ).project(truth)
    observed = Observations(
        points + rng.normal(0, 1.0, points.shape), rng.uniform(0.5, 2, landmarks), rng.uniform(80, 120, frames),
        np.array([1.0, 3.0, 1.0, 1.0, 2.0])[: frames - 1],
    )  # fmt: skip
    solver = LandmarkSolver(model, camera, observed, config, solve_identity=True, solve_focal=True)
    start = FitState(
        compose(rng.normal(0, 0.02, (frames, 3)), truth.rotation),
        truth.translation + rng.normal(0, 4, (frames, 3)),
        (truth.expression + rng.normal(0, 0.1, truth.expression.shape)).clip(0.05, 0.95),
        truth.identity + rng.normal(0, 0.3, 3),
        0.05,
    )
    return solver, start


def _state(rng: np.random.Generator, frames: int) -> FitState:
    return FitState(
        rng.normal(0, 0.3, (frames, 3)),
        np.array([5.0, -8.0, 600.0]) + rng.normal(0, 5, (frames, 3)),
        rng.uniform(0.1, 0.9, (frames, 4)),
        rng.normal(0, 0.5, 3),
    )


def _moved(state: FitState, block: str, axis: int, amount: float) -> FitState:
    """The state after a small change of one parameter, in every frame."""
    new = state.copy()
    step = np.zeros(3)
    if block == "rotation":  # from the left, in camera axes
        step[axis] = amount
        new.rotation = log_map(HEAD_TO_CAMERA @ exp_map(step) @ HEAD_TO_CAMERA @ exp_map(state.rotation))
    elif block == "translation":
        new.translation[:, axis] += amount
    elif block == "expression":
        new.expression[:, axis] += amount
    elif block == "focal":
        new.log_focal += amount
    else:
        new.identity[axis] += amount
    return new


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", ["rotation", "translation", "expression", "identity", "focal"])
def test_jacobian_equals_central_differences(block: str, seed: int) -> None:
    solver, state = _toy(seed)
    frame, shared = solver.jacobian(state)
    assert frame.dtype == shared.dtype == np.float64
    first = {"rotation": 0, "translation": 3, "expression": 6, "identity": 0, "focal": 3}[block]
    axes = {"expression": [0, 1, 3], "focal": [0]}.get(block, [0, 1, 2])  # expression 2 is switched off
    for column, axis in enumerate(axes):
        step = 1e-5 if block != "translation" else 1e-3
        later, earlier = (solver.project(_moved(state, block, axis, s))[0] for s in (step, -step))
        numeric = (later - earlier) / (2 * step)
        analytic = (shared if block in ("identity", "focal") else frame)[..., first + column]
        assert np.abs(numeric).max() > 0.1
        np.testing.assert_allclose(analytic, numeric, rtol=1e-5, atol=1e-5 * np.abs(numeric).max())


def test_jacobian_has_a_column_for_each_free_parameter() -> None:
    solver, state = _toy()
    frame, shared = solver.jacobian(state)
    assert frame.shape == (4, 14, 2, 6 + 3)
    assert shared.shape == (4, 14, 2, 3 + 1)
    fixed = LandmarkSolver(solver.model, solver.camera, solver.observed, solver.config, solve_identity=False)
    assert fixed.jacobian(state)[1].shape == (4, 14, 2, 0)


@pytest.mark.parametrize("part", ["data", "all"])
def test_gradient_is_the_slope_of_the_cost(part: str) -> None:
    """Weights, priors and smoothness of the normal equations belong to the cost that is measured."""
    solver, state = _toy(5, loose=True)
    if part == "data":
        config = replace(solver.config, smooth_rotation=1e6, smooth_translation=1e6, smooth_expression=1e6)
        solver = LandmarkSolver(
            solver.model, solver.camera, solver.observed, config, solve_identity=True, solve_focal=True
        )
    # Near each other, so that the relative rotation's own Jacobian is close to one.
    state.rotation = compose(
        np.random.default_rng(1).normal(0, 1e-3, (4, 3)), np.tile(state.rotation[:1], (4, 1))
    )
    normal = solver.normal_equations(state)
    size = normal.gradient.shape[1]
    names = [("rotation", n) for n in range(3)] + [("translation", n) for n in range(3)]
    names += [("expression", int(n)) for n in solver.free_expression]
    assert size == len(names)
    for t in (0, 2):
        for column, (block, axis) in enumerate(names):
            step = 1e-4 if block == "translation" else 1e-6
            costs = []
            for sign in (1, -1):
                new, all_moved = state.copy(), _moved(state, block, axis, sign * step)
                getattr(new, block)[t] = getattr(all_moved, block)[t]
                costs.append(solver.cost(new))
            slope = (costs[0] - costs[1]) / (2 * step)
            tolerance = 2e-3 * np.abs(normal.gradient[t]).max()
            assert normal.gradient[t, column] == pytest.approx(slope, rel=2e-2, abs=tolerance)
    for k in range(3):
        later, earlier = (solver.cost(_moved(state, "identity", k, s)) for s in (1e-5, -1e-5))
        assert normal.shared_gradient[k] == pytest.approx((later - earlier) / 2e-5, rel=1e-3)
    later, earlier = (solver.cost(_moved(state, "focal", 0, s)) for s in (1e-6, -1e-6))
    assert normal.shared_gradient[3] == pytest.approx((later - earlier) / 2e-6, rel=1e-3)


@pytest.mark.parametrize(("frames", "size", "columns"), [(1, 3, 1), (2, 4, 2), (7, 5, 3)])
def test_block_tridiagonal_equals_dense(frames: int, size: int, columns: int) -> None:
    rng = np.random.default_rng(frames)
    root = rng.normal(size=(frames, size, size))
    blocks = root @ root.transpose(0, 2, 1) + 8 * np.eye(size)
    coupling = -rng.uniform(0, 2, (frames - 1, size))
    right = rng.normal(size=(frames, size, columns))
    dense = np.zeros((frames * size, frames * size))
    for t in range(frames):
        own = slice(t * size, (t + 1) * size)
        dense[own, own] = blocks[t]
        if t + 1 < frames:
            following = slice((t + 1) * size, (t + 2) * size)
            dense[own, following] = dense[following, own] = np.diag(coupling[t])
    expected = np.linalg.solve(dense, right.reshape(frames * size, columns)).reshape(right.shape)
    before = blocks.copy(), right.copy()
    np.testing.assert_allclose(solve_tridiagonal(blocks, coupling, right), expected, atol=1e-10)
    np.testing.assert_array_equal(blocks, before[0])
    np.testing.assert_array_equal(right, before[1])


def test_a_step_solves_the_whole_bordered_system() -> None:
    """The Schur complement gives what one dense solve of all unknowns gives."""
    solver, state = _toy(2)
    normal, damping = solver.normal_equations(state), 1e-3
    frames, size = normal.gradient.shape
    total = frames * size + 4
    dense, right = np.zeros((total, total)), np.zeros(total)
    for t in range(frames):
        own = slice(t * size, (t + 1) * size)
        dense[own, own] = normal.blocks[t] + damping * np.diag(np.diag(normal.blocks[t]))
        dense[own, -4:] = normal.border[t]
        dense[-4:, own] = normal.border[t].T
        right[own] = normal.gradient[t]
        if t + 1 < frames:
            following = slice((t + 1) * size, (t + 2) * size)
            dense[own, following] = dense[following, own] = -np.diag(solver.coupling[t])
    dense[-4:, -4:] = normal.shared_block + damping * np.diag(np.diag(normal.shared_block))
    right[-4:] = normal.shared_gradient
    step = np.linalg.solve(dense, right)
    after = solver.step(state, normal, damping)
    by_frame = step[:-4].reshape(frames, size)
    np.testing.assert_allclose(state.translation - after.translation, by_frame[:, 3:6], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(state.identity - after.identity, step[-4:-1], rtol=1e-8, atol=1e-10)
    assert state.log_focal - after.log_focal == pytest.approx(step[-1], rel=1e-8)
    expression = (state.expression[:, solver.free_expression] - by_frame[:, 6:]).clip(0, 1)
    np.testing.assert_allclose(after.expression[:, solver.free_expression], expression, atol=1e-10)
    turned = compose(-by_frame[:, :3] @ HEAD_TO_CAMERA, state.rotation)
    np.testing.assert_allclose(exp_map(after.rotation), exp_map(turned), atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_every_step_lowers_the_cost_and_keeps_the_bounds(seed: int) -> None:
    solver, state = _toy(seed, frames=6)
    before = state.copy()
    costs = [solver.cost(state)]
    solved = solver.solve(state, on_step=lambda _, cost: costs.append(cost))
    assert len(costs) > 2
    assert (np.diff(costs) <= 0).all()
    assert costs[-1] == pytest.approx(solver.cost(solved))
    assert costs[-1] < 0.5 * costs[0]
    assert solved.expression.min() >= 0
    assert solved.expression.max() <= 1
    np.testing.assert_array_equal(solved.expression[:, 2], state.expression[:, 2])  # switched off
    for name in ("rotation", "translation", "expression", "identity"):
        np.testing.assert_array_equal(getattr(state, name), getattr(before, name))  # the start is not touched


def test_a_coefficient_that_wants_out_stays_at_its_bound() -> None:
    solver, state = _toy(1, loose=True)
    config = replace(solver.config, smooth_expression=10.0, iterations=40)
    wanted = state.copy()
    wanted.expression[:, 0], wanted.expression[:, 3] = -0.6, 1.7
    points, _, _ = solver.project(wanted)
    observed = replace(solver.observed, points=points)
    free = replace(solver.model, expression_sigma=np.array([50.0, 50.0, 0.0, 50.0]))
    solved = LandmarkSolver(free, solver.camera, observed, config, solve_identity=False).solve(state)
    np.testing.assert_array_equal(solved.expression[:, 0], 0.0)
    np.testing.assert_array_equal(solved.expression[:, 3], 1.0)


@pytest.mark.parametrize(("bound", "beyond"), [(0.0, -0.8), (1.0, 1.8)])
def test_a_coefficient_at_its_bound_does_not_bend_the_step_of_the_others(bound: float, beyond: float) -> None:
    """The step is that of a model without the coefficient, not a step of all whose excess is cut off."""
    solver, state = _toy(3, loose=True)
    wanted = state.copy()
    wanted.expression[:, 0] = beyond
    state.expression[:, 0] = bound
    loose = replace(solver.model, expression_sigma=np.array([50.0, 0.3, 0.0, 0.5]))
    observed = replace(solver.observed, points=solver.project(wanted)[0])
    without = replace(loose, expression_sigma=np.array([0.0, 0.3, 0.0, 0.5]))
    free, fixed = (
        LandmarkSolver(
            replace(model, neutral=neutral), solver.camera, observed, solver.config, solve_identity=False
        )
        for model, neutral in (
            (loose, loose.neutral), (without, loose.neutral + bound * loose.expression_basis[..., 0])
        )
    )  # fmt: skip
    one, other = (s.step(state, s.normal_equations(state), 1e-3) for s in (free, fixed))
    np.testing.assert_array_equal(one.expression[:, 0], bound)
    np.testing.assert_allclose(one.translation, other.translation, atol=1e-9)
    np.testing.assert_allclose(one.rotation, other.rotation, atol=1e-9)
    np.testing.assert_allclose(one.expression[:, 1:], other.expression[:, 1:], atol=1e-9)
    assert np.abs(one.translation - state.translation).max() > 0.1


def test_missing_frames_loosen_the_coupling() -> None:
    solver, _ = _toy()
    np.testing.assert_allclose(solver.coupling[1] * 3, solver.coupling[0])


# The shipped model, with landmarks that are exact.


@pytest.fixture(scope="module")
def exact() -> tuple[LandmarkSolver, FitState]:
    model = MorphableModel.load()
    track = true_track(choreography(24, model))
    sigma = np.zeros(len(model.expression_names))
    for name in (
        "jawOpen",
        "eyeBlinkLeft",
        "eyeBlinkRight",
        "mouthSmileLeft",
        "mouthSmileRight",
        "mouthPucker",
    ):
        sigma[model.expression_index(name)] = 0.5
    rows = LandmarkModel(
        neutral=model.detected_points(model.neutral(track.identity)).astype(np.float64),
        identity_basis=model.landmark_rows(model.identity_basis).astype(np.float64),
        expression_basis=model.landmark_rows(model.expression_basis).astype(np.float64),
        expression_sigma=sigma,
    )
    points = track.landmarks.astype(np.float64)
    scale = np.full(24, 70.0)
    observed = Observations(points, landmark_weights(), scale, np.full(23, 1e6))
    solver = LandmarkSolver(rows, track.camera, observed, SolverConfig(iterations=30), solve_identity=False)
    motion = track.motion
    truth = FitState(
        motion.rotation.astype(np.float64), motion.translation.astype(np.float64),
        motion.expression.astype(np.float64), np.zeros(model.identity_basis.shape[-1]),
    )  # fmt: skip
    return solver, truth


def _start(truth: FitState, shift: tuple[float, float] = (0.0, 0.0)) -> FitState:
    frames = len(truth.rotation)
    place = np.tile([shift[0], shift[1], 600.0], (frames, 1))
    return FitState(np.zeros((frames, 3)), place, np.zeros_like(truth.expression), truth.identity.copy())


def test_exact_landmarks_give_back_the_parameters(exact: tuple[LandmarkSolver, FitState]) -> None:
    solver, truth = exact
    solved = solver.solve(_start(truth))
    turn = np.degrees(np.linalg.norm(compose(solved.rotation, -truth.rotation), axis=1))
    assert turn.max() < 0.2
    assert np.abs(solved.translation[:, :2] - truth.translation[:, :2]).max() < 0.5
    assert np.abs(solved.translation[:, 2] / truth.translation[:, 2] - 1).max() < 0.005
    active = solver.free_expression
    assert truth.expression[:, active].std(0).max() > 0.2
    assert np.abs(solved.expression[:, active] - truth.expression[:, active]).max() < 0.05


def test_moving_the_picture_moves_the_translation_only(exact: tuple[LandmarkSolver, FitState]) -> None:
    """Landmarks and principal point shifted together are the same scene."""
    solver, truth = exact
    shift = np.array([37.0, -21.0])
    observed = replace(solver.observed, points=solver.observed.points + shift)
    camera = replace(solver.camera, cx=solver.camera.cx + shift[0], cy=solver.camera.cy + shift[1])
    moved = LandmarkSolver(solver.model, camera, observed, solver.config, solve_identity=False)
    one, other = solver.solve(_start(truth)), moved.solve(_start(truth))
    np.testing.assert_allclose(other.rotation, one.rotation, atol=1e-6)
    np.testing.assert_allclose(other.translation, one.translation, atol=1e-4)
    np.testing.assert_allclose(other.expression, one.expression, atol=1e-6)


def test_outliers_hardly_pull(exact: tuple[LandmarkSolver, FitState]) -> None:
    solver, truth = exact
    points = solver.observed.points.copy()
    wild = np.random.default_rng(0).choice(468, 25, replace=False)
    points[:, wild] += 60.0
    robust = LandmarkSolver(
        solver.model,
        solver.camera,
        replace(solver.observed, points=points),
        solver.config,
        solve_identity=False,
    ).solve(_start(truth))
    turn = np.degrees(np.linalg.norm(compose(robust.rotation, -truth.rotation), axis=1))
    assert turn.max() < 2.0
    quadratic = replace(solver.config, huber=1e9)
    pulled = LandmarkSolver(
        solver.model, solver.camera, replace(solver.observed, points=points), quadratic, solve_identity=False
    ).solve(_start(truth))
    assert (
        np.degrees(np.linalg.norm(compose(pulled.rotation, -truth.rotation), axis=1)).mean() > 2 * turn.mean()
    )


def test_weights_and_priors_name_what_they_should() -> None:
    weights, names = landmark_weights(), MorphableModel.load().expression_names
    assert weights.shape == (478,)
    assert (weights[468:] == 0).all()  # irises tell the gaze, not the pose
    assert weights[13] > weights[1] > weights[10] > 0
    for prefix in EXPRESSION_SIGMA:
        assert any(name.startswith(prefix) for name in names), prefix
