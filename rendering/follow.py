"""Learn from the clip how hair, ears, neck and clothes follow the head (``rendering.surroundings``).

Between pairs of the clip's frames, dense optical flow (Kroeger et al. 2016) shows it; per point of the crop a ridge
regression explains the flow by the head's displacement carried outwards and by the change of the head's pose. Where
the flow shows nothing, the displacement falls off with the distance from the head.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rendering.compositor import Compositor
from rendering.surroundings import GRID, Surroundings, pose_features, pose_units
from training.progress import Progress, Tick, silent

Array = NDArray[np.float32]

TRUST = (0.0, 0.5, 1.0)
"""Shares of what was learnt, against the plain fall-off, that are tried."""


@dataclass(frozen=True)
class SurroundingsConfig:
    """How the clip is looked at."""

    pairs: int = 120
    """Pairs of frames for learning; a sixth as many more judge the result."""
    early: float = 0.7
    """Part of the clip whose pairs are learnt from for judging; the rest is drawn over its frames."""
    nearest: int = 40
    """The second frame of a pair is among so many of nearest pose."""
    gap: int = 10
    """Frames between the two at least."""
    flow_px: int = 256
    """Side of the crops that flow is sought in, pixels."""
    agreement: float = 1.0
    """Pixels by which flow forth and back may differ."""
    smooth: float = 1.2
    """Standard deviation over which evidence is shared, grid cells."""
    prior: float = 0.03
    """Weight of the fall-off, as a share of the evidence that a well-seen cell has."""


def learn_surroundings(
    compositor: Compositor,
    *,
    seed: int = 0,
    config: SurroundingsConfig | None = None,
    progress: Progress = silent,
) -> Surroundings:
    """How hair and clothes follow this person's head.

    Args:
        compositor: of the fitted clip.
        seed: of the choice of frames.

    Returns:
        what was learnt, or half of it, or the plain fall-off: whichever draws the clip's last third best from what its
        first two thirds teach. Behind a hand-held camera the room moves, and pose does not tell how.
    """
    config = config or SurroundingsConfig()
    track = compositor.track
    found = np.nonzero(track.valid)[0]
    features = pose_features(track.motion[found])
    spread, unit = np.maximum(features.std(0), 0.3), 0.06 * compositor.iod
    rng, early = np.random.default_rng(seed), round(config.early * len(found))
    pairs = _pairs(features, np.arange(len(found)), np.arange(len(found)), config.pairs, config, rng)
    judges = _pairs(features, np.arange(early, len(found)), np.arange(early), config.pairs // 6, config, rng)
    whole, part = Regression(spread, unit), Regression(spread, unit)
    middle = int(found[len(found) // 2])
    shares = [compositor.fall_off(compositor.cover(track.motion[middle : middle + 1], GRID))]
    flow = PairFlow(config)
    for n, (a, b) in enumerate(pairs):
        target, source = int(found[a]), int(found[b])
        vertices, box, _, fragments = compositor.drawn(track.motion[target : target + 1])
        head, weight = compositor.head_displacement(vertices, source, fragments, GRID, sway=False)
        shares.append(compositor.fall_off(weight))
        one, other = (compositor.crop(compositor.frames[index], box) for index in (target, source))
        moved, trust = flow(one, other, compositor.side)
        for regression in (whole, part) if max(a, b) < early else (whole,):
            regression.add(head, features[b] - features[a], moved, trust)
        progress(Tick("render.surroundings", n + 1, len(pairs) + len(judges)))
    fall_off = np.mean(shares, axis=0, dtype=np.float32)
    plain = Surroundings.falling_off(fall_off, spread.astype(np.float32))
    trial = part.solve(fall_off, config)
    ways = [plain.towards(trial, share) for share in TRUST]
    errors = np.zeros(len(TRUST))
    for n, (a, b) in enumerate(judges):
        index = int(found[a])
        for way, surroundings in enumerate(ways):
            layers = compositor.compose(
                track.motion[index : index + 1], int(found[b]), surroundings=surroundings
            )
            real = compositor.crop(compositor.frames[index], layers.box)
            errors[way] += np.log(((layers.image.astype(np.float32) - real) ** 2).mean() + 1e-3)
        progress(Tick("render.surroundings", len(pairs) + n + 1, len(pairs) + len(judges)))
    return plain.towards(whole.solve(fall_off, config), TRUST[int(errors.argmin())])


def _pairs(
    features: NDArray[np.float64],
    targets: NDArray[np.int64],
    sources: NDArray[np.int64],
    count: int,
    config: SurroundingsConfig,
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """Pairs of a target and a source of similar pose at different moments."""
    pairs = []
    for a in rng.choice(targets, count if len(targets) else 0):
        distance = np.linalg.norm(features[sources] - features[a], axis=1)
        distance[np.abs(sources - a) < config.gap] = np.inf
        near = np.argsort(distance)[: min(config.nearest, int(np.isfinite(distance).sum()))]
        if len(near):
            pairs.append((int(a), int(sources[rng.choice(near)])))
    return pairs


class Regression:
    """Sums of one ridge regression per grid cell and axis: flow on displacement and pose change.

    Args:
        spread: (6,) usual deviation of the pose features.
        unit: full-frame pixels that a pose change of one deviation may plausibly move things.
    """

    def __init__(self, spread: NDArray[np.floating], unit: float) -> None:
        self.spread, self.unit = spread.astype(np.float32), unit
        self.gram = np.zeros((2, GRID, GRID, 7, 7))
        self.right = np.zeros((2, GRID, GRID, 7))

    def add(self, head: Array, turn: NDArray[np.floating], flow: Array, trust: Array) -> None:
        """One pair: head (G, G, 2), pose change (6,), flow (G, G, 2) in full-frame pixels, trust (G, G) in 0..1."""
        units = pose_units(turn, self.spread).astype(np.float64) * self.unit
        for axis in range(2):
            row = np.concatenate(
                [head[..., axis : axis + 1], np.broadcast_to(units, (GRID, GRID, 6))], axis=-1
            )  # (G, G, 7)
            self.gram[axis] += trust[..., None, None] * row[..., :, None] * row[..., None, :]
            self.right[axis] += (trust * flow[..., axis])[..., None] * row

    def solve(self, fall_off: Array, config: SurroundingsConfig) -> Surroundings:
        """The ridge solution round ``fall_off`` (G, G), the share of the displacement without any evidence."""
        follow, drift = np.empty((2, GRID, GRID), np.float32), np.empty((2, GRID, GRID, 6), np.float32)
        for axis in range(2):
            gram, right = (_shared(x, config.smooth) for x in (self.gram[axis], self.right[axis]))
            strength = max(config.prior * float(np.percentile(gram[..., 0, 0], 85)), 1e-6)
            right[..., 0] += strength * fall_off
            solution = np.linalg.solve(gram + strength * np.eye(7), right[..., None])[..., 0]
            follow[axis], drift[axis] = solution[..., 0].clip(-0.2, 1.3), solution[..., 1:] * self.unit
        return Surroundings(follow, drift, self.spread)


class PairFlow:
    """Dense optical flow between two crops, with how far it can be trusted."""

    def __init__(self, config: SurroundingsConfig) -> None:
        self._config = config
        self._engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]

    def __call__(
        self, target: NDArray[np.uint8], source: NDArray[np.uint8], side: int
    ) -> tuple[Array, Array]:
        """Two (R, R, 3) RGB crops that show ``side`` full-frame pixels -> flow (G, G, 2) in those, trust (G, G)."""
        size = self._config.flow_px
        one, other = (
            cv2.cvtColor(cv2.resize(x, (size, size), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
            for x in (target, source)
        )
        forth, back = self._engine.calc(one, other, None), self._engine.calc(other, one, None)
        y, x = np.mgrid[0:size, 0:size].astype(np.float32)
        returned = cv2.remap(back, x + forth[..., 0], y + forth[..., 1], cv2.INTER_LINEAR)
        agrees = np.linalg.norm(forth + returned, axis=-1) < self._config.agreement
        slope = cv2.Sobel(one, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(one, cv2.CV_32F, 0, 1) ** 2
        trust = (agrees * np.minimum(slope / 6400, 1.0)).astype(np.float32)  # an even wall shows no flow
        total = cv2.resize(forth * trust[..., None], (GRID, GRID), interpolation=cv2.INTER_AREA)
        share = cv2.resize(trust, (GRID, GRID), interpolation=cv2.INTER_AREA) + 1e-6
        return (total / share[..., None] * (side / size)).astype(np.float32), share


def _shared(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """(G, G, ...) blurred over the grid."""
    planes = values.reshape(GRID, GRID, -1)
    blurred = [
        cv2.GaussianBlur(np.ascontiguousarray(planes[..., n]), (0, 0), sigma) for n in range(planes.shape[-1])
    ]
    return np.stack(blurred, axis=-1).reshape(values.shape)
