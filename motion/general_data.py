"""A corpus as the general training sees it: all frames end to end, cut into tasks of one person each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motion.corpus import Corpus, SpokenClip
from motion.features import speech_centre
from problems import InvalidParameter

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Task:
    """Sequences of B people, L frames each; what is past a clip's end is not valid."""

    features: Tensor
    """(B, L, D) standardised."""
    targets: Tensor
    """(B, L, O) standardised, the mean of the known part taken out."""
    valid: Tensor
    """(B, L) 1 where a frame counts."""
    known: Tensor
    """(B, L) 1 where a person is shown, 0 where they are asked about; half a second between the two is neither."""
    asked: Tensor
    """(B, L) the frames that are asked about."""
    events: Tensor
    """(B, L, 2) contact of the lips and speaking, 0..1; NaN where nobody knows."""


def split_speakers(
    corpus: Corpus, held_out: float, shortest: int
) -> tuple[list[SpokenClip], list[SpokenClip]]:
    """Clips to learn from and clips of other speakers, by a hash of the speakers' names.

    Raises:
        InvalidParameter: too little to learn from.
    """

    def is_held_out(speaker: str) -> bool:
        digest = hashlib.sha256(speaker.encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32 < held_out

    usable = [clip for clip in corpus.clips if len(clip) >= shortest and clip.valid.any()]
    learnt = [clip for clip in usable if not is_held_out(clip.speaker)]
    frames = sum(map(len, learnt))
    if frames < 500:
        raise InvalidParameter(
            f"the corpus has {frames} frames to learn from",
            remedy="gather at least 500; hours of speech are needed for a useful model",
        )
    return learnt, [clip for clip in usable if is_held_out(clip.speaker)]


@dataclass(frozen=True)
class Frames:
    """All clips' frames end to end, in half precision, on one device."""

    features: Tensor
    """(N, D), the voice taken out."""
    targets: Tensor
    """(N, O) expression and pose, the clip's mean taken out."""
    valid: Tensor
    """(N,) float."""
    events: Tensor
    """(N, 2) contact and speaking."""
    starts: Tensor
    """First frames of the clips."""
    lengths: Tensor
    """Frames of the clips."""

    @classmethod
    def of(cls, clips: list[SpokenClip]) -> Frames:
        """Join some clips."""
        targets = []
        for clip in clips:
            values = np.concatenate([clip.expression, clip.pose], axis=1).astype(np.float32)
            targets.append((values - values[clip.valid].mean(0)).astype(np.float16))
        lengths = np.array([len(clip) for clip in clips])
        return cls(
            torch.from_numpy(np.concatenate([centred(c.features) for c in clips])),
            torch.from_numpy(np.concatenate(targets)),
            torch.from_numpy(np.concatenate([c.valid.astype(np.float32) for c in clips])),
            torch.from_numpy(np.concatenate([_events(clip) for clip in clips])),
            torch.from_numpy(np.cumsum(lengths) - lengths),
            torch.from_numpy(lengths),
        )

    def to(self, device: torch.device) -> Frames:
        """The same with its frames on a device; what windows are drawn from stays."""
        return Frames(
            self.features.to(device),
            self.targets.to(device),
            self.valid.to(device),
            self.events.to(device),
            self.starts,
            self.lengths,
        )

    def draw(self, count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(count, L) frame numbers of random windows, each inside one clip, and 1 where they are.

        Clips are drawn by their length; a clip shorter than L is taken whole, and its last frame fills up the rest.
        """
        length = min(length, int(self.lengths.max()))
        which = torch.multinomial(self.lengths.double(), count, replacement=True, generator=generator)
        own = self.lengths[which]
        room = (own - length + 1).clamp(min=1).double()
        offset = (torch.rand(count, generator=generator, dtype=torch.float64) * room).long()
        at = offset[:, None] + torch.arange(length)
        index = self.starts[which][:, None] + torch.minimum(at, own[:, None] - 1)
        return index, (at < own[:, None]).float()

    def feature_statistics(self) -> tuple[Array, Array]:
        """(D,) mean and scale of the features."""
        sample = self.features[:: max(1, len(self.features) // 200_000)].float()
        scale = sample.std(0)
        return sample.mean(0).numpy(), (scale + 0.1 * scale.median()).numpy()

    def target_scale(self) -> Array:
        """(O,) spread of the targets, floored where next to nothing moves."""
        rows = self.some_targets(200_000)
        floor = np.full(rows.shape[1], 0.01)
        floor[-6:-3], floor[-3:] = 1e-3, 0.1
        return (rows.std(0) + floor).astype(np.float32)

    def some_targets(self, most: int) -> Array:
        """(at most about ``most``, O) valid rows."""
        index = torch.nonzero(self.valid)[:, 0]
        return self.targets[index[:: max(1, len(index) // most)]].float().numpy()

    def fingerprint(self) -> str:
        """A hash of the content."""
        content = hashlib.sha256(self.targets.numpy().tobytes())
        content.update(self.features[::97].numpy().tobytes())
        return content.hexdigest()


def centred(features: NDArray[np.floating]) -> NDArray[np.float16]:
    """(T, D) raw features without the voice."""
    values = np.asarray(features, np.float32)
    return (values - speech_centre(values)).astype(np.float16)


def known_and_asked(
    lengths: Tensor, length: int, share: float, guard: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(B, L) masks that split each sequence: ``share`` of it in one piece is known, the rest is asked about.

    Half of the sequences are asked about their end, half about their beginning: a fold of a person's clip is either.
    """
    cut = (share * lengths).long()[:, None]
    at = torch.arange(length)[None]
    first = torch.rand(len(lengths), 1, generator=generator) < 0.5
    known = torch.where(first, at < cut, at >= lengths[:, None] - cut)
    asked = torch.where(first, at >= cut + guard, at < lengths[:, None] - cut - guard)
    return known.float(), asked.float()


def _events(clip: SpokenClip) -> NDArray[Any]:
    unknown = np.full(len(clip), np.nan, np.float16)
    speaking = unknown if clip.speaking is None else np.asarray(clip.speaking, np.float16)
    return np.column_stack([np.asarray(clip.closure, np.float16), speaking])
