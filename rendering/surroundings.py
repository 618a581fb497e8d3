"""How hair, ears, neck and clothes follow the head (learnt by ``rendering.follow``).

The head model says where every point of the face goes. What lies round it goes along partly, and each part in its own
way: hair nearly wholly, braids and collar a little, shoulders hardly, the room not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.track import Motion, load_tensors, save_tensors
from problems import InvalidPackage

FORMAT = "likeness.surroundings/1"
GRID = 64
"""Side of the grid over the crop on which displacements are learnt."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Surroundings:
    """Displacement round the head, on a grid over the crop."""

    follow: Array
    """(2, G, G) share of the head's displacement in x and in y."""
    drift: Array
    """(2, G, G, 6) full-frame pixels per unit of pose change (:func:`pose_features` over ``spread``)."""
    spread: Array
    """(6,) the clip's usual deviation of each pose feature."""

    @classmethod
    def falling_off(cls, share: Array, spread: Array) -> Surroundings:
        """Without anything learnt: ``share`` (G, G) of the head's displacement, whatever the pose."""
        return cls(np.stack([share, share]), np.zeros((2, *share.shape, 6), np.float32), spread)

    def towards(self, other: Surroundings, share: float) -> Surroundings:
        """Between the two: 0 is this one, 1 the other."""
        return Surroundings(
            self.follow + np.float32(share) * (other.follow - self.follow),
            self.drift + np.float32(share) * (other.drift - self.drift),
            self.spread,
        )

    def field(self, head: Array, turn: NDArray[np.floating]) -> Array:
        """Displacement everywhere.

        Args:
            head: (G, G, 2) the head's displacement, carried outwards; full-frame pixels.
            turn: (6,) pose features of the source frame minus those of the output frame.

        Returns:
            (G, G, 2) full-frame pixels from an output point to where it lies in the source frame.
        """
        units = pose_units(turn, self.spread)
        return np.moveaxis(self.follow * np.moveaxis(head, -1, 0) + self.drift @ units, 0, -1)

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        tensors = {"follow": self.follow, "drift": self.drift, "spread": self.spread}
        save_tensors(path, tensors, {"format": FORMAT})

    @classmethod
    def load(cls, path: Path) -> Surroundings:
        """Read what :meth:`save` wrote; raises :class:`problems.InvalidPackage` when damaged."""
        tensors, _ = load_tensors(path, FORMAT)
        try:
            return cls(tensors["follow"], tensors["drift"], tensors["spread"])
        except KeyError as error:
            raise InvalidPackage(
                f"{path.name} lacks {error}", remedy="make the file again, or copy it again"
            ) from error


def pose_units(turn: NDArray[np.floating], spread: Array) -> Array:
    """(6,) change of pose features in usual deviations; beyond three it counts as three."""
    units: Array = np.clip(np.asarray(turn) / spread, -3.0, 3.0).astype(np.float32)
    return units


def pose_features(motion: Motion) -> NDArray[np.float64]:
    """(T, 6) pose in units in which one is about equally visible: degrees and millimetres in the picture's plane."""
    return np.concatenate(
        [
            1.5 * np.degrees(motion.rotation),
            0.7 * motion.translation[:, :2],
            0.15 * motion.translation[:, 2:],
        ],
        axis=1,
    )
