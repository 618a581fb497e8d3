"""Memory network: composite -> what this person's mouth and eyes looked like (arXiv 2002.10137, section 3.4).

Keys are spatial features of the composite, values are identity and appearance of the real frame
(``rendering.identity``). Keys learn by the unsupervised triplet loss; slots are written by the update rule of
the memory literature (Kaiser et al. 2017; Yoo et al. 2019). Departures from the paper: a small key encoder
trained here instead of a frozen ImageNet network, 2,048 slots instead of 30,000 (a clip has 300 frames), the
similarity threshold measured on the data instead of .98, no noise on the ages (slots outnumber frames; runs
stay reproducible). All of the memory lies in buffers, so that a checkpoint holds it whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rendering.batches import COMPOSITE_CHANNELS, EYES, MASK_CHANNELS, MOUTH, PERSON_FRAMES
from rendering.identity import VALUE_SIZE

KEY_VIEW = 64
"""Side in pixels of what the key encoder sees."""
_NEVER = 1 << 40  # the age of an empty slot: older than any written one


@dataclass(frozen=True)
class MemoryConfig:
    """Size and behaviour of the memory."""

    slots: int = 2048
    """Slots; the trainer takes no more than there are examples."""
    key_size: int = 128
    """Length of a key."""
    value_size: int = VALUE_SIZE
    """Length Dv of a value."""
    top: int = 32
    """Nearest keys that the triplet loss and the recall look at."""
    margin: float = 0.3
    """Margin of the triplet loss, in cosine."""
    percentile: float = 95.0
    """Two values are alike when their cosine exceeds this percentile of all pairs' cosines."""
    temperature: float = 0.1
    """Of the softmax over the nearest keys' cosines in a recall; 0 recalls the nearest alone, as the paper
    does."""
    half_window: int = 2
    """Frames on each side over which a recalled sequence is interpolated."""


class KeyEncoder(nn.Module):
    """(B, 15, S, S) network input -> (B, K) unit keys, from a 64-pixel view of the crop and another of the
    mouth."""

    view_mean: Tensor
    view_scale: Tensor
    key_mean: Tensor

    def __init__(self, key_size: int) -> None:
        super().__init__()
        widths = [8, 16, 32, 64, 64]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)  # -> (B, 64, 4, 4)
        self.key = nn.Linear(64 * (KEY_VIEW // 16) ** 2, key_size)
        # Frames of one person look alike. Unless their mean is taken away before and after the network, all keys
        # point the same way and the triplet loss stays at its margin (measured on a real clip: 0.30 against 0.04).
        self.register_buffer("view_mean", torch.zeros(widths[0], KEY_VIEW, KEY_VIEW))
        self.register_buffer("view_scale", torch.ones(widths[0], 1, 1))
        self.register_buffer("key_mean", torch.zeros(key_size))

    @torch.no_grad()
    def standardise(self, frames: Iterable[Tensor]) -> None:
        """Measure what frames of this person have in common, on some of them, in parts (n, 15, S, S)."""
        views = torch.cat([self._views(part) for part in frames])
        self.view_mean.copy_(views.mean(0))
        self.view_scale.copy_(
            1 / (views - self.view_mean).square().mean((0, 2, 3)).sqrt().clamp_min(1e-2)[:, None, None]
        )
        self.key_mean.copy_(self._key(views).mean(0))

    def forward(self, frames: Tensor, learning: bool = False) -> Tensor:
        key = self._key(self._views(frames))
        if learning:
            self.key_mean.lerp_(key.detach().mean(0), 0.02)
        return F.normalize(key - self.key_mean, dim=1)

    def _key(self, views: Tensor) -> Tensor:
        standard = (views - self.view_mean) * self.view_scale
        key: Tensor = self.key(self.features(standard).flatten(1))  # (B, K)
        return key

    @staticmethod
    def _views(frames: Tensor) -> Tensor:
        composite, masks = frames[:, COMPOSITE_CHANNELS], frames[:, MASK_CHANNELS]
        seen = torch.cat([composite, masks[:, [MOUTH, EYES]]], dim=1)  # (B, 5, S, S)
        whole = F.avg_pool2d(seen, frames.shape[-1] // KEY_VIEW)  # (B, 5, 64, 64)
        return torch.cat([whole, _mouth_view(composite, masks[:, MOUTH])], dim=1)  # (B, 8, 64, 64)


def _mouth_view(image: Tensor, mouth: Tensor) -> Tensor:
    """image (B, 3, S, S), mouth (B, S, S) -> (B, 3, 64, 64): a window of a third of the crop, centred on the
    mouth."""
    side = image.shape[-1]
    axis = (torch.arange(side, device=image.device, dtype=image.dtype) + 0.5) * (2 / side) - 1
    mass = mouth.sum((1, 2)).clamp_min(1e-3)
    x = (mouth.sum(1) * axis).sum(1) / mass  # (B,); an absent mouth gives the crop's centre
    y = (mouth.sum(2) * axis).sum(1) / mass
    window = (torch.arange(KEY_VIEW, device=image.device, dtype=image.dtype) + 0.5) * (2 / KEY_VIEW) - 1
    grid_x = (x[:, None, None] + window[None, None, :] / 3).expand(-1, KEY_VIEW, -1)
    grid_y = (y[:, None, None] + window[None, :, None] / 3).expand(-1, -1, KEY_VIEW)
    return F.grid_sample(
        image, torch.stack([grid_x, grid_y], dim=3), padding_mode="border", align_corners=False
    )


class Memory(nn.Module):
    """Key encoder and slots. Buffers: keys (M, K), values (M, Dv), ages (M,), frames (M,), threshold ()."""

    keys: Tensor
    values: Tensor
    ages: Tensor
    frames: Tensor
    threshold: Tensor

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = KeyEncoder(config.key_size)
        self.register_buffer("keys", torch.zeros(config.slots, config.key_size))
        self.register_buffer("values", torch.zeros(config.slots, config.value_size))
        # Empty slots are the oldest, the first one most of all, so that they fill in order.
        self.register_buffer("ages", _NEVER + torch.arange(config.slots, 0, -1))
        self.register_buffer("frames", torch.full((config.slots,), _NEVER))
        self.register_buffer("threshold", torch.tensor(0.0))

    @property
    def filled(self) -> Tensor:
        """(M,) bool: slots that have been written."""
        return self.ages < _NEVER

    def clear(self) -> None:
        """Empty all slots; encoder and threshold stay."""
        empty = Memory(self.config)
        for name in ("keys", "values", "ages", "frames"):
            getattr(self, name).copy_(getattr(empty, name))

    def set_threshold(self, values: Tensor) -> None:
        """Measure on values (N, Dv) from which cosine on two of them count as alike."""
        chosen = F.normalize(values[torch.linspace(0, len(values) - 1, min(len(values), 1000)).long()], dim=1)
        first, second = torch.triu_indices(len(chosen), len(chosen), offset=1).unbind(0)
        if len(first):
            cosines = (chosen @ chosen.T)[first, second].cpu().numpy()
            self.threshold.fill_(float(np.percentile(cosines, self.config.percentile)))

    def query(self, frames: Tensor, learning: bool = False) -> Tensor:
        """(B, 15, S, S) -> (B, K) unit keys. ``learning`` also lets their mean follow the encoder."""
        keys: Tensor = self.encoder(frames, learning)
        return keys

    def triplet_loss(self, query: Tensor, value: Tensor) -> Tensor:
        """query (B, K) unit, value (B, Dv) of the same frames -> scalar, mean over the frames that have both
        kinds.

        Among the nearest keys, the positive is the best whose value is like the frame's, the negative the
        best whose value is not: ``max(query.negative - query.positive + margin, 0)``.
        """
        cosine = (query @ self.keys.T).masked_fill(~self.filled, -2.0)  # (B, M)
        nearest, slots = cosine.topk(min(self.config.top, cosine.shape[1]), dim=1)  # (B, top)
        alike = self._alike(value[:, None], self.values[slots])  # (B, top)
        written = nearest > -1.5
        positive = nearest.masked_fill(~(alike & written), -2.0).amax(1)
        negative = nearest.masked_fill(alike | ~written, -2.0).amax(1)
        both = (positive > -1.5) & (negative > -1.5)
        loss = F.relu(negative - positive + self.config.margin) * both
        return loss.sum() / both.sum().clamp_min(1)

    @torch.no_grad()
    def update(self, query: Tensor, value: Tensor, frame: Tensor) -> None:
        """Write frames one after the other: query (B, K), value (B, Dv), frame (B,) number in the clip.

        If the nearest slot's value is like the frame's, its key moves: ``key <- normalise(key + query)``, age
        0. Otherwise the oldest slot is overwritten. All other slots grow older by one.
        """
        for one, content, number in zip(query, value, frame, strict=True):
            cosine = (self.keys @ one).masked_fill(~self.filled, -2.0)
            best = cosine.argmax()
            hit = self._alike(content, self.values[best]) & self.filled[best]
            slot = torch.where(hit, best, self.ages.argmax())  # an index tensor: no round trip to the host
            self.keys[slot] = torch.where(hit, F.normalize(self.keys[slot] + one, dim=0), one)
            self.values[slot] = torch.where(hit, self.values[slot], content)
            self.frames[slot] = torch.where(hit, self.frames[slot], number)
            self.ages += self.filled
            self.ages[slot] = 0

    def recall(self, query: Tensor, *, apart: tuple[Tensor, int] | None = None) -> Tensor:
        """query (B, K) -> (B, Dv): the nearest key's value, or the softmax over the nearest keys' values.

        With ``apart=(frame (B,), distance)``, slots written within ``distance`` frames of the query's own
        frame are passed over, and those of other people: so training recalls as testing does, from a person's other
        moments. Empty memory recalls zeros.
        """
        cosine = (query @ self.keys.T).masked_fill(~self.filled, -2.0)  # (B, M)
        if apart is not None:
            away = (self.frames - apart[0][:, None]).abs()
            cosine = cosine.masked_fill((away <= apart[1]) | (away > PERSON_FRAMES // 2), -2.0)
        nearest, slots = cosine.topk(
            min(self.config.top, cosine.shape[1]) if self.config.temperature else 1, dim=1
        )
        weight = torch.softmax(nearest / max(self.config.temperature, 1e-3), dim=1)
        weight = weight * (nearest > -1.5)
        weight = weight / weight.sum(1, keepdim=True).clamp_min(1e-8)
        return (weight[:, :, None] * self.values[slots]).sum(1)

    def _alike(self, one: Tensor, other: Tensor) -> Tensor:
        return F.cosine_similarity(one, other, dim=-1) > self.threshold


def interpolate_recalled(recalled: NDArray[np.float32], half_window: int) -> NDArray[np.float32]:
    """(T, Dv) -> (T, Dv): triangular weights over ``half_window`` frames on each side, fewer at the ends."""
    weights = half_window + 1 - np.abs(np.arange(-half_window, half_window + 1))
    padded = np.pad(np.asarray(recalled, np.float32), ((half_window, half_window), (0, 0)))
    present = np.pad(np.ones(len(recalled), np.float32), half_window)
    total = sum(w * padded[k : k + len(recalled)] for k, w in enumerate(weights))
    count = sum(w * present[k : k + len(recalled)] for k, w in enumerate(weights))
    return np.asarray(total / np.asarray(count)[:, None], np.float32)


def interpolate_stream(
    chunks: Iterable[NDArray[np.float32]], half_window: int
) -> Iterator[NDArray[np.float32]]:
    """:func:`interpolate_recalled` of a sequence that arrives in chunks (T_i, Dv); as many rows come out, a
    little later."""
    buffer, before = None, 0  # rows held; how many of the first ones have been given out
    for chunk in chunks:
        buffer = chunk if buffer is None else np.concatenate([buffer, chunk])
        ready = len(buffer) - half_window
        if ready > before:
            yield interpolate_recalled(buffer, half_window)[before:ready]
            drop = max(0, ready - half_window)
            buffer, before = buffer[drop:], ready - drop
    if buffer is not None and len(buffer) > before:
        yield interpolate_recalled(buffer, half_window)[before:]
