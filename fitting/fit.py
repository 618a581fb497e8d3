"""Landmarks to FaceTrack: one identity and camera, a personal offset field, and per-frame pose, expression and gaze.

The order (figures in docs/fitting.md): pose by PnP; identity, focal length, pose and expression together on a subset of
frames; a 3D offset per landmark that is this person's own and not the model's, spread smoothly over the skin; how
smooth the motion is, by cross-validation; then pose and expression of every frame with identity and offsets fixed; last
the gaze from the irises. ``fitting.photometric`` refines the track from pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.camera import HEAD_TO_CAMERA, Camera, pixel_slopes, to_camera
from faces.morphable import MorphableModel
from faces.mouth import FACE_OVAL, LEFT_EYE, LIP_CORNERS, LIPS, RIGHT_EYE, inter_ocular_distance
from faces.registry import model_named
from faces.rotation import exp_map, log_map
from faces.track import FaceTrack, Motion
from fitting import smoothness
from fitting.gaze import solve_gaze
from fitting.landmarks import Landmarks
from fitting.offsets import OffsetSpreader
from fitting.solver import FitState, LandmarkModel, LandmarkSolver, Observations, SolverConfig
from fitting.windows import IRISES, OVERLAP, WINDOW, fill_gaps, landmark_model, observe, spread, windows
from problems import NoFace
from training.progress import Progress, Tick, silent

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FitConfig:
    """How a clip is fitted."""

    solver: SolverConfig = field(default_factory=SolverConfig)
    """Noise and priors of the landmark solver."""
    identity_frames: int = 120
    """Frames that identity and offsets are solved on."""
    offset_sigma: float = 4.0
    """Prior standard deviation of a landmark's personal offset, millimetres."""
    offset_rounds: int = 4
    """Alternations of offsets with pose and expression."""
    focal_ratio: float = 1.2
    """Focal length over the longer image side, or where its estimate starts; phones and webcams lie within 0.9..1.5."""
    solve_focal: bool = True
    """Estimate the focal length once per clip."""
    smoothness: float | None = None
    """Multiple of the solver's expected frame-to-frame changes; None chooses it by cross-validation on the clip."""
    window: int = WINDOW
    """Frames solved together; longer clips are solved in overlapping windows of this size."""
    overlap: int = OVERLAP
    """Frames that neighbouring windows share."""


@dataclass(frozen=True)
class Person:
    """What a track knows of the person apart from motion: kept fixed when another clip of the person is fitted."""

    identity: Floats
    """(K,) standard deviations."""
    offsets: Floats
    """(V, 3) millimetres."""
    camera: Camera
    """Camera of the clip."""
    model: str | None = None
    """Name of the morphable model; None is the shipped one."""

    @classmethod
    def of(cls, track: FaceTrack) -> Person:
        """The person of a track."""
        return cls(
            track.identity.astype(np.float64), track.offsets.astype(np.float64), track.camera, track.model
        )


def fit_landmarks(
    landmarks: Landmarks,
    size: tuple[int, int],
    *,
    model: MorphableModel | None = None,
    person: Person | None = None,
    config: FitConfig | None = None,
    fps: float = 25.0,
    progress: Progress = silent,
) -> FaceTrack:
    """Fit all frames.

    Args:
        landmarks: T frames of 478 points.
        size: (width, height) of the frames in pixels.
        model: the morphable model; the person's or the shipped one by default.
        person: identity, offsets and camera to keep fixed (another clip of a known person in the same picture).
        config: priors and sizes.
        fps: stored in the track.

    Raises:
        NoFace: fewer than 10 frames have a face.
    """
    config = config or FitConfig()
    model = model or model_named(person.model if person else None)
    found = np.nonzero(landmarks.found)[0]
    if len(found) < 10:
        raise NoFace(
            f"only {len(found)} of {len(landmarks.faces)} frames show a face",
            remedy="use a clip in which the face is visible from the front most of the time",
            details={"frames_with_face": found.tolist()},
        )
    width, height = size
    camera = person.camera if person else Camera.for_image(width, height, config.focal_ratio)
    points = landmarks.points[found].astype(np.float64)
    rows = landmark_model(model, model.mean, identity=True)

    def observations(index: NDArray[np.int64], *, coupled: bool = True) -> Observations:
        return observe(landmarks.points, found[index], coupled=coupled)

    start = _initial_pose(
        points, rows.neutral, camera, len(model.expression_names), model.identity_basis.shape[-1]
    )
    if person is None:
        subset = spread(len(found), config.identity_frames)
        rows, camera, offsets, start_subset = _solve_person(
            model, rows, camera, observations(subset, coupled=False), _take(start, subset), config, progress
        )
        identity = start_subset.identity
        start.translation[:, 2] *= camera.focal / Camera.for_image(width, height, config.focal_ratio).focal
        start.identity = identity
        nearest = np.searchsorted(subset, np.arange(len(found))).clip(0, len(subset) - 1)
        start.expression = start_subset.expression[nearest]
    else:
        identity, offsets = person.identity, person.offsets
        start.identity = identity
        rows = replace(rows, neutral=rows.neutral + model.landmark_points(offsets.astype(np.float32)))

    if config.smoothness is None:
        chosen = _choose_smoothness(rows, camera, observations, start, len(found), config)
        config = replace(config, solver=chosen.apply(config.solver))
    else:
        config = replace(config, solver=smoothness.scaled(config.solver, config.smoothness))
    progress(Tick("fit.smoothness", 1, 1))
    state = _solve_windows(rows, camera, observations, start, len(found), config, progress)
    neutral = model.neutral(identity, offsets)
    gaze = solve_gaze(model, neutral, camera, state.rotation, state.translation, state.expression, points)
    total = len(landmarks.faces)
    motion = Motion(
        *(fill_gaps(x, found, total) for x in (state.rotation, state.translation, state.expression, gaze))
    )
    valid = np.zeros(len(landmarks.faces), bool)
    valid[found] = True
    return FaceTrack(
        motion=motion,
        model=model.name,
        expression_names=model.expression_names,
        identity=identity.astype(np.float32),
        offsets=np.asarray(offsets, np.float32),
        camera=camera,
        light=np.zeros((0, 27), np.float32),
        valid=valid,
        landmarks=landmarks.points.astype(np.float32),
        fps=fps,
    )


def reprojection_error(track: FaceTrack, model: MorphableModel | None = None) -> NDArray[np.float64]:
    """(T, 478) distance of fitted to observed landmarks in % of the inter-ocular distance, NaN where not valid."""
    model = model or model_named(track.model)
    pixels = project_landmarks(track, model)
    return (
        100
        * np.linalg.norm(pixels - track.landmarks, axis=-1)
        / inter_ocular_distance(track.landmarks)[:, None]
    )


def project_landmarks(track: FaceTrack, model: MorphableModel, chunk: int = 64) -> NDArray[np.float64]:
    """(T, 478, 2) pixels of the fitted landmarks, ``chunk`` frames at a time."""
    neutral = model.neutral(track.identity, track.offsets)
    parts = []
    for start in range(0, len(track), chunk):
        motion = track.motion[start : start + chunk]
        points = model.detected_points(model.vertices(neutral, motion.expression, motion.gaze))
        parts.append(track.camera.project(to_camera(points, motion.rotation, motion.translation)))
    return np.concatenate(parts)


def _take(state: FitState, index: NDArray[np.int64]) -> FitState:
    return FitState(state.rotation[index], state.translation[index], state.expression[index], state.identity)


def _initial_pose(
    points: Floats, neutral: Floats, camera: Camera, expressions: int, identities: int
) -> FitState:
    """Pose of every frame by PnP on the parts of the face that speech does not move."""
    rigid = np.setdiff1d(np.arange(468), [*LIPS, *RIGHT_EYE, *LEFT_EYE, *FACE_OVAL])
    rigid = rigid[neutral[rigid, 1] > -45.0]  # above the upper lip
    matrix = np.array([[camera.focal, 0, camera.cx], [0, camera.focal, camera.cy], [0, 0, 1.0]])
    rotation, translation = np.zeros((len(points), 3)), np.zeros((len(points), 3))
    object_points = neutral[rigid] @ HEAD_TO_CAMERA
    # A metric depth for the first guess: the inter-ocular distance of the mean head against its image.
    depth = camera.focal * np.linalg.norm(neutral[33] - neutral[263]) / inter_ocular_distance(points)
    for t, frame in enumerate(points):
        centre = (frame[rigid].mean(0) - [camera.cx, camera.cy]) * depth[t] / camera.focal
        guess_r, guess_t = np.zeros((3, 1)), np.array([centre[0], centre[1], depth[t]]).reshape(3, 1)
        _, found_r, found_t = cv2.solvePnP(
            object_points, frame[rigid], matrix, None, guess_r, guess_t, True, cv2.SOLVEPNP_ITERATIVE
        )
        # In solvePnP's frame the object was already flipped to camera axes: R_cv F = F R.
        rotation[t] = log_map(HEAD_TO_CAMERA @ exp_map(found_r[:, 0]) @ HEAD_TO_CAMERA)
        translation[t] = found_t[:, 0]
    return FitState(rotation, translation, np.full((len(points), expressions), 0.0), np.zeros(identities))


def _solve_person(
    model: MorphableModel,
    rows: LandmarkModel,
    camera: Camera,
    observed: Observations,
    start: FitState,
    config: FitConfig,
    progress: Progress,
) -> tuple[LandmarkModel, Camera, Floats, FitState]:
    """Identity and focal length, then personal offsets: rows with the offsets in, camera, (V, 3) offsets, state."""
    solver = LandmarkSolver(
        rows, camera, observed, config.solver, solve_identity=True, solve_focal=config.solve_focal
    )
    state = solver.solve(start)
    camera = replace(camera, focal=solver.focal(state))
    state.log_focal = 0.0
    progress(Tick("fit.identity", 1, 1 + config.offset_rounds))
    base = rows
    per_landmark = np.zeros_like(base.neutral)
    offsets = np.zeros((model.vertex_count, 3))
    spread = OffsetSpreader(model)
    short = replace(config.solver, iterations=5)
    for turn in range(config.offset_rounds):
        solver = LandmarkSolver(rows, camera, observed, short, solve_identity=False)
        per_landmark = per_landmark + _landmark_offsets(solver, state, config.offset_sigma, per_landmark)
        for corner in LIP_CORNERS:
            # Four landmarks within two millimetres: offsets of their own would fold the skin there.
            per_landmark[list(corner)] = per_landmark[list(corner)].mean(0)
        offsets = spread(per_landmark)
        rows = replace(base, neutral=base.neutral + model.landmark_points(offsets.astype(np.float32)))
        state = LandmarkSolver(rows, camera, observed, short, solve_identity=False).solve(state)
        progress(Tick("fit.identity", 2 + turn, 1 + config.offset_rounds))
    return rows, camera, offsets, state


def _landmark_offsets(solver: LandmarkSolver, state: FitState, sigma: float, current: Floats) -> Floats:
    """(L, 3) millimetres by which each landmark should move on the neutral head: a 3x3 ridge solve each."""
    _, _, placed = solver.project(state)
    residual, robust = solver.residuals(state)
    head = (
        pixel_slopes(placed, solver.camera.focal) @ (HEAD_TO_CAMERA @ exp_map(state.rotation))[:, None]
    )  # (T, L, 2, 3)
    noise = solver.config.pixel_sigma * solver.observed.scale[:, None, None]
    rows = head / noise[..., None] * np.sqrt(robust)[..., None, None]
    unweighted = residual / np.sqrt(np.maximum(solver.observed.weights, 1e-9))[None, :, None]
    unweighted = unweighted * np.sqrt(robust)[..., None]
    # Errors of one landmark are strongly correlated between frames: count every tenth as independent.
    normal = np.einsum("tlri,tlrj->lij", rows, rows) / 10 + np.eye(3) / sigma**2
    right = -np.einsum("tlri,tlr->li", rows, unweighted) / 10 - current / sigma**2
    step = np.linalg.solve(normal, right[..., None])[..., 0]
    step[list(IRISES)] = 0.0
    return step


def _choose_smoothness(
    rows: LandmarkModel,
    camera: Camera,
    observations: Callable[[NDArray[np.int64]], Observations],
    start: FitState,
    total: int,
    config: FitConfig,
) -> smoothness.Smoothness:
    """Cross-validation on frames from the middle of the clip."""
    count = min(total, smoothness.FRAMES)
    index = np.arange(count) + (total - count) // 2
    short = replace(config.solver, iterations=6)
    return smoothness.cross_validate(rows, camera, observations(index), _take(start, index), short)


def _solve_windows(
    rows: LandmarkModel,
    camera: Camera,
    observations: Callable[[NDArray[np.int64]], Observations],
    start: FitState,
    total: int,
    config: FitConfig,
    progress: Progress,
) -> FitState:
    """Pose and expression of all frames in overlapping windows: memory does not grow with the clip."""
    rotation, translation = np.empty((total, 3)), np.empty((total, 3))
    expression = np.empty((total, start.expression.shape[1]))
    for part, keep in windows(total, config.window, config.overlap):
        index = np.arange(part.start, part.stop)
        solver = LandmarkSolver(rows, camera, observations(index), config.solver, solve_identity=False)
        solved = solver.solve(_take(start, index))
        kept = index[keep]
        rotation[kept], translation[kept] = solved.rotation[keep], solved.translation[keep]
        expression[kept] = solved.expression[keep]
        progress(Tick("fit.frames", part.stop, total))
    return FitState(rotation, translation, expression, start.identity)


def track_clip(
    frames: Iterable[NDArray[np.uint8]],
    total: int,
    progress: Progress = silent,
    *,
    near: tuple[float, float] | None = None,
) -> Landmarks:
    """Landmarks of a clip's frames (H, W, 3) RGB, with progress.

    Args:
        near: which face, when there are several (:meth:`fitting.landmarks.FaceLandmarker.track`).

    Raises:
        InvalidParameter: no face is there.
    """
    from fitting.landmarks import MOST_FACES, FaceLandmarker
    from training.progress import ticking

    with FaceLandmarker(max_faces=1 if near is None else MOST_FACES) as landmarker:
        return landmarker.track(ticking(frames, progress, "fit.landmarks", total), near=near)
