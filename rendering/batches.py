"""What the renderer's network sees and learns from, with named axes; and where batches come from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

INPUT_CHANNELS = 15
"""Three composites of three colours, the source's three colours, three masks."""
COMPOSITE_CHANNELS = slice(6, 9)
"""Where the composite of the present frame lies in the network's input."""
SOURCE_CHANNELS = slice(9, 12)
"""Where the unwarped source frame lies in the network's input."""
MASK_CHANNELS = slice(12, 15)
"""Where face, mouth and eyes lie in the network's input."""
FACE, MOUTH, EYES = 0, 1, 2
"""Order of the masks."""

PERSON_FRAMES = 1 << 24
"""Frame numbers of different people in one dataset lie so far apart."""


@dataclass(frozen=True)
class RenderBatch:
    """B frames at size S. Colours are float32 RGB in [-1, 1]; masks and weights are float32 in [0, 1]."""

    composite_window: Tensor
    """(B, 3, 3, S, S): textured render over the warped source, of frames t-2, t-1, t; then colour, y, x."""
    source: Tensor
    """(B, 3, S, S): the matched real frame's crop, unwarped."""
    masks: Tensor
    """(B, 3, S, S): face coverage of the mesh, mouth (interior and lips), eyes."""
    target: Tensor
    """(B, 3, S, S): the real frame; zeros where there is none (at test time)."""
    valid: Tensor
    """(B, 1, S, S): weight of each pixel in the losses; 0 outside of the frame."""
    value: Tensor
    """(B, Dv): the real frame's memory value (``rendering.identity.appearance_value``)."""
    frame: Tensor
    """(B,) int64: the frame's number in the clip."""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def composite(self) -> Tensor:
        """(B, 3, S, S): the composite of the present frame."""
        return self.composite_window[:, -1]

    def network_input(self) -> Tensor:
        """(B, 15, S, S): composites t-2, t-1, t, source, masks."""
        return torch.cat([self.composite_window.flatten(1, 2), self.source, self.masks], dim=1)

    def part(self, indices: Tensor) -> RenderBatch:
        """Some of its frames: indices (b,) int64."""
        chosen = indices.to(self.frame.device)
        return RenderBatch(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def to(self, device: torch.device) -> RenderBatch:
        """The same batch on ``device``; copies from pinned memory overlap with computation."""
        return RenderBatch(
            *(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self))
        )


class RenderDataset(Protocol):
    """The frames of one clip (or of several) to learn from."""

    @property
    def values(self) -> Tensor:
        """(N, Dv) float32: memory value per example."""

    @property
    def weights(self) -> Tensor:
        """(N,) float32, positive: how often an example is drawn; larger for open mouths and closed eyes."""

    @property
    def held_out(self) -> RenderBatch:
        """A few frames that training never sees, for the preview strip and the early stop; may be empty (B =
        0)."""

    def __len__(self) -> int:
        """N examples."""

    def batch(self, indices: Tensor, generator: torch.Generator) -> RenderBatch:
        """The examples ``indices`` (B,) int64, augmented with randomness from ``generator`` only."""
