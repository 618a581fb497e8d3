"""Closed-form ridge regression (Hoerl & Kennard 1970), solved in the dual: few frames, many features."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Ridge:
    """targets = features @ weights + bias."""

    weights: Array
    """(D, O)."""
    bias: Array
    """(O,)."""

    def __call__(self, features: Array) -> Array:
        """(T, D) -> (T, O)."""
        return features @ self.weights + self.bias


def ridge_path(features: Array, targets: Array, strengths: tuple[float, ...]) -> list[Ridge]:
    """One ridge per strength from a single eigendecomposition.

    Args:
        features: (N, D) standardised.
        targets: (N, O).
        strengths: penalties, in units of the mean squared length of a centred feature row.

    Returns:
        a :class:`Ridge` for each of ``strengths``.
    """
    centre, level = features.mean(0), targets.mean(0)
    rows = (features - centre).astype(np.float64)
    values, vectors = np.linalg.eigh(rows @ rows.T)  # (N,), (N, N)
    projected = vectors.T @ (targets - level)
    unit = max(float(np.square(rows).sum(1).mean()), 1e-9)
    ridges = []
    for strength in strengths:
        dual = vectors @ (projected / (np.maximum(values, 0) + strength * unit)[:, None])
        weights = rows.T @ dual
        ridges.append(Ridge(weights.astype(np.float32), (level - centre @ weights).astype(np.float32)))
    return ridges


def context(features: Array, radius: int) -> Array:
    """(T, D) -> (T, (2 radius + 1) D): every frame with its neighbours; the ends are repeated."""
    padded = np.pad(features, ((radius, radius), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(features)] for i in range(2 * radius + 1)], axis=1)


def folds(frames: int, count: int) -> list[slice]:
    """``count`` contiguous held-out blocks that together cover ``frames``."""
    edges = np.linspace(0, frames, count + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def folds_of(valid: NDArray[np.bool_], count: int) -> list[slice]:
    """The same over (T,) frames of which only the valid ones count: each block holds as many of those.

    Where a clip's sound ends early, blocks of equal length would leave some with nothing to be judged by.
    """
    counted = np.r_[0, np.cumsum(valid)]
    inner = [int(np.searchsorted(counted, counted[-1] * k / count)) for k in range(1, count)]
    return (
        [slice(a, b) for a, b in pairwise([0, *inner, len(valid)])]
        if not valid.all()
        else folds(len(valid), count)
    )


def training_mask(frames: int, held_out: slice, guard: int) -> NDArray[np.bool_]:
    """(frames,) True outside the held-out block and ``guard`` frames around it (their windows overlap it)."""
    mask = np.ones(frames, bool)
    mask[max(0, held_out.start - guard) : held_out.stop + guard] = False
    return mask


def correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Pearson's r of two (T,) series; 0 when one of them does not move."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-12 else 0.0
