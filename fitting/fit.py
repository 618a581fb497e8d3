"""Clip to FaceTrack: landmarks of all frames, one identity, a personal offset field, and per-frame pose and face.

The order (figures in docs/fitting.md): pose by PnP; identity, pose and expression together on a subset of frames; a
3D offset per landmark that is this person's own and not the model's (the largest single gain), spread smoothly over
the skin; then pose and expression of every frame with identity and offsets fixed; last the gaze from the irises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from faces.camera import HEAD_TO_CAMERA, Camera, to_camera
from faces.morphable import EYES, INNER_MOUTH, SKIN, MorphableModel
from faces.mouth import FACE_OVAL, LEFT_EYE, LEFT_IRIS, LIPS, RIGHT_EYE, RIGHT_IRIS, inter_ocular_distance
from faces.rotation import exp_map, log_map
from faces.track import FaceTrack, Motion
from fitting.landmarks import LANDMARKS, Landmarks
from fitting.solver import FitState, LandmarkModel, LandmarkSolver, Observations, SolverConfig
from problems import NoFace
from training.progress import Progress, Tick, silent

Floats = NDArray[np.float64]

IRISES = (*RIGHT_IRIS, *LEFT_IRIS)

EXPRESSION_SIGMA = {
    "jawOpen": 0.5, "eyeBlink": 0.5, "mouthFunnel": 0.4, "mouthPucker": 0.5, "mouthSmile": 0.4, "mouthClose": 0.25,
    "mouthLowerDown": 0.4, "mouthUpperUp": 0.4, "mouthStretch": 0.3, "mouthPress": 0.3, "mouthFrown": 0.3,
    "mouthRoll": 0.3, "mouthLeft": 0.25, "mouthRight": 0.25, "mouthDimple": 0.2, "mouthShrug": 0.2, "brow": 0.4,
    "eyeSquint": 0.25, "eyeWide": 0.3, "eyeLook": 0.15, "noseSneer": 0.2, "jaw": 0.12, "cheek": 0.12, "tongue": 0.0,
    "mh:neck": 0.0, "mh:nose": 0.0, "mh:": 0.12,
}  # fmt: skip
"""Prior standard deviation by the longest matching prefix. The common shapes of speech are loose and the rare ones
tight: under a flat prior speech is explained by jawForward and mouthRoll, which sound can't predict."""


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
    window: int = 400
    """Frames solved together; longer clips are solved in overlapping windows of this size."""
    overlap: int = 24
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

    @classmethod
    def of(cls, track: FaceTrack) -> Person:
        """The person of a track."""
        return cls(track.identity.astype(np.float64), track.offsets.astype(np.float64), track.camera)


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
        model: the morphable model; the shipped one by default.
        person: identity, offsets and camera to keep fixed (another clip of a known person in the same picture).
        config: priors and sizes.
        fps: stored in the track.

    Raises:
        NoFace: fewer than 10 frames have a face.
    """
    config = config or FitConfig()
    model = model or MorphableModel.load()
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
    scale = _stable_scale(inter_ocular_distance(points))
    sigma = np.array([_expression_sigma(name) for name in model.expression_names])
    rows = LandmarkModel(
        neutral=model.landmark_points(model.mean).astype(np.float64),
        identity_basis=model.landmark_rows(model.identity_basis).astype(np.float64),
        expression_basis=model.landmark_rows(model.expression_basis).astype(np.float64),
        expression_sigma=sigma,
    )
    weights = landmark_weights()

    def observations(index: NDArray[np.int64]) -> Observations:
        return Observations(points[index], weights, scale[index], np.diff(found[index]).astype(np.float64))

    start = _initial_pose(points, rows.neutral, camera, len(sigma), model.identity_basis.shape[-1])
    if person is None:
        subset = _spread(len(found), config.identity_frames)
        rows, camera, offsets, start_subset = _solve_person(
            model, rows, camera, observations(subset), _take(start, subset), config, progress
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

    state = _solve_windows(rows, camera, observations, start, len(found), config, progress)
    neutral = model.neutral(identity, offsets)
    gaze = _solve_gaze(model, neutral, state, camera, points)
    motion = _fill(state, gaze, found, len(landmarks.faces))
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


def landmark_weights() -> Floats:
    """(478,) relative weights: lips and lids up, the silhouette down (it slides over the skin), irises out."""
    weights = np.ones(LANDMARKS)
    weights[list(FACE_OVAL)] = 0.4
    weights[list(LIPS)] = 2.0
    weights[[*RIGHT_EYE, *LEFT_EYE]] = 2.5
    weights[list(IRISES)] = 0.0
    return weights


def reprojection_error(track: FaceTrack, model: MorphableModel | None = None) -> NDArray[np.float64]:
    """(T, 478) distance of fitted to observed landmarks in % of the inter-ocular distance, NaN where not valid."""
    model = model or MorphableModel.load()
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
        points = model.landmark_points(model.vertices(neutral, motion.expression, motion.gaze))
        parts.append(track.camera.project(to_camera(points, motion.rotation, motion.translation)))
    return np.concatenate(parts)


def _expression_sigma(name: str) -> float:
    matching = [prefix for prefix in EXPRESSION_SIGMA if name.startswith(prefix)]
    return EXPRESSION_SIGMA[max(matching, key=len)] if matching else 0.12


def _stable_scale(distances: Floats) -> Floats:
    """Inter-ocular distance unaffected by head turns: a running maximum over about a second."""
    padded = np.pad(distances, 12, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 25).max(1)


def _spread(total: int, count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, total - 1, min(total, count)).round().astype(np.int64))


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
    # Frames of the subset are far apart in time, so they are solved without coupling.
    loose = replace(observed, gaps=np.full(len(observed.gaps), 1e6))
    solver = LandmarkSolver(
        rows, camera, loose, config.solver, solve_identity=True, solve_focal=config.solve_focal
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
        solver = LandmarkSolver(rows, camera, loose, short, solve_identity=False)
        per_landmark = per_landmark + _landmark_offsets(solver, state, config.offset_sigma, per_landmark)
        offsets = spread(per_landmark)
        rows = replace(base, neutral=base.neutral + model.landmark_points(offsets.astype(np.float32)))
        state = LandmarkSolver(rows, camera, loose, short, solve_identity=False).solve(state)
        progress(Tick("fit.identity", 2 + turn, 1 + config.offset_rounds))
    return rows, camera, offsets, state


def _landmark_offsets(solver: LandmarkSolver, state: FitState, sigma: float, current: Floats) -> Floats:
    """(L, 3) millimetres by which each landmark should move on the neutral head: a 3x3 ridge solve each."""
    _, _, placed = solver.project(state)
    residual, robust = solver.residuals(state)
    x, y, z = placed[..., 0], placed[..., 1], placed[..., 2]
    f, zero = solver.camera.focal, np.zeros_like(x)
    du = np.stack(
        [np.stack([f / z, zero, -f * x / z**2], -1), np.stack([zero, f / z, -f * y / z**2], -1)], -2
    )
    head = du @ (HEAD_TO_CAMERA @ exp_map(state.rotation))[:, None]  # (T, L, 2, 3)
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


class OffsetSpreader:
    """Spread (478, 3) landmark offsets over all vertices: biharmonic on the skin, followed by what lies inside.

    The skin's own connectivity carries the displacement, so the two lips and the two lids stay independent; eyeballs
    follow their lids' mean and teeth the skin round the mouth, rigidly.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        skin_triangles = model.triangles[np.isin(model.triangle_part, (SKIN, INNER_MOUTH))]
        self.skin = np.unique(skin_triangles)
        renumber = np.full(model.vertex_count, -1)
        renumber[self.skin] = np.arange(len(self.skin))
        local = renumber[skin_triangles]
        edges = np.concatenate([local[:, [0, 1]], local[:, [1, 2]], local[:, [2, 0]]])
        edges = np.unique(np.sort(edges, axis=1), axis=0)
        count = len(self.skin)
        length = np.linalg.norm(
            model.mean[self.skin[edges[:, 0]]] - model.mean[self.skin[edges[:, 1]]], axis=1
        )
        stiffness = 5.0 / np.maximum(length, 0.5)  # near vertices move together
        adjacency = sparse.coo_matrix((stiffness, (edges[:, 0], edges[:, 1])), (count, count))
        adjacency = adjacency + adjacency.T
        degree = np.asarray(adjacency.sum(1)).ravel()
        laplacian = sparse.diags(degree) - adjacency
        laplacian = sparse.diags(1.0 / degree) @ laplacian
        corners = renumber[model.triangles[model.landmark_triangles]]  # (478, 3), -1 where not on the skin
        used = [n for n in range(LANDMARKS) if n not in IRISES and corners[n].min() >= 0]
        shares = model.landmark_barycentric[used].ravel().astype(np.float64)
        places = np.repeat(np.arange(len(used)), 3), corners[used].ravel()
        picks = sparse.coo_matrix((shares, places), (len(used), count)).tocsr()
        self.used, self.picks, self.pull = used, picks, 3.0
        # A biharmonic field runs away where nothing holds it (neck, back of the head): calm it with the distance.
        reach = cKDTree(model.landmark_points(model.mean)[used]).query(model.mean[self.skin])[0]
        calm = 1e-5 + 0.05 * np.clip((reach - 8.0) / 40.0, 0.0, 1.0) ** 2
        system = laplacian.T @ laplacian + self.pull * picks.T @ picks + sparse.diags(calm)
        self.factor = splu(system.tocsc())

    def __call__(self, landmark_offsets: Floats) -> Floats:
        """(478, 3) -> (V, 3) millimetres."""
        offsets = np.zeros((self.model.vertex_count, 3))
        offsets[self.skin] = self.factor.solve(self.pull * (self.picks.T @ landmark_offsets[self.used]))
        for eye, ring in zip(self.model.eyeballs, (RIGHT_EYE, LEFT_EYE), strict=True):
            offsets[eye] = landmark_offsets[list(ring)].mean(0)
        inside = ~np.isin(self.model.vertex_part, (SKIN, EYES, INNER_MOUTH))
        offsets[inside] = landmark_offsets[list(LIPS)].mean(0)
        return offsets


def _solve_windows(
    rows: LandmarkModel,
    camera: Camera,
    observations: object,
    start: FitState,
    total: int,
    config: FitConfig,
    progress: Progress,
) -> FitState:
    """Pose and expression of all frames in overlapping windows: memory does not grow with the clip."""
    rotation, translation = np.empty((total, 3)), np.empty((total, 3))
    expression = np.empty((total, start.expression.shape[1]))
    begin = 0
    while True:
        end = min(begin + config.window, total)
        index = np.arange(begin, end)
        solver = LandmarkSolver(rows, camera, observations(index), config.solver, solve_identity=False)  # type: ignore[operator]
        solved = solver.solve(_take(start, index))
        keep = 0 if begin == 0 else config.overlap // 2
        rotation[begin + keep : end] = solved.rotation[keep:]
        translation[begin + keep : end] = solved.translation[keep:]
        expression[begin + keep : end] = solved.expression[keep:]
        progress(Tick("fit.frames", end, total))
        if end == total:
            return FitState(rotation, translation, expression, start.identity)
        begin = end - config.overlap


def _solve_gaze(
    model: MorphableModel, neutral: NDArray[np.float32], state: FitState, camera: Camera, points: Floats
) -> Floats:
    """(T, 2) radians from the irises' centres: where the ray through the pixel meets the eyeball, both eyes' mean.

    A person's straight-ahead is unknown, so the median over the clip is taken as looking where the face points.
    """
    angles = []
    for eye, iris in zip(model.eyeballs, (RIGHT_IRIS[0], LEFT_IRIS[0]), strict=True):
        centre = (neutral[eye].min(0) + neutral[eye].max(0)) / 2
        radius = float(np.ptp(neutral[eye], axis=0).max() / 2)
        rotation = HEAD_TO_CAMERA @ exp_map(state.rotation)
        origin = np.einsum("tij,j->ti", rotation, centre) + state.translation
        ray = np.column_stack(
            [(points[:, iris] - [camera.cx, camera.cy]) / camera.focal, np.ones(len(points))]
        )
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        along = (ray * origin).sum(1)
        nearest = ray * along[:, None]
        miss = np.linalg.norm(nearest - origin, axis=1)
        depth = np.sqrt(np.maximum(radius**2 - np.minimum(miss, 0.9 * radius) ** 2, 0.0))
        direction = nearest - ray * depth[:, None] - origin
        local = np.einsum("tji,tj->ti", rotation, direction)
        local /= np.linalg.norm(local, axis=1, keepdims=True)
        angles.append(
            np.column_stack([np.arctan2(local[:, 0], local[:, 2]), np.arcsin(local[:, 1].clip(-1, 1))])
        )
    gaze = (angles[0] + angles[1]) / 2
    gaze = gaze - np.median(gaze, axis=0)
    lids = [model.expression_index("eyeBlinkLeft"), model.expression_index("eyeBlinkRight")]
    closed = state.expression[:, lids].mean(1) > 0.6
    if closed.any() and not closed.all():  # the detector guesses irises behind closed lids
        seen = np.nonzero(~closed)[0]
        for axis in range(2):
            gaze[closed, axis] = np.interp(np.nonzero(closed)[0], seen, gaze[seen, axis])
    return gaze.clip(-0.7, 0.7)


def _fill(state: FitState, gaze: Floats, found: NDArray[np.int64], total: int) -> Motion:
    """Spread the solved frames over all T frames; gaps are interpolated so that motion stays continuous."""
    index = np.arange(total)

    def stretch(values: Floats) -> NDArray[np.float32]:
        return np.column_stack([np.interp(index, found, column) for column in values.T]).astype(np.float32)

    return Motion(
        stretch(state.rotation), stretch(state.translation), stretch(state.expression), stretch(gaze)
    )


def track_clip(frames: Iterable[NDArray[np.uint8]], total: int, progress: Progress = silent) -> Landmarks:
    """Landmarks of a clip's frames (H, W, 3) RGB, with progress."""
    from fitting.landmarks import FaceLandmarker
    from training.progress import ticking

    with FaceLandmarker() as landmarker:
        return landmarker.track(ticking(frames, progress, "fit.landmarks", total))
