"""One example, turned, scaled, moved, mirrored and tinted: it keeps 300 frames from being learnt by heart.

All parts of an example move together, so that what the network has to mend stays what it is. On 150 held-out frames of
one clip, training without this was best after 1,000 steps (mouth + .2 dB over the composite) and harmful after 3,000
(- .3 dB); with it the mouth was + .6 dB after 1,600 steps and rising (docs/rendering.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rendering.batches import RenderBatch


@dataclass(frozen=True)
class AugmentConfig:
    """Largest changes; 0 everywhere leaves the examples as they are."""

    turn: float = 0.12
    """Radians."""
    scale: float = 0.1
    """Share by which the picture grows or shrinks."""
    shift: float = 0.04
    """Share of the picture's side, in each direction."""
    mirror: float = 0.5
    """Probability of mirroring."""
    tint: float = 0.1
    """Share by which each colour's brightness changes."""


def augment(batch: RenderBatch, config: AugmentConfig, generator: torch.Generator) -> RenderBatch:
    """B changed examples; the values stay. Randomness comes from ``generator`` (CPU) alone."""
    count, device = len(batch), batch.target.device
    draw = torch.rand(count, 8, generator=generator).to(device)
    around = 2 * draw - 1  # (B, 8) in [-1, 1]
    angle, zoom = config.turn * around[:, 0], 1 + config.scale * around[:, 1]
    across, down = 2 * config.shift * around[:, 2], 2 * config.shift * around[:, 3]
    flip = torch.where(draw[:, 4] < config.mirror, -1.0, 1.0)
    cosine, sine = zoom * torch.cos(angle), zoom * torch.sin(angle)
    matrix = torch.stack([flip * cosine, -sine, across, flip * sine, cosine, down], dim=1).view(count, 2, 3)
    side = batch.target.shape[-1]
    grid = F.affine_grid(matrix, [count, 1, side, side], align_corners=False)
    gain = (1 + config.tint * around[:, 5:])[:, None, :, None, None]  # (B, 1, 3, 1, 1)

    def moved(images: Tensor, beyond: str = "border") -> Tensor:
        return F.grid_sample(images, grid, padding_mode=beyond, align_corners=False)

    colours = torch.cat([batch.composite_window, batch.source[:, None], batch.target[:, None]], dim=1)
    shown = moved(colours.flatten(1, 2)).view_as(colours)
    shown = ((shown + 1) * gain - 1).clamp(-1, 1)
    weights = moved(torch.cat([batch.masks, batch.valid], dim=1), "zeros")
    return RenderBatch(
        composite_window=shown[:, :3].contiguous(),
        source=shown[:, 3].contiguous(),
        masks=weights[:, :3].contiguous(),
        target=shown[:, 4].contiguous(),
        valid=weights[:, 3:].contiguous(),
        value=batch.value,
        frame=batch.frame,
    )
