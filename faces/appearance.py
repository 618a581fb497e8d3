"""How a person's texture changes with expression, gaze and the turn of the head: folds, lips, teeth, lids, gloss.

One texture is an average of all that a face does. What is left over in each frame depends on what the face does in it,
and mostly linearly: the active appearance model (Cootes, Edwards and Taylor 1998), on the mesh instead of a warped
picture. The map from motion to texture is kept as a few basis pictures of the texels that the face shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.track import Motion

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Appearance:
    """Differences to a texture, for K basis pictures of N texels in an atlas of side A."""

    size: NDArray[np.int32]
    """(1,) A; the texture's own atlas may be finer."""
    texels: NDArray[np.int32]
    """(N,) row * A + column."""
    mean: NDArray[np.float16]
    """(N, 3) difference on average, grey levels of 255."""
    basis: NDArray[np.int8]
    """(K, N, 3)."""
    centre: Array
    """(E + 5,) expression, rotation and gaze at which the difference is the mean."""
    weights: Array
    """(E + 5, K) from motion to coefficients; the basis pictures' scale is in them."""
    limit: Array
    """(2, K) least and greatest coefficient in the clip: nothing is made up beyond them."""

    def coefficients(self, motion: Motion) -> Array:
        """(T, K) of T frames."""
        values = (motion_features(motion) - self.centre) @ self.weights
        return values.clip(self.limit[0], self.limit[1]).astype(np.float32)

    def change(self, motion: Motion) -> Array:
        """(A, A, 3) what to add to the texture for a motion of length 1, grey levels; zero off the face."""
        side = int(self.size[0])
        values = self.coefficients(motion)[0] @ self._rows
        values += self._mean
        full = np.zeros((side * side, 3), np.float32)
        full[self.texels] = values.reshape(-1, 3)
        return full.reshape(side, side, 3)

    @cached_property
    def _rows(self) -> Array:
        """(K, N * 3)."""
        return self.basis.reshape(len(self.basis), -1).astype(np.float32)

    @cached_property
    def _mean(self) -> Array:
        """(N * 3,)."""
        return self.mean.reshape(-1).astype(np.float32)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Fields by name, to be stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]]) -> Appearance:
        """What :meth:`tensors` gave; raises KeyError when a field is missing."""
        return cls(**{field.name: tensors[field.name] for field in fields(cls)})


def motion_features(motion: Motion) -> Array:
    """(T, E + 5) expression coefficients, rotation in radians, gaze in radians."""
    return np.concatenate([motion.expression, motion.rotation, motion.gaze], axis=1).astype(np.float32)
