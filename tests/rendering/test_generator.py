from __future__ import annotations

import pytest
import torch

from rendering.batches import COMPOSITE_CHANNELS, FACE, MASK_CHANNELS, SOURCE_CHANNELS
from rendering.discriminator import Discriminator, DiscriminatorConfig
from rendering.generator import Generator, GeneratorConfig
from tests.rendering.moving_blobs import MovingBlobs

SMALL = GeneratorConfig(width=8, value_size=368, rank=8)


def test_network_input_has_its_channels_where_the_network_looks() -> None:
    batch = MovingBlobs(4).held_out
    frames = batch.network_input()
    assert frames.shape == (4, 15, 64, 64)
    assert torch.equal(frames[:, COMPOSITE_CHANNELS], batch.composite)
    assert torch.equal(frames[:, SOURCE_CHANNELS], batch.source)
    assert torch.equal(frames[:, MASK_CHANNELS], batch.masks)
    assert torch.equal(batch.to(torch.device("cpu")).target, batch.target)


def test_untrained_network_is_the_composite() -> None:
    torch.manual_seed(0)
    batch = MovingBlobs(4).held_out
    output = Generator(SMALL)(batch.network_input(), batch.value)
    face = batch.masks[:, FACE : FACE + 1] > 0.9
    assert output.attention[face].mean().item() == pytest.approx(SMALL.attention, abs=0.02)
    assert (output.image - batch.composite).abs().max() < 0.03
    assert torch.allclose(
        output.image, output.attention * batch.composite + (1 - output.attention) * output.colour, atol=1e-6
    )


def test_real_pixels_stay_far_from_the_face() -> None:
    """Even a network that wants to paint everywhere may not paint hair, clothes and room."""
    generator = Generator(SMALL)
    generator.heads.bias.data[12:16] = -20  # attention: keep nothing
    frames = torch.rand(1, 15, 256, 256)
    frames[:, 12:] = 0
    frames[:, 12, 100:160, 100:160] = 1
    output = generator(frames, torch.randn(1, 368))
    assert output.attention[..., 110:150, 110:150].max() < 1e-3
    assert torch.equal(output.image[..., :60, :], frames[:, COMPOSITE_CHANNELS, :60])


@pytest.mark.parametrize("size", [64, 128, 192])
def test_fully_convolutional(size: int) -> None:
    output = Generator(SMALL)(torch.rand(1, 15, size, size), torch.randn(1, 368))
    assert output.image.shape == (1, 3, size, size)
    assert output.attention.shape == (1, 1, size, size)
    assert output.image.abs().max() <= 1


def test_the_value_modulates_the_image() -> None:
    torch.manual_seed(0)
    generator = Generator(SMALL)
    values = torch.randn(20, 368) * 0.05
    generator.standardise(values)
    generator.heads.weight.data.mul_(50)
    frames = torch.rand(1, 15, 64, 64)
    one, other = (generator(frames, values[k : k + 1]).image for k in (0, 1))
    assert (one - other).abs().max() > 1e-3


def test_standardise_survives_a_component_that_never_changes() -> None:
    generator = Generator(SMALL)
    values = torch.randn(20, 368)
    values[:, 5] = 0.25
    generator.standardise(values)
    standard = (values - generator.value_mean) * generator.value_scale
    assert standard[:, 5].abs().max() < 1e-3
    assert standard[:, 0].std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_sizes_of_the_presets() -> None:
    parameters = [sum(p.numel() for p in Generator(GeneratorConfig(width=w)).parameters()) for w in (32, 64)]
    assert parameters[0] < 10e6 < parameters[1] < 30e6


def test_discriminator_judges_patches_of_70_pixels() -> None:
    discriminator = Discriminator(DiscriminatorConfig(width=4)).eval()
    image = torch.zeros(1, 3, 256, 256, requires_grad=True)
    # Normalisation couples all patches; without it a score's gradient is its receptive field.
    discriminator.layers = torch.nn.Sequential(
        *(layer for layer in discriminator.layers if not isinstance(layer, torch.nn.InstanceNorm2d))
    )
    scores = discriminator(torch.zeros(1, 9, 256, 256), image)
    assert scores.shape == (1, 1, 30, 30)
    (gradient,) = torch.autograd.grad(scores[0, 0, 15, 15], image)
    rows = gradient.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70
