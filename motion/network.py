"""The LSTM that maps speech to a face: arXiv 2002.10137, section 3.2, with a bidirectional layer on encoder features.

The paper's network takes MFCC windows through a convolution stack to a three-layer LSTM. Measured on held-out frames of
real clips, a LayerNorm projection of Whisper taps into one bidirectional LSTM (Graves & Schmidhuber 2005) of 128 units
is better with 300 frames of data, and larger ones are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of :class:`SpeechMotionNet`."""

    inputs: int
    """D: features per frame."""
    outputs: int
    """O: targets per frame."""
    projection: int = 96
    """Channels after the projection."""
    hidden: int = 128
    """LSTM units in each direction."""
    dropout: float = 0.3
    """Probability, on the projection and on the hidden states, in training only."""


class SpeechMotionNet(nn.Module):
    """Normalised speech features (B, T, D) -> standardised targets (B, T, O)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.projection = nn.Linear(config.inputs, config.projection)
        self.norm = nn.LayerNorm(config.projection)
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(config.projection, config.hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.hidden, config.outputs)

    def hidden_states(self, features: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, 2 * hidden), each in [-1, 1]."""
        projected = self.dropout(self.norm(self.projection(features)))  # (B, T, P)
        states: Tensor = self.lstm(projected)[0]
        return states

    def forward(self, features: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, O)."""
        targets: Tensor = self.head(self.dropout(self.hidden_states(features)))
        return targets


def sequence_loss(predicted: Tensor, target: Tensor, mask: Tensor, metric: Tensor, velocity: float) -> Tensor:
    """Squared error and squared error of the frame-to-frame change, both measured in ``metric``.

    Args:
        predicted: (B, T, O) standardised.
        target: (B, T, O).
        mask: (B, T) 1 where the frame counts; a change counts where both of its frames do.
        metric: (O, R) columns that the error is projected on: what a coefficient moves weighs, lips most.
        velocity: weight of the second term.
    """
    error = (predicted - target) @ metric  # (B, T, R)
    both = mask[:, 1:] * mask[:, :-1]
    change = error[:, 1:] - error[:, :-1]
    level = (error.square().sum(-1) * mask).sum() / mask.sum().clamp_min(1)
    return level + velocity * (change.square().sum(-1) * both).sum() / both.sum().clamp_min(1)


@contextmanager
def single_thread() -> Iterator[None]:
    """One torch thread inside.

    An LSTM step is too small to share, and threads that wait for each other cost tenfold on a busy machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
