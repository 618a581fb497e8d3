"""A tiny generated clip: an ellipse whose mouth opens over a row of teeth, and a render without them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from rendering.batches import RenderBatch
from rendering.identity import appearance_value

SIZE = 64


def _draw(time: float, opening: float, teeth: bool) -> tuple[Tensor, Tensor, tuple[float, float]]:
    """-> image (3, S, S) in [-1, 1], masks (3, S, S), mouth centre (x, y)."""
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    cx, cy = SIZE / 2 + 5 * math.sin(time / 3), SIZE / 2 + 3 * math.cos(time / 4)

    def ellipse(dx: float, dy: float, rx: float, ry: float) -> Tensor:
        distance = ((x - cx - dx) / rx) ** 2 + ((y - cy - dy) / ry) ** 2
        return torch.sigmoid((1 - distance) * 6)

    face, mouth = ellipse(0, 0, 20, 25), ellipse(0, 11, 9, 2 + 5 * opening)
    eyes = (ellipse(-8, -8, 4, 2.5) + ellipse(8, -8, 4, 2.5)).clamp(0, 1)
    image = torch.stack([0.1 * torch.sin(x / 5), 0.1 * torch.cos(y / 7), 0.2 + 0 * x])

    def paint(image: Tensor, mask: Tensor, colour: tuple[float, float, float]) -> Tensor:
        return image * (1 - mask) + torch.tensor(colour)[:, None, None] * mask

    image = paint(image, face, (0.6, 0.3, 0.1))
    image = paint(image, eyes, (-0.8, -0.7, -0.5) if teeth else (-0.5, -0.5, -0.5))
    image = paint(image, mouth, (-0.8, -0.9, -0.9) if teeth else (0.1, -0.4, -0.4))
    if teeth:
        image = paint(image, mouth * ellipse(0, 9, 7, 2.5), (0.9, 0.9, 0.8))
    return image.float(), torch.stack([face, mouth, eyes]).float(), (cx, cy + 11)


class MovingBlobs:
    """A ``RenderDataset`` of ``frames`` examples and four held-out ones."""

    def __init__(self, frames: int = 40) -> None:
        openings = [0.5 - 0.5 * math.cos(k * 0.9) for k in range(frames + 4)]
        descriptor = np.sin(np.arange(128, dtype=np.float32))
        examples = []
        for k, opening in enumerate(openings):
            real, masks, (mx, my) = _draw(k, opening, teeth=True)
            window = [_draw(t, openings[t], teeth=False)[0] for t in (max(k - 2, 0), max(k - 1, 0), k)]
            source = _draw(k, openings[(k + 7) % frames], teeth=True)[0]
            crop = ((real + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            value = appearance_value(crop, (mx - 10, my - 8, mx + 10, my + 8), (16, 16, 48, 32), descriptor)
            valid = torch.ones(1, SIZE, SIZE)
            valid[..., :2] = 0
            examples.append(
                (torch.stack(window), source, masks, real, valid, torch.from_numpy(value), torch.tensor(k))
            )
        self._all = RenderBatch(*(torch.stack(parts) for parts in zip(*examples, strict=True)))
        self._frames = frames
        self.weights = torch.tensor([1 + 2 * opening for opening in openings[:frames]])

    def __len__(self) -> int:
        return self._frames

    def _take(self, indices: Tensor) -> RenderBatch:
        return RenderBatch(*(value[indices] for value in vars(self._all).values()))

    @property
    def values(self) -> Tensor:
        return self._all.value[: self._frames]

    @property
    def held_out(self) -> RenderBatch:
        return self._take(torch.arange(self._frames, self._frames + 4))

    def batch(self, indices: Tensor, generator: torch.Generator) -> RenderBatch:
        batch = self._take(indices)
        # The only augmentation: a little light, so that the trainer's generator has a say in what is seen.
        light = 1 - 0.02 * torch.rand(len(indices), 1, 1, 1, generator=generator)
        return RenderBatch(**{**vars(batch), "source": batch.source * light})
