"""Closed-form adaptation of a general network's last layer to one person, differentiable, so it can be trained for.

A person's mouth is the general one with its last layer changed: by a ridge on what the general layer leaves over, in
the space of the hidden states. The general network is trained *through* that step (Bertinetto et al. 2019,
"Meta-learning with differentiable closed-form solvers", arXiv 1805.08136): it learns hidden states in which a few
hundred frames of one person tell how that person's mouth differs, and how far to trust them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from motion.targets import POSE


class Adaptation(nn.Module):
    """How far a person's frames are trusted: the ridge's strengths, learnt with the network."""

    def __init__(self, mouth: Tensor) -> None:
        """``mouth``: (E,) True for the expressions of the mouth; the other expressions and the pose trust less."""
        super().__init__()
        # In frames' worth of unit hidden states: how much evidence moves a weight half of the way.
        self.log_strength = nn.Parameter(torch.tensor([1.5, 4.0]))
        self.register_buffer("mouth", torch.cat([mouth, torch.zeros(POSE, dtype=torch.bool)]))
        self.mouth: Tensor

    def forward(self, hidden: Tensor, left: Tensor, mask: Tensor, factor: float = 1.0) -> Tensor:
        """The change of the last layer that explains what it leaves over.

        Args:
            hidden: (B, T, H) hidden states.
            left: (B, T, O) standardised targets minus the general layer's output.
            mask: (B, T) 1 where a frame counts.
            factor: on the learnt strengths; above 1 trusts the frames less.

        Returns:
            (B, H + 1, O) to be added to the layer's transposed weights and, in the last row, to its bias.
        """
        rows = with_bias(hidden) * mask[..., None]
        gram = rows.transpose(1, 2) @ rows  # (B, H + 1, H + 1)
        moment = rows.transpose(1, 2) @ (left * mask[..., None])  # (B, H + 1, O)
        # The offset is nearly free: a person's mean over a few seconds is known, whatever the general model says.
        unit = torch.ones(rows.shape[-1], dtype=rows.dtype, device=rows.device)
        unit[-1] = 0.05
        change = torch.zeros_like(moment)
        for group, strength in zip((self.mouth, ~self.mouth), self.log_strength.exp(), strict=True):
            solved = torch.linalg.solve(gram + torch.diag(factor * strength * unit), moment[..., group])
            change = change.index_copy(2, torch.nonzero(group)[:, 0], solved)
        return change


def with_bias(hidden: Tensor) -> Tensor:
    """(..., H) -> (..., H + 1): a column of ones behind."""
    return torch.cat([hidden, torch.ones_like(hidden[..., :1])], dim=-1)
