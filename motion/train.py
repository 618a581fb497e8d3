"""Early-stopped training of one fold's network (arXiv 2002.10137 section 3.2: squared error plus velocity terms)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from motion.network import SpeechMotionNet, sequence_loss


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast one fold learns."""

    steps: int = 200
    """Optimiser steps at most, 1..2000."""
    learning_rate: float = 1e-3
    """AdamW's, from scratch."""
    steps_from_general: int = 120
    """Steps at most when a general model is the start."""
    learning_rate_from_general: float = 5e-4
    """AdamW's, from a general model."""
    weight_decay: float = 1e-2
    """AdamW's."""
    windows: int = 8
    """Sequences a step."""
    length: int = 96
    """Frames a sequence, 16..750."""
    velocity: float = 0.5
    """Weight of the frame-to-frame error."""
    look_every: int = 8
    """Steps between two looks at the held-out fold."""
    patience: int = 5
    """Looks without progress before it stops."""


@dataclass(frozen=True)
class TrainingSet:
    """Standardised sequences of one clip."""

    features: Tensor
    """(A, T, D): A renderings of the same sound (clean first; other chunk offsets, noise)."""
    targets: Tensor
    """(T, O)."""
    metric: Tensor
    """(O, R), see :func:`motion.network.sequence_loss`."""


def train_fold(
    net: SpeechMotionNet,
    data: TrainingSet,
    train: Tensor,
    held_out: Tensor,
    config: TrainConfig,
    *,
    from_general: bool,
    generator: torch.Generator,
) -> tuple[SpeechMotionNet, int, float]:
    """Train ``net`` on some frames and keep its best state on the others.

    Args:
        net: fresh, or with the general model's weights.
        data: the clip.
        train: (T,) 1 where a frame may be learned from.
        held_out: (T,) 1 where a frame decides when to stop.
        from_general: use the gentler schedule.
        generator: draws windows; dropout draws from torch's own.

    Returns:
        the network in its best state, the step of that state, its held-out loss (1 is about the mean's).
    """
    rate = config.learning_rate_from_general if from_general else config.learning_rate
    steps = config.steps_from_general if from_general else config.steps
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=config.weight_decay)
    renderings, frames, _ = data.features.shape
    length = min(config.length, frames)
    window = torch.arange(length)
    # A window without any frame that counts would be a step that learns nothing.
    counted = torch.cat([torch.zeros(1), (train + held_out).cumsum(0)])
    possible = (counted[length:] > counted[:-length]).nonzero()[:, 0]
    best, best_step, best_state, waited = float("inf"), 0, copy.deepcopy(net.state_dict()), 0
    if not from_general:
        # Where nothing beats the mean, the fold says the mean.
        best_state["head.weight"].zero_()
        best_state["head.bias"].zero_()
        best = mean_loss(data, held_out)
    for step in range(steps + 1):
        if step % config.look_every == 0:
            loss = held_out_loss(net, data, held_out)
            if loss < best - 1e-4:
                best, best_step, best_state, waited = loss, step, copy.deepcopy(net.state_dict()), 0
            else:
                waited += 1
                if waited >= config.patience:
                    break
        net.train()
        starts = possible[torch.randint(len(possible), (config.windows, 1), generator=generator)]
        index = starts + window  # (B, L)
        which = torch.randint(renderings, (config.windows, 1), generator=generator)
        predicted = net(data.features[which, index])  # (B, L, O)
        loss_now = sequence_loss(predicted, data.targets[index], train[index], data.metric, config.velocity)
        optimizer.zero_grad(set_to_none=True)
        loss_now.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    net.load_state_dict(best_state)
    return net.eval(), best_step, best


@torch.no_grad()
def held_out_loss(net: SpeechMotionNet, data: TrainingSet, mask: Tensor) -> float:
    """Squared error on the clean sound where ``mask`` is 1, its mean apart.

    Within a few seconds a posture or a smile drifts, which speech does not tell; that offset must not stop the
    learning of what it does tell.
    """
    net.eval()
    return _centred(net(data.features[:1])[0] - data.targets, data, mask)


def mean_loss(data: TrainingSet, mask: Tensor) -> float:
    """The same of a network that says the mean at every frame."""
    return _centred(data.targets, data, mask)


def _centred(error: Tensor, data: TrainingSet, mask: Tensor) -> float:
    projected = error[mask > 0] @ data.metric  # (M, R)
    return float((projected - projected.mean(0)).square().sum(-1).mean()) if len(projected) else 0.0
