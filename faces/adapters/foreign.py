"""What every reader of a foreign model hands over, and the checks that all of them share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems import InvalidPackage

Array = NDArray[np.float32]

MAX_BYTES = 4 << 30
"""Largest file that is read, and the most that one array of it may take in memory."""
MAX_VERTICES, MAX_TRIANGLES, MAX_COMPONENTS = 300_000, 600_000, 1000
UNTEXTURED = "no albedo: the shipped head's is used"


@dataclass(frozen=True)
class ForeignModel:
    """A model in its own topology: millimetres, x to the image's right, y up, z out of the face, any origin."""

    format: str
    """One of ``faces.adapters.formats``."""
    version: str
    """What the file says of itself, such as ``2009`` or ``face12_nomouth``."""
    mean: Array
    """(V, 3) mean neutral head."""
    identity: Array
    """(V, 3, K) displacement of one standard deviation per component."""
    triangles: NDArray[np.int32]
    """(F, 3) counter-clockwise seen from outside."""
    part: NDArray[np.uint8]
    """(F,) SKIN, EYES, TEETH, TONGUE or INNER_MOUTH of ``faces.morphable``."""
    expression: Array
    """(V, 3, E) displacement per unit (a standard deviation, or 1 of a named shape)."""
    expression_names: tuple[str, ...] = ()
    """ARKit names of the E shapes, or empty where they are unnamed components."""
    albedo: Array | None = None
    """(V, 3) mean colour in [0, 1]."""
    licence: str = ""
    """Whose the model is and what its licence asks for."""
    notes: tuple[str, ...] = ()
    """What the files lack, a phrase each."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What an import takes from the shipped head, after the reader's own notes."""
        from faces.morphable import EYES, INNER_MOUTH, TEETH, TONGUE

        parts = {EYES: "eyeballs", TEETH: "teeth", TONGUE: "tongue", INNER_MOUTH: "inner mouth"}
        absent = [name for value, name in parts.items() if not (self.part == value).any()]
        lacks = [f"no {', '.join(absent)}: the shipped head's are put in"] if absent else []
        if self.albedo is None:
            lacks.append(UNTEXTURED)
        if not self.expression.shape[-1]:
            lacks.append("no expressions of its own: the shipped head's are transferred")
        return (*self.notes, *lacks)


@dataclass
class Checked:
    """Collects arrays under one file's name, and refuses those that can't be."""

    path: Path
    remedy: str
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def refuse(self, problem: str) -> InvalidPackage:
        """The error to raise."""
        return InvalidPackage(f"{self.path.name}: {problem}", remedy=self.remedy)

    def size(self, name: str, shape: tuple[int, ...], itemsize: int = 8) -> None:
        """Refuse an array before it is read if it could fill the memory."""
        if int(np.prod([max(int(n), 0) for n in shape], dtype=object)) * itemsize > MAX_BYTES:
            raise self.refuse(f"{name} claims the shape {shape}, larger than any model")

    def numbers(self, name: str, values: object, *shape: int | None) -> NDArray[np.float64]:
        """``values`` as finite float64 of ``shape`` (None: any length).

        Raises:
            InvalidPackage: not numbers, of another shape, not finite or absurdly large.
        """
        try:
            array = np.asarray(values)
            if array.dtype.kind not in "fiu":
                raise self.refuse(f"{name} holds no numbers (dtype {array.dtype})")
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise self.refuse(f"{name} is not an array of numbers ({error})") from error
        fits = array.ndim == len(shape) and all(
            want is None or have == want for have, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise self.refuse(f"{name} has the shape {array.shape}, not ({wanted})")
        if not np.isfinite(array).all():
            raise self.refuse(f"{name} holds NaN or infinite values")
        if array.size and np.abs(array).max() > 1e12:
            raise self.refuse(f"{name} holds values up to {np.abs(array).max():.1e}")
        return array

    def components(self, name: str, count: int) -> None:
        """Refuse an absurd number of components."""
        if not 0 <= count <= MAX_COMPONENTS:
            raise self.refuse(f"{name} has {count} components; at most {MAX_COMPONENTS} are read")

    def triangles(self, values: NDArray[Any], vertices: int) -> NDArray[np.int32]:
        """(F, 3) vertex indices from 0, all inside (V); degenerate ones are left out."""
        if not 3 <= vertices <= MAX_VERTICES or not 1 <= len(values) <= MAX_TRIANGLES:
            raise self.refuse(f"{vertices} vertices and {len(values)} triangles are not a head model")
        index = np.rint(values).astype(np.int64)
        if index.min() < 0 or index.max() >= vertices:
            raise self.refuse(f"a triangle names vertex {index.max()} of {vertices} (or one below 0)")
        a, b, c = index.T
        result: NDArray[np.int32] = index[(a != b) & (b != c) & (a != c)].astype(np.int32)
        return result

    def millimetres(self, mean: NDArray[np.float64]) -> None:
        """Refuse a mean whose extent is not a head's: another unit than the format's."""
        extent = float(np.ptp(mean, axis=0).max())
        if not 80.0 <= extent <= 900.0:
            raise self.refuse(f"the mean head is {extent:.3g} mm large; is it in the format's own unit?")


def outward(mean: NDArray[Any], triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """Triangles counter-clockwise seen from outside; the whole mesh is turned if most of it faces inwards."""
    corners = mean[triangles].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outwards = (normal * (corners.mean(1) - mean.mean(0))).sum()
    return triangles if outwards >= 0 else np.ascontiguousarray(triangles[:, ::-1])


def scaled_basis(basis: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3V, K) columns times (K,) standard deviations, unless the columns already have that length."""
    lengths = np.linalg.norm(basis, axis=0)
    typical = np.median(deviation) if len(deviation) else 1.0
    if len(deviation) and abs(np.log(max(np.median(lengths), 1e-12) / max(typical, 1e-12))) < 0.1 < abs(
        np.log(max(np.median(lengths), 1e-12))
    ):
        return basis
    return basis * deviation
