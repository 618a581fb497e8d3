"""A person's texture: colours in the atlas, unwrapped from their own clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.appearance import Appearance
from faces.track import load_tensors, save_tensors
from problems import InvalidPackage

FORMAT = "likeness.texture/1"


@dataclass(frozen=True)
class Texture:
    """Colours and how far they were really seen."""

    image: NDArray[np.uint8]
    """(A, A, 3) RGB in the atlas; texels that were never seen are filled in from their surroundings."""
    seen: NDArray[np.uint8]
    """(A, A) 0 never seen .. 255 seen well."""
    appearance: Appearance | None = None
    """How the colours change with the motion; None: not at all."""

    def sample(self, uv: NDArray[np.float32]) -> NDArray[np.uint8]:
        """(h, w, 2) texture coordinates in [0, 1] -> (h, w, 3) RGB, bilinear."""
        size = self.image.shape[0]
        where = uv * size - 0.5
        return cv2.remap(self.image, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    def save(self, path: Path) -> None:
        """Write one safetensors file, atomically."""
        changes = self.appearance.tensors() if self.appearance else {}
        tensors = {f"appearance.{name}": value for name, value in changes.items()}
        save_tensors(path, {"image": self.image, "seen": self.seen, **tensors}, {"format": FORMAT})

    @classmethod
    def load(cls, path: Path) -> Texture:
        """Read what :meth:`save` wrote; raises :class:`problems.InvalidPackage` when damaged."""
        tensors, _ = load_tensors(path, FORMAT)
        try:
            changes = {
                name.removeprefix("appearance."): value
                for name, value in tensors.items()
                if name.startswith("appearance.")
            }
            return cls(tensors["image"], tensors["seen"], Appearance.of(changes) if changes else None)
        except KeyError as error:
            raise InvalidPackage(
                f"{path.name} is not a complete texture ({error} is missing)",
                remedy="make the file again, or copy it again",
            ) from error
