"""The generated clip's person, ready to be composited: the true track and a texture unwrapped from the frames."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from faces.texture import Texture
from fitting.texture import TextureConfig, unwrap_texture
from rendering.compositor import Compositor
from tests.generated_clip import generated_clip


@lru_cache(maxsize=1)
def generated_texture() -> Texture:
    """Unwrapped once per process."""
    clip = generated_clip()
    return unwrap_texture(clip.track, clip.frames, config=TextureConfig(size=512, frames=16))


@lru_cache(maxsize=1)
def generated_compositor() -> Compositor:
    """Layers of the person; made once per process, its caches are only a matter of speed."""
    clip = generated_clip()
    return Compositor(clip.track, generated_texture(), clip.frames)


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8], where: NDArray[np.bool_] | None = None) -> float:
    """Decibels between two pictures, optionally within a mask."""
    square = (one.astype(np.float64) - other) ** 2
    return float(10 * np.log10(255**2 / max((square if where is None else square[where]).mean(), 1e-9)))
