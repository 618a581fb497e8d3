"""The expressions of the head model: 52 ARKit units and 12 of MakeHuman's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from faces.morphable import EYES
from studio.head_cut import HeadMesh
from studio.head_source import RACES, AnnyWheel

Floats = NDArray[np.float64]

MAKEHUMAN_UNITS = (
    "mouth-eversion", "mouth-compression", "mouth-part-later", "mouth-protusion", "mouth-retraction",
    "mouth-upward-retraction", "mouth-parling", "mouth-elevation", "mouth-depression", "mouth-corner-puller",
    "neck-platysma", "nose-compression",
)  # fmt: skip


def expression_space(wheel: AnnyWheel, head: HeadMesh, body_size: int) -> tuple[list[str], Floats]:
    """Names and basis (V, 3, E) of the ARKit units, then the MakeHuman units."""
    names: list[str] = []
    shapes: list[Floats] = []
    for name in sorted(n for n in wheel.names if "faceunits/" in n and n.endswith(".target")):
        names.append(name.split("/")[-1].removesuffix(".target"))
        shapes.append(wheel.target(name, body_size)[head.body_ids])
    for unit in MAKEHUMAN_UNITS:
        parts = [
            wheel.target(f"mpfb2/targets/expression/units/{race}/{unit}.target.gz", body_size)[head.body_ids]
            for race in RACES
        ]
        names.append(f"mh:{unit}")
        shapes.append(sum(parts, start=np.zeros_like(parts[0])) / len(parts))
    basis = np.stack(shapes, axis=-1)
    # The eyeballs turn by gaze angles (exact rotations); the eyeLook units keep only what they do to the lids.
    look = [n for n, name in enumerate(names) if name.startswith("eyeLook")]
    basis[np.ix_(head.vertex_part == EYES, range(3), look)] = 0.0
    return names, basis
