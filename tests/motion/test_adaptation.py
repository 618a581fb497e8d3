"""The closed-form adaptation follows a person's frames, as far as it is told to, and lets gradients through."""

from __future__ import annotations

import pytest
import torch

from motion.adaptation import Adaptation, with_bias
from motion.targets import POSE

HIDDEN, MOUTH, OTHER = 12, 3, 2


@pytest.fixture
def adaptation() -> Adaptation:
    return Adaptation(torch.tensor([True] * MOUTH + [False] * OTHER))


def someone(frames: int = 400) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states, a person's own last layer, and what it says."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, frames, HIDDEN, generator=generator).tanh()
    own = torch.randn(2, HIDDEN + 1, MOUTH + OTHER + POSE, generator=generator)
    return hidden, own, with_bias(hidden) @ own


def test_a_persons_own_layer_is_found(adaptation: Adaptation) -> None:
    hidden, own, left = someone()
    known = torch.zeros(2, 400)
    known[:, :250] = 1
    left = left + 10 * (1 - known[..., None])  # what is not known must not matter
    change = adaptation(hidden, left, known)
    assert change.shape == own.shape
    error = (with_bias(hidden) @ (change - own))[:, 250:]
    # The mouth follows its frames closely; the head, which speech hardly tells, less so.
    mouth, rest = error[..., :MOUTH].std(), error[..., MOUTH:].std()
    assert mouth < 0.1
    assert mouth < rest < 1


def test_no_frames_change_nothing_and_more_trust_changes_more(adaptation: Adaptation) -> None:
    hidden, _, left = someone()
    assert not adaptation(hidden, left, torch.zeros(2, 400)).any()
    few = torch.zeros(2, 400)
    few[:, :20] = 1
    sizes = [float(adaptation(hidden, left, few, factor).square().sum()) for factor in (1, 10, 100)]
    assert sizes[0] > sizes[1] > sizes[2] > 0


@pytest.mark.slow
def test_gradients_reach_the_hidden_states_and_the_strengths(adaptation: Adaptation) -> None:
    hidden, _, left = someone(60)
    double = adaptation.double()
    hidden = hidden.double().requires_grad_()
    mask = torch.ones(2, 60, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda h: double(h, left.double(), mask).square().mean(), (hidden,), atol=1e-6
    )
    double(hidden, left.double(), mask).square().mean().backward()
    assert double.log_strength.grad is not None
    assert (double.log_strength.grad != 0).all()
