"""How a person's texture changes with expression, gaze and the turn of the head: folds, lips, teeth, lids, gloss.

One texture is an average of all that a face does. What is left over in each frame depends on what the face does in it:
the active appearance model (Cootes, Edwards and Taylor 1998), on the mesh instead of a warped picture. Mouth, eyes and
the rest of the face each have their own basis pictures; their coefficients follow from the motion by kernel ridge
regression on the clip's frames, with a linear part for what lies between and beyond them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from faces.track import Motion

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Appearance:
    """Differences to a texture, of N texels in an atlas of side A that lie in G regions; K coefficients in all."""

    size: NDArray[np.int32]
    """(1,) A; the texture's own atlas may be finer."""
    texels: NDArray[np.int32]
    """(N,) row * A + column, region by region."""
    mean: NDArray[np.float16]
    """(N, 3) difference on average, grey levels of 255."""
    regions: NDArray[np.int32]
    """(G, 2) texels and basis pictures of each region; they sum to N and K."""
    basis: NDArray[np.int8]
    """Each region's basis pictures (K_g, N_g, 3), flat, one after the other."""
    centre: Array
    """(E + 8,) :func:`motion_features` on average."""
    project: Array
    """(E + 8, P) from features to the space in which motions are alike when they are near."""
    anchors: Array
    """(T, P) the clip's frames there."""
    reach: Array
    """(1,) squared distance at which likeness has fallen to 1/e."""
    kernel: Array
    """(T, K) what each of the clip's frames adds, by its likeness."""
    linear: Array
    """(P + 1, K) slopes, and the constant; the basis pictures' scale is in these two."""
    limit: Array
    """(2, K) least and greatest coefficient in the clip: nothing is made up beyond them."""
    unseen: Array
    """(F, K) coefficients of each of the clip's frames, by a regression that has not seen it nor its neighbours."""

    def coefficients(self, motion: Motion) -> Array:
        """(F, K) of F frames."""
        return bounded(self.regress(place(motion, self.centre, self.project)), self.limit)

    def regress(self, points: Array) -> Array:
        """(F, P) places -> (F, K) unbounded coefficients."""
        likeness = np.exp(-squared_distances(points, self.anchors) / self.reach)
        result: Array = (likeness @ self.kernel + points @ self.linear[:-1] + self.linear[-1]).astype(
            np.float32
        )
        return result

    def change(self, coefficients: Array) -> Array:
        """(A, A, 3) what coefficients (K,) add to the texture, grey levels; zero off the face."""
        side = int(self.size[0])
        full = np.zeros((side * side, 3), np.float32)
        texel = basis = 0
        for pictures in self._pictures:
            count, rank = pictures.shape[1] // 3, len(pictures)
            part = slice(texel, texel + count)
            _add(full, self.texels[part], self._mean[part], coefficients[basis : basis + rank], pictures)
            texel, basis = texel + count, basis + rank
        return full.reshape(side, side, 3)

    @cached_property
    def _pictures(self) -> list[NDArray[np.int8]]:
        """Per region (K_g, N_g * 3)."""
        ends = np.cumsum(3 * self.regions[:, 0] * self.regions[:, 1])[:-1]
        parts = np.split(self.basis, ends)
        return [
            np.ascontiguousarray(part.reshape(rank, -1))
            for part, rank in zip(parts, self.regions[:, 1], strict=True)
        ]

    @cached_property
    def _mean(self) -> Array:
        """(N, 3)."""
        return self.mean.astype(np.float32)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Fields by name, to be stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]]) -> Appearance:
        """What :meth:`tensors` gave; raises KeyError when a field is missing."""
        return cls(**{field.name: tensors[field.name] for field in fields(cls)})


@njit(cache=True, nogil=True, fastmath=True)
def _add(
    full: Any, texels: Any, mean: Any, coefficients: Any, pictures: Any
) -> None:  # pragma: no cover - compiled
    """full (A * A, 3), in place at ``texels`` (M,): mean (M, 3) plus coefficients (K,) @ pictures (K, M * 3) int8.

    A byte of memory per product, and sums in blocks that stay in the first cache.
    """
    block = 512
    sums = np.empty(3 * block, np.float32)
    for begin in range(0, len(texels), block):
        count = min(block, len(texels) - begin)
        for m in range(count):
            for c in range(3):
                sums[3 * m + c] = mean[begin + m, c]
        for k in range(len(coefficients)):
            weight = np.float32(coefficients[k])
            row = pictures[k, 3 * begin : 3 * (begin + count)]
            for m in range(3 * count):
                sums[m] += weight * np.float32(row[m])
        for m in range(count):
            for c in range(3):
                full[texels[begin + m], c] = sums[3 * m + c]


def motion_features(motion: Motion) -> Array:
    """(F, E + 8) expression coefficients, rotation and gaze in radians, translation in millimetres."""
    return np.concatenate(
        [motion.expression, motion.rotation, motion.gaze, motion.translation], axis=1
    ).astype(np.float32)


def place(motion: Motion, centre: Array, project: Array) -> Array:
    """(F, P) where motions lie in the space of ``Appearance.anchors``."""
    result: Array = (motion_features(motion) - centre) @ project
    return result


def squared_distances(points: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """(F, P), (T, P) -> (F, T)."""
    squares = (points**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * points @ others.T
    result: NDArray[Any] = np.maximum(squares, 0.0)
    return result


def bounded(coefficients: NDArray[Any], limit: NDArray[Any]) -> Array:
    """Coefficients (F, K) inside of ``limit`` (2, K)."""
    result: Array = coefficients.clip(limit[0], limit[1]).astype(np.float32)
    return result
