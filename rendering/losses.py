"""What the generator is asked for: the real frame's pixels, mouth first; its edges; a plausible patch; little
flicker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rendering.batches import EYES, MOUTH
from rendering.discriminator import Discriminator


@dataclass(frozen=True)
class LossConfig:
    """Weights, relative to the reconstruction's L1."""

    gradient: float = 1.0
    """Of the L1 of image gradients inside the face: edges and teeth. Elsewhere (hair) layers are a pixel or two off,
    and asking for gradients there is asking for blur."""
    coarse: float = 0.5
    """Of the L1 at a quarter of the resolution: colour and shading."""
    mouth_share: float = 0.4
    """Share of the reconstruction loss that the mouth shall carry, 0..1; .3-.5 is the aim."""
    eyes_share: float = 0.12
    """The same for the eyes."""
    adversarial: float = 0.02
    """Of the discriminator's verdict, once the warm-up is over."""
    attention_mean: float = 0.003
    """Of the mean attention inside mouth and eyes: the paper's, keeps the generator from copying there."""
    attention_keep: float = 0.01
    """Of the mean lack of attention below 0.7 elsewhere: real pixels stay where painting gains little (hair,
    background). Pushing on to 1 would close the blend for good before the colours are learnt."""
    attention_smooth: float = 0.02
    """Of the attention's mean total variation: no holes, no flicker at its edges."""


class Reconstruction(NamedTuple):
    loss: Tensor
    """Scalar, differentiable."""
    mouth_share: Tensor
    """Scalar, detached: the part of the loss that the mouth carried."""
    l1: Tensor
    """Scalar, detached: plain mean absolute error over valid pixels, in [-1, 1] units."""


class ReconstructionLoss(nn.Module):
    """L1 of pixels, gradients and a coarse image, each pixel weighted so that the mouth carries its share.

    The mouth is under 4 % of the pixels: unweighted, the loss hardly sees speech (``papers.md`` 3.1). The
    weights of mouth and eyes follow the measured errors (running means in buffers), so the shares hold while
    the errors fall.
    """

    errors: Tensor

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("errors", torch.zeros(3))  # running sums of error: mouth, eyes, elsewhere

    def forward(self, image: Tensor, target: Tensor, masks: Tensor, valid: Tensor) -> Reconstruction:
        """image, target (B, 3, S, S) in [-1, 1]; masks (B, 3, S, S), valid (B, 1, S, S) in [0, 1]."""
        difference = (image - target) * valid
        error = difference.abs().mean(1)  # (B, S, S)
        l1 = error.detach().sum() / valid.sum().clamp_min(1)
        # A difference of gradients is the gradient of the difference.
        right = (difference[..., :, 1:] - difference[..., :, :-1]).abs().mean(1)
        down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean(1)
        edges = F.pad(right, (0, 1)) + F.pad(down, (0, 0, 0, 1))
        error = error + self.config.gradient * edges * masks.amax(1)
        coarse = F.avg_pool2d(difference, 4).abs().mean(1, keepdim=True)
        error = error + self.config.coarse * F.interpolate(coarse, scale_factor=4.0, mode="nearest")[:, 0]

        mouth, eyes = masks[:, MOUTH], masks[:, EYES] * (1 - masks[:, MOUTH])
        sums = torch.stack([(error * mouth).sum(), (error * eyes).sum(), (error * (1 - mouth - eyes)).sum()])
        weights = self._weights(sums.detach())
        parts = weights * sums
        # Divided by the pixels: the weights' growth must not act as a learning rate's.
        scale = sums.detach().sum() / parts.detach().sum().clamp_min(1e-8) / valid.sum().clamp_min(1)
        return Reconstruction(parts.sum() * scale, (parts[0] / parts.sum().clamp_min(1e-8)).detach(), l1)

    @torch.no_grad()
    def _weights(self, sums: Tensor) -> Tensor:
        """Error sums (mouth, eyes, elsewhere) -> their weights (3,), elsewhere 1."""
        if self.training:
            self.errors.copy_(torch.where(self.errors.sum() > 0, self.errors.lerp(sums, 0.1), sums))
        shares = self.errors.new_tensor([self.config.mouth_share, self.config.eyes_share])
        elsewhere = self.errors[2].clamp_min(1e-8)
        wanted = shares / (1 - shares.sum()) * elsewhere / self.errors[:2].clamp_min(1e-8)
        return torch.cat([wanted.clamp(0.1, 300), torch.ones_like(wanted[:1])])


def attention_loss(attention: Tensor, masks: Tensor, config: LossConfig) -> Tensor:
    """attention (B, 1, S, S), masks (B, 3, S, S) -> scalar: the means and the mean total variation, weighted."""
    variation = (attention[..., 1:] - attention[..., :-1]).abs().mean()
    variation = variation + (attention[..., 1:, :] - attention[..., :-1, :]).abs().mean()
    free = masks[:, [MOUTH, EYES]].amax(1, keepdim=True)  # (B, 1, S, S)
    copied = (free * attention).sum() / free.sum().clamp_min(1)
    painted = ((1 - free) * F.relu(0.7 - attention)).sum() / (1 - free).sum().clamp_min(1)
    means = config.attention_mean * copied + config.attention_keep * painted
    return means + config.attention_smooth * variation


def discriminator_loss(
    discriminator: Discriminator, composites: Tensor, real: Tensor, painted: Tensor
) -> Tensor:
    """composites (B, 9, s, s), real and painted (B, 3, s, s) -> scalar (LSGAN, Mao et al. 2017)."""
    both = torch.cat([real, painted.detach()])
    scores = discriminator(torch.cat([composites, composites]), both)
    on_real, on_painted = scores.chunk(2)
    return 0.5 * ((on_real - 1).square().mean() + on_painted.square().mean())


def generator_loss(discriminator: Discriminator, composites: Tensor, painted: Tensor) -> Tensor:
    """Scalar: how far the painted patches are from passing as real."""
    return (discriminator(composites, painted) - 1).square().mean()


def judged_windows(masks: Tensor, side: int, generator: torch.Generator) -> list[tuple[int, int]]:
    """masks (B, 3, S, S) -> per frame the top left (y, x) of a window of ``side`` pixels over mouth, eyes or anywhere.

    A discriminator that sees only these costs a quarter at half the side, and spends its capacity where it
    counts.
    """
    batch, _, size, _ = masks.shape
    if side >= size:
        return [(0, 0)] * batch
    region = torch.rand(batch, generator=generator)  # below .5 the mouth, below .7 the eyes, else anywhere
    anywhere = torch.rand(batch, 2, generator=generator) * size
    shift = torch.rand(batch, 2, generator=generator) * 0.3 - 0.15
    axis = torch.arange(size, dtype=masks.dtype, device=masks.device)
    windows: list[tuple[int, int]] = []
    for mask, draw, point, move in zip(
        masks, region.tolist(), anywhere.tolist(), shift.tolist(), strict=True
    ):
        chosen = mask[MOUTH if draw < 0.5 else EYES]
        mass = chosen.sum()
        centre = torch.stack([(chosen.sum(1) * axis).sum(), (chosen.sum(0) * axis).sum()])
        centre = centre / mass.clamp_min(1e-3)
        y, x = centre.tolist() if draw < 0.7 and float(mass) > 0.5 else point
        top, left = y + (move[0] - 0.5) * side, x + (move[1] - 0.5) * side
        windows.append((int(min(max(top, 0), size - side)), int(min(max(left, 0), size - side))))
    return windows


def cut(images: Tensor, windows: list[tuple[int, int]], side: int) -> Tensor:
    """(B, C, S, S) -> (B, C, side, side): each frame's window."""
    if side >= images.shape[-1]:
        return images
    return torch.stack(
        [image[:, y : y + side, x : x + side] for image, (y, x) in zip(images, windows, strict=True)]
    )
