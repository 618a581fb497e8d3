"""PatchGAN discriminator (Isola et al. 2017): real or painted, judged patch by patch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Size of the PatchGAN; it dominates a training step on a CPU."""

    width: int = 16
    """Channels of the first layer (ndf)."""
    channels: int = 12
    """Three composites and the image judged, three colours each."""
    layers: int = 3
    """Layers of stride 2: 3 gives receptive fields of 70x70 pixels, 2 of 34x34."""


class Discriminator(nn.Module):
    """(B, 9, S, S) composites, (B, 3, S, S) image -> (B, 1, s, s) scores: 1 real, 0 painted (LSGAN)."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.width * min(2**level, 8) for level in range(config.layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(config.channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for level in range(1, len(widths)):
            stride = 2 if level < config.layers else 1
            blocks += [
                nn.Conv2d(widths[level - 1], widths[level], 4, stride, 1),
                nn.InstanceNorm2d(widths[level], eps=1e-4, affine=True),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, composites: Tensor, image: Tensor) -> Tensor:
        scores: Tensor = self.layers(torch.cat([composites, image], dim=1))
        return scores
