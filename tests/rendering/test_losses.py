from __future__ import annotations

import pytest
import torch

from rendering.discriminator import Discriminator, DiscriminatorConfig
from rendering.losses import (
    LossConfig,
    ReconstructionLoss,
    attention_loss,
    cut,
    discriminator_loss,
    generator_loss,
    judged_windows,
)


def scene(mouth_error: float = 0.1, error: float = 0.1) -> tuple[torch.Tensor, ...]:
    """Image, target, masks, valid: the mouth is 2 % of the picture."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    masks = torch.zeros(2, 3, 64, 64)
    masks[:, 1, 40:46, 25:39] = 1
    masks[:, 2, 20:24, 15:49] = 1
    noise = torch.randn(2, 3, 64, 64, generator=generator) * error
    noise = torch.where(masks[:, 1:2] > 0, noise * (mouth_error / error), noise)
    return target + noise, target, masks, torch.ones(2, 1, 64, 64)


@pytest.mark.parametrize("mouth_error", [0.01, 0.1, 1.0, 5.0])
def test_mouth_carries_its_share_whatever_its_error(mouth_error: float) -> None:
    loss = ReconstructionLoss(LossConfig())
    for _ in range(3):
        result = loss(*scene(mouth_error))
    assert 0.3 <= result.mouth_share.item() <= 0.5


def test_share_follows_errors_that_change() -> None:
    loss = ReconstructionLoss(LossConfig())
    loss(*scene(0.5))
    assert loss(*scene(0.05)).mouth_share.item() < 0.3  # the weights are still those of large errors
    for _ in range(40):
        result = loss(*scene(0.05))
    assert 0.3 <= result.mouth_share.item() <= 0.5


def test_evaluation_leaves_the_weights_alone() -> None:
    loss = ReconstructionLoss(LossConfig())
    loss(*scene(0.1))
    before = loss.errors.clone()
    loss.eval()(*scene(0.9))
    assert torch.equal(loss.errors, before)


def test_a_perfect_image_costs_nothing_and_masked_pixels_do_not_count() -> None:
    _, target, masks, valid = scene()
    assert ReconstructionLoss(LossConfig())(target, target, masks, valid).loss.item() == 0
    wrong = target.clone()
    wrong[..., :10] += 1
    valid[..., :10] = 0
    result = ReconstructionLoss(LossConfig())(wrong, target, masks, valid)
    assert result.loss.item() == 0
    assert result.l1.item() == 0


def test_l1_is_the_mean_absolute_error() -> None:
    _, target, masks, valid = scene()
    valid[:, :, 32:] = 0
    assert ReconstructionLoss(LossConfig())(target + 0.25, target, masks, valid).l1.item() == pytest.approx(
        0.25
    )


def test_blur_costs_more_with_the_gradient_term() -> None:
    """Two images of one L1: a constant offset and noise; edges tell them apart, inside the face."""
    _, target, masks, valid = scene()
    masks[:, 0] = 1
    sign = torch.where(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) < 0.5, -1.0, 1.0)
    loss = ReconstructionLoss(LossConfig(coarse=0.0))
    assert (
        loss(target + 0.1 * sign, target, masks, valid).loss
        > 1.5 * loss(target + 0.1, target, masks, valid).loss
    )


def test_attention_loss_by_hand() -> None:
    config = LossConfig(attention_mean=1.0, attention_keep=2.0, attention_smooth=10.0)
    masks = torch.zeros(1, 3, 4, 4)
    # No mouth: what is not kept costs; a mouth everywhere: what is kept costs.
    assert attention_loss(torch.full((1, 1, 4, 4), 0.5), masks, config).item() == pytest.approx(2 * 0.2)
    masks[:, 1] = 1
    assert attention_loss(torch.full((1, 1, 4, 4), 0.75), masks, config).item() == pytest.approx(0.75)
    stripes = torch.zeros(1, 1, 4, 4)
    stripes[..., ::2] = 1  # every horizontal neighbour differs, no vertical one
    assert attention_loss(stripes, masks, config).item() == pytest.approx(0.5 + 10)


def test_discriminator_learns_and_the_generator_feels_it() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(DiscriminatorConfig(width=4))
    optimizer = torch.optim.Adam(discriminator.parameters(), 2e-3)
    composites, real = torch.zeros(2, 9, 64, 64), torch.rand(2, 3, 64, 64)
    painted = torch.full((2, 3, 64, 64), 0.5, requires_grad=True)
    first = discriminator_loss(discriminator, composites, real, painted)
    for _ in range(30):
        optimizer.zero_grad()
        loss = discriminator_loss(discriminator, composites, real, painted)
        loss.backward()
        optimizer.step()
    assert painted.grad is None
    assert loss < 0.5 * first
    generator_loss(discriminator, composites, painted).backward()
    assert painted.grad is not None
    assert painted.grad.abs().max() > 0


def test_judged_windows_cover_mouth_eyes_and_the_rest() -> None:
    masks = torch.zeros(1, 3, 128, 128)
    masks[:, 1, 90:98, 56:72] = 1
    masks[:, 2, 40:46, 40:88] = 1
    generator = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(60):
        ((y, x),) = judged_windows(masks, 64, generator)
        assert 0 <= y <= 64
        assert 0 <= x <= 64
        mouth, eyes = (cut(masks, [(y, x)], 64)[0, k].sum() / masks[0, k].sum() for k in (1, 2))
        seen.append((float(mouth) > 0.7, float(eyes) > 0.7))
    assert sum(mouth for mouth, _ in seen) > 25
    assert sum(eyes for _, eyes in seen) > 10
    assert (False, False) in seen
    assert judged_windows(masks, 128, generator) == [(0, 0)]
    assert judged_windows(torch.zeros(1, 3, 128, 128), 64, generator)[0][0] in range(65)
