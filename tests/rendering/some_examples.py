"""Examples of a person who is a coloured blob: small, and different for each seed."""

from __future__ import annotations

import numpy as np

from rendering.examples import Examples
from tests.rendering.moving_blobs import SIZE, MovingBlobs

__all__ = ["SIZE", "some_examples"]


def some_examples(seed: int, frames: int = 12) -> Examples:
    """The moving blobs in another colour, two passes."""
    rng = np.random.default_rng(seed)
    blobs = MovingBlobs(frames)
    batch = blobs._take(np.arange(frames))  # type: ignore[arg-type]
    tint = rng.uniform(0.6, 1.0, 3)

    def pixels(images: object) -> np.ndarray:
        colours = (np.asarray(images) + 1) * 127.5
        return (np.moveaxis(colours, -3, -1) * tint).round().astype(np.uint8)

    composite = pixels(batch.composite_window)[:, -1]
    source = pixels(batch.source)
    return Examples(
        target=pixels(batch.target),
        masks=(np.moveaxis(batch.masks.numpy(), 1, -1) * 255).round().astype(np.uint8),
        inside=np.tile(np.array([4, 0, SIZE, SIZE]), (frames, 1)),
        composite=np.stack([composite, composite[:, ::-1]]),
        source=np.stack([source, source[::-1]]),
        frame=np.arange(frames) + 3,
        values=(batch.value.numpy() + rng.normal(0, 0.5, batch.value.shape[1])).astype(np.float32),
        weights=blobs.weights.numpy(),
    )
