"""Background matching: which real frame stands behind each output frame.

ArXiv 2002.10137 (section 3.3) matches key poses and interpolates frame numbers between them. Here every frame is
matched by dynamic programming (Viterbi 1967): the pose's distance to the source frame plus the cost of getting there
from the frame before. A state is a source frame and the speed it was reached with, so playing on is free, turning round
or changing speed costs a little, standing still a little more, and a cut a lot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from faces.rotation import compose
from faces.track import Motion
from problems import InvalidParameter, NoFace

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

SPEEDS = (-2, -1, 0, 1, 2)
"""Source frames per output frame."""


@dataclass(frozen=True)
class MatchConfig:
    """Costs; one unit is the cost of a pose one tolerance away for one frame."""

    rotation_deg: float = 2.0
    """Tolerance of the rotation's distance in degrees."""
    translation_mm: float = 8.0
    """Tolerance of the distance across the picture in mm (depth counts a third)."""
    speed: tuple[float, ...] = (0.25, 0.02, 0.12, 0.0, 0.25)
    """Cost of a frame at each of ``SPEEDS``."""
    change: float = 0.15
    """Cost of changing the speed by one."""
    jump: float = 10.0
    """Cost of a jump to a source frame of nearly the same pose, beside ``jump_distance``."""
    jump_distance: float = 4.0
    """Cost of such a jump per squared tolerance between the two source poses."""
    neighbours: int = 24
    """Frames of nearly the same pose that each source frame can be reached from."""
    cut: float = 60.0
    """Cost of a cut to any other source frame: hair and clothes would be seen to jump."""
    chunk: int = 512
    """Output frames decided at a time."""
    lookahead: int = 128
    """Frames seen beyond them before they are decided."""


@dataclass(frozen=True)
class Jumps:
    """Where each source frame can be reached from beside its neighbours in time."""

    origin: NDArray[np.int64]
    """(S, K) source frames of nearly the same pose."""
    cost: Floats
    """(S, K)."""

    @staticmethod
    def of(source: Motion, config: MatchConfig) -> Jumps:
        """The nearest poses of the clip that are more than half a second away in time."""
        frames = len(source)
        count = min(config.neighbours, frames)
        origin, cost = np.zeros((frames, count), np.int64), np.full((frames, count), np.inf)
        rows = np.arange(frames)
        for start in range(0, frames, 256):
            part = slice(start, min(start + 256, frames))
            distance = pose_cost(source[part], source, config)
            distance[np.abs(rows[part, None] - rows) <= 12] = np.inf
            nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
            origin[part] = nearest
            cost[part] = config.jump + config.jump_distance * np.take_along_axis(distance, nearest, axis=1)
        return Jumps(origin, np.minimum(cost, config.cut))


class SourceMatcher:
    """Matching of an endless pose sequence in bounded memory.

    Frames are decided ``chunk`` at a time, with ``lookahead`` frames more seen; the path goes on from the state it was
    left in. Up to ``chunk`` + ``lookahead`` frames the result is the optimum.

    Args:
        source: the clip's motion, S frames.
        source_valid: (S,) False for frames that may not be used.
        config: costs.

    Raises:
        NoFace: no frame may be used.
    """

    def __init__(
        self,
        source: Motion,
        source_valid: NDArray[np.bool_] | None = None,
        config: MatchConfig = MatchConfig(),
    ) -> None:
        self._source, self._config = source, config
        self._valid = np.ones(len(source), bool) if source_valid is None else np.asarray(source_valid, bool)
        if not self._valid.any():
            raise NoFace("no frame of the clip shows a face", remedy="use a clip in which the face is seen")
        self._jumps = Jumps.of(source, config)
        self._held = source[:0]
        self._costs: Floats | None = None  # (S, speeds) of the last decided frame; only its state is finite

    def push(self, pose: Motion) -> NDArray[np.int64]:
        """Take more output poses; returns the source frames that are decided now, maybe none."""
        self._held = Motion.concatenate([self._held, _pose_only(pose, self._source)])
        decided = []
        while len(self._held) >= self._config.chunk + self._config.lookahead:
            decided.append(self._decide(self._config.chunk))
        return np.concatenate(decided) if decided else np.zeros(0, np.int64)

    def finish(self) -> NDArray[np.int64]:
        """The source frames of all poses that are left."""
        return self._decide(len(self._held)) if len(self._held) else np.zeros(0, np.int64)

    def _decide(self, count: int) -> NDArray[np.int64]:
        seen = min(len(self._held), count + self._config.lookahead)
        unary = pose_cost(self._held[:seen], self._source, self._config)
        unary[:, ~self._valid] = np.inf
        path, speed = _viterbi(unary, self._costs, self._jumps, self._config)
        self._held = self._held[count:]
        self._costs = np.full((len(self._source), len(SPEEDS)), np.inf)
        self._costs[path[count - 1], speed[count - 1]] = 0.0
        return path[:count]


def match_sources(
    pose: Motion,
    source: Motion,
    source_valid: NDArray[np.bool_] | None = None,
    *,
    config: MatchConfig = MatchConfig(),
) -> NDArray[np.int64]:
    """A source frame for each output frame.

    Args:
        pose: T output frames; rotation and translation are used.
        source: the clip's motion, S frames.
        source_valid: (S,) False for frames that may not be used (no face, cut off).
        config: costs.

    Returns:
        (T,) indices into ``source``.

    Raises:
        NoFace: no source frame may be used.
    """
    matcher = SourceMatcher(source, source_valid, config)
    return np.concatenate([matcher.push(pose), matcher.finish()])


def pose_cost(pose: Motion, source: Motion, config: MatchConfig) -> Floats:
    """(T, S) squared distance in tolerances."""
    a, b = np.radians(config.rotation_deg), config.translation_mm
    weight = np.array([1 / a, 1 / a, 1 / a, 1 / b, 1 / b, 1 / (3 * b)])
    # Small relative turns: the difference of the axis-angles about the clip's first frame is the angle between them.
    centre = -source.rotation[0]
    left = np.concatenate([compose(centre, pose.rotation), pose.translation], axis=1) * weight
    right = np.concatenate([compose(centre, source.rotation), source.translation], axis=1) * weight
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    return np.maximum(squares, 0.0)


def path_cost(path: NDArray[np.int64], unary: Floats, jumps: Jumps, config: MatchConfig) -> float:
    """Total cost of a path (T,) through ``unary`` (T, S), each step taken the cheapest way.

    :func:`match_sources` finds the path of which this is least.
    """
    speeds = len(SPEEDS)
    costs = np.full(speeds, unary[0, path[0]])
    for t in range(1, len(path)):
        change = config.change * np.abs(np.subtract.outer(SPEEDS, SPEEDS))  # (from, to)
        direct = jumps.cost[path[t]][jumps.origin[path[t]] == path[t - 1]]
        arrived = np.full(speeds, costs.min() + min([config.cut, *direct]))
        for to, speed in enumerate(SPEEDS):
            if path[t] - path[t - 1] == speed:
                played = (costs + change[:, to]).min() + config.speed[to]
                arrived = np.where(np.arange(speeds) == to, np.minimum(arrived, played), arrived)
        costs = arrived + unary[t, path[t]]
    return float(costs.min())


def _viterbi(
    unary: Floats, start: Floats | None, jumps: Jumps, config: MatchConfig
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best path through (T, S) costs: source frames (T,) and the index of the speed each was reached with (T,).

    ``start`` (S, speeds) are the costs of the frame before the first, or None at the very beginning.
    """
    frames, sources = unary.shape
    speeds = len(SPEEDS)
    change = config.change * np.abs(np.subtract.outer(SPEEDS, SPEEDS))  # (from, to)
    came = np.zeros((frames, sources, speeds), np.int32)  # previous state, source * speeds + speed
    rows = np.arange(sources)
    costs = np.zeros((sources, speeds))
    for t in range(frames):
        if t == 0 and start is None:
            costs = np.repeat(unary[0][:, None], speeds, axis=1)
            continue
        before = costs if t else start
        assert before is not None
        best = int(before.argmin())  # a cut comes from the cheapest state, and may go on at any speed
        cheapest = before.argmin(1)
        leaving = before[rows, cheapest]
        options = leaving[jumps.origin] + jumps.cost  # (S, K)
        which = options.argmin(1)
        near, origin = options[rows, which], jumps.origin[rows, which]
        cut = before.flat[best] + config.cut
        arrived = np.repeat(np.minimum(near, cut)[:, None], speeds, axis=1)
        came[t] = np.where(near < cut, origin * speeds + cheapest[origin], best)[:, None]
        for to, speed in enumerate(SPEEDS):
            options = before + change[:, to]  # (S, from)
            which = options.argmin(1)
            played = options[rows, which] + config.speed[to]
            origin = rows - speed
            inside = (origin >= 0) & (origin < sources)
            there, origin = rows[inside], origin[inside]
            better = played[origin] < arrived[there, to]
            there, origin = there[better], origin[better]
            arrived[there, to] = played[origin]
            came[t, there, to] = origin * speeds + which[origin]
        costs = arrived + unary[t][:, None]
    state = int(costs.argmin())
    path, speed_of = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
    for t in range(frames - 1, -1, -1):
        path[t], speed_of[t] = divmod(state, speeds)
        state = int(came[t].reshape(-1)[state])
    return path, speed_of


def reachable_pose(
    pose: Motion, source: Motion, indices: NDArray[np.int64], *, max_deg: float = 6.0, max_mm: float = 20.0
) -> Motion:
    """Pull a predicted pose towards its matched source frames, so that the warp between them stays small.

    The deviation from the source's pose is limited smoothly (a small one is kept, a large one tends to the limit). The
    source's pose is smoothed over about a third of a second first, so a cut or a turn in the source does not jerk.

    Args:
        pose: T frames.
        source: the clip's motion.
        indices: (T,) matched source frames.
        max_deg: greatest rotation away from the (smoothed) source pose.
        max_mm: greatest translation away from it.

    Returns:
        the motion with the limited pose; expression and gaze are the same.

    Raises:
        InvalidParameter: a limit is not positive, or the lengths differ.
    """
    if len(indices) != len(pose) or max_deg <= 0 or max_mm <= 0:
        raise InvalidParameter(
            f"{len(indices)} matched frames for {len(pose)} poses, limits {max_deg} degrees and {max_mm} mm",
            remedy="match the same motion, and use limits above 0",
        )
    if len(pose) == 0:
        return pose
    mean = source.rotation[0].astype(np.float64)
    centre = gaussian_filter1d(compose(-mean, source.rotation[indices]), 4.0, axis=0, mode="nearest")
    place = gaussian_filter1d(source.translation[indices].astype(np.float64), 4.0, axis=0, mode="nearest")
    anchor = compose(mean, centre)
    turned = _limited(compose(-anchor, pose.rotation), np.radians(max_deg))
    moved = _limited(pose.translation - place, max_mm)
    return Motion(
        compose(anchor, turned).astype(np.float32),
        (place + moved).astype(np.float32),
        pose.expression,
        pose.gaze,
    )


def _limited(deviation: Floats, most: float) -> Floats:
    """(T, 3) -> (T, 3) of length below ``most``: unchanged below half of it, then bent smoothly."""
    length = np.linalg.norm(deviation, axis=1, keepdims=True)
    half = most / 2
    bent = half + half * np.tanh((length - half) / half)
    return deviation * np.where(length > half, bent / np.maximum(length, 1e-12), 1.0)


def _pose_only(pose: Motion, source: Motion) -> Motion:
    """Expressions of other widths may drive: they do not matter here and are left out."""
    empty = np.zeros((len(pose), source.expression.shape[1]), np.float32)
    return Motion(pose.rotation, pose.translation, empty, pose.gaze)
