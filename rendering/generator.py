"""Generator: three composited frames -> one real-looking frame (arXiv 2002.10137, section 3.4).

A U-Net whose encoder is modulated by the recalled memory value (AdaIN, all encoder blocks but the first and
the last) and whose two heads blend a painted colour with the composite: ``image = m * composite + (1 - m) *
colour``. Departures from the paper, for a CPU's sake: a strided stem, so that no wide layer runs at full
resolution; a low-rank MLP (the paper's AdaIN MLP is 79 % of its parameters); the composite's and the source's
own pixels join the last decoder block by space-to-depth, and the heads return to full resolution by
depth-to-space: all of the detail, at a quarter of a full-resolution layer's cost. Up-sampling is nearest
neighbour + convolution, which leaves no checkerboard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rendering.batches import COMPOSITE_CHANNELS, FACE, INPUT_CHANNELS, MASK_CHANNELS, SOURCE_CHANNELS
from rendering.identity import VALUE_SIZE

STRIDE = 64
"""The frame's side must be a multiple of this: six halvings."""


@dataclass(frozen=True)
class GeneratorConfig:
    """Size of the U-Net."""

    width: int = 32
    """Channels of the first encoder block (ngf); deeper ones have up to 8 times as many."""
    value_size: int = VALUE_SIZE
    """Length Dv of a memory value."""
    rank: int = 64
    """Hidden units of the AdaIN MLP."""
    attention: float = 0.6
    """Share of the composite in an untrained network's output, 0..1."""


class GeneratorOutput(NamedTuple):
    """A tuple rather than a dataclass: ONNX export needs it."""

    image: Tensor
    """(B, 3, S, S) RGB in [-1, 1]: the blend."""
    colour: Tensor
    """(B, 3, S, S) RGB in [-1, 1]: what the network paints."""
    attention: Tensor
    """(B, 1, S, S) in [0, 1]: m, where the composite is kept."""


class AdaIN(nn.Module):
    """Instance normalisation whose scale and shift come from a style code (Huang and Belongie 2017)."""

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.affine = nn.Linear(rank, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.02)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
        return F.instance_norm(x, eps=1e-4) * (1 + scale) + shift


class Encode(nn.Module):
    """Halve the resolution: 4x4 convolution of stride 2, AdaIN (unless first or last), leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, rank: int | None) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
        self.norm = AdaIN(outputs, rank) if rank else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.convolution(x)
        if self.norm is not None:
            x = self.norm(x, style)
        return F.leaky_relu(x, 0.2, inplace=True)


class Decode(nn.Module):
    """Double the resolution, join the encoder's features of that resolution, 3x3 convolution."""

    def __init__(self, inputs: int, skip: int, outputs: int, norm: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs + skip, outputs, 3, padding=1)
        self.norm = nn.InstanceNorm2d(outputs, eps=1e-4, affine=True) if norm else nn.Identity()

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1)
        return F.leaky_relu(self.norm(self.convolution(x)), 0.2, inplace=True)


def edit_region(masks: Tensor) -> Tensor:
    """(B, 3, S, S) masks -> (B, 1, S, S) in [0, 1]: where the network may paint, the face and a margin round it.

    Hair, clothes and room move in ways that nothing in the input tells; an L1 loss can only blur them there, where the
    warped real pixels of the composite are sharp and belong together.
    """
    coarse = F.avg_pool2d(masks[:, FACE : FACE + 1], 8)  # (B, 1, S/8, S/8)
    grown = F.max_pool2d((2 * coarse).clamp(max=1), 5, stride=1, padding=2)
    soft = F.avg_pool2d(grown, 3, stride=1, padding=1)
    return F.interpolate(soft, scale_factor=8.0, mode="bilinear", align_corners=False)


class Generator(nn.Module):
    """(B, 15, S, S), (B, Dv) -> :class:`GeneratorOutput`; S is a multiple of 64."""

    value_mean: Tensor
    value_scale: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        widths = [w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w]  # at S/2, S/4, ... S/64
        # Values of one person differ little; without standardising, the MLP would see a constant.
        self.register_buffer("value_mean", torch.zeros(config.value_size))
        self.register_buffer("value_scale", torch.ones(config.value_size))
        self.style = nn.Sequential(nn.Linear(config.value_size, config.rank), nn.LeakyReLU(0.2))
        inner = range(1, len(widths) - 1)
        self.encoder = nn.ModuleList(
            Encode(inputs, outputs, config.rank if level in inner else None)
            for level, (inputs, outputs) in enumerate(
                zip([INPUT_CHANNELS, *widths[:-1]], widths, strict=True)
            )
        )
        outputs = [8 * w, 4 * w, 2 * w, w, w]  # at S/32, ... S/2
        joins = [*widths[-2:0:-1], w + 4 * 6]  # the last also takes composite and source, space to depth
        self.decoder = nn.ModuleList(
            Decode(inputs, skip, output, norm=level < len(outputs) - 1)
            for level, (inputs, skip, output) in enumerate(
                zip([widths[-1], *outputs[:-1]], joins, outputs, strict=True)
            )
        )
        self.heads = nn.Conv2d(w, 4 * 5, 3, padding=1)  # (colour 3, attention 1, gate 1) of 2x2 pixels each
        nn.init.normal_(self.heads.weight, std=0.002)
        bias = self.heads.bias
        assert bias is not None
        with torch.no_grad():
            odds = math.log(config.attention / (1 - config.attention))
            bias.copy_(torch.tensor([0.0, 0.0, 0.0, odds, 3.0]).repeat_interleave(4))

    def standardise(self, values: Tensor) -> None:
        """Set the range of memory values, from all of the training frames' (N, Dv)."""
        self.value_mean.copy_(values.mean(0))
        # The floor keeps a component that never changes in training from exploding on one that does later.
        self.value_scale.copy_(1 / values.std(0, correction=0).clamp_min(0.01))

    def forward(self, frames: Tensor, value: Tensor) -> GeneratorOutput:
        """frames (B, 15, S, S) as ``RenderBatch.network_input``; value (B, Dv) true or recalled."""
        style = self.style((value - self.value_mean) * self.value_scale)  # (B, rank)
        x, skips = frames, []
        for encode in self.encoder:
            x = encode(x, style)
            skips.append(x)
        composite, source = frames[:, COMPOSITE_CHANNELS], frames[:, SOURCE_CHANNELS]
        detail = F.pixel_unshuffle(torch.cat([composite, source], dim=1), 2)  # (B, 24, S/2, S/2)
        skips[0] = torch.cat([skips[0], detail], dim=1)
        for decode, skip in zip(self.decoder, skips[-2::-1], strict=True):
            x = decode(x, skip)  # ends as (B, w, S/2, S/2)
        heads = F.pixel_shuffle(self.heads(x), 2)  # (B, 5, S, S)
        colour, attention, gate = heads[:, :3], torch.sigmoid(heads[:, 3:4]), torch.sigmoid(heads[:, 4:5])
        # Starting from the composite, the colour head learns corrections; the gate lets it paint freely
        # instead, where the composite's details are wrong (inside the mouth). 1.2 makes tanh the identity on
        # the average.
        colour = torch.tanh(colour + 1.2 * gate * composite)
        attention = 1 - edit_region(frames[:, MASK_CHANNELS]) * (1 - attention)
        return GeneratorOutput(attention * composite + (1 - attention) * colour, colour, attention)
