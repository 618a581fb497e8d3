"""The examples of one clip as arrays: in memory while a person is learnt, mapped from disk while many people are."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from problems import InvalidPackage
from rendering.batches import RenderBatch

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Examples:
    """N frames of one clip, each over the source frames of P passes, at size S."""

    target: Images
    """(N, S, S, 3) RGB: the real frames."""
    masks: Images
    """(N, S, S, 3): face, mouth, eyes."""
    inside: NDArray[np.int64]
    """(N, 4) left, top, right, bottom of the frame's own pixels."""
    composite: Images
    """(P, N, S, S, 3) RGB."""
    source: Images
    """(P, N, S, S, 3) RGB: the unwarped source frames."""
    frame: NDArray[np.int64]
    """(N,) numbers in the clip, ascending."""
    values: NDArray[np.float32]
    """(N, Dv) memory values."""
    weights: NDArray[np.float32]
    """(N,) how often each is drawn."""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def passes(self) -> int:
        """P."""
        return len(self.composite)

    def batch(self, rows: NDArray[np.integer], passes: NDArray[np.integer]) -> RenderBatch:
        """Examples ``rows`` (B,), each over the source of its pass (B,)."""
        size = self.target.shape[1]
        # (B, 3) rows of frames t-2, t-1, t; the clip's first frames repeat themselves.
        window = np.stack([np.maximum(rows - back, 0) for back in (2, 1, 0)], axis=1)
        composite = self.composite[passes[:, None], window]  # (B, 3, S, S, 3)
        valid = torch.zeros(len(rows), 1, size, size)
        for n, (left, top, right, bottom) in enumerate(self.inside[rows]):
            valid[n, :, top:bottom, left:right] = 1.0
        return RenderBatch(
            composite_window=_colours(composite).permute(0, 1, 4, 2, 3).contiguous(),
            source=_colours(self.source[passes, rows]).permute(0, 3, 1, 2).contiguous(),
            masks=torch.from_numpy(self.masks[rows]).permute(0, 3, 1, 2).float().div_(255).contiguous(),
            target=_colours(self.target[rows]).permute(0, 3, 1, 2).contiguous(),
            valid=valid,
            value=torch.from_numpy(np.array(self.values[rows])),
            frame=torch.from_numpy(np.array(self.frame[rows], np.int64)),
        )

    def save(self, folder: Path) -> None:
        """Write one .npy an array into ``folder``, which appears whole or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for field in fields(self):
                np.save(part / f"{field.name}.npy", getattr(self, field.name), allow_pickle=False)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> Examples:
        """Map what :meth:`save` wrote; raises :class:`problems.InvalidPackage` when it is not complete."""
        arrays: dict[str, Any] = {}
        try:
            for field in fields(cls):
                arrays[field.name] = np.load(folder / f"{field.name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InvalidPackage(
                f"{folder} holds no complete examples ({error})", remedy="delete it and make it again"
            ) from error
        return cls(**arrays)


def _colours(image: Images) -> Tensor:
    return torch.from_numpy(image).float().div_(127.5).sub_(1.0)
