"""The examples of one clip as arrays: in memory while a person is learnt, mapped from disk while many people are."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field, fields
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
    _on: dict[torch.device, dict[str, Tensor]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def passes(self) -> int:
        """P."""
        return len(self.composite)

    def batch(
        self,
        rows: NDArray[np.integer],
        passes: NDArray[np.integer],
        device: torch.device = torch.device("cpu"),  # noqa: B008 a constant
    ) -> RenderBatch:
        """Examples ``rows`` (B,), each over the source of its pass (B,).

        All of the clip moves to ``device`` at the first call, a byte a colour: batches are put together there.
        """
        arrays = self._resident(device)
        row, which = (torch.as_tensor(np.asarray(index, np.int64), device=device) for index in (rows, passes))
        # (B, 3) rows of frames t-2, t-1, t; the clip's first frames repeat themselves.
        window = (row[:, None] - torch.tensor([2, 1, 0], device=device)).clamp_min(0)
        axis = torch.arange(self.target.shape[1], device=device)
        left, top, right, bottom = (side[:, None] for side in arrays["inside"][row].unbind(1))
        across, down = (axis >= left) & (axis < right), (axis >= top) & (axis < bottom)  # (B, S) each
        return RenderBatch(
            composite_window=_colours(arrays["composite"][which[:, None], window]),
            source=_colours(arrays["source"][which, row]),
            masks=arrays["masks"][row].movedim(-1, 1).float().div_(255).contiguous(),
            target=_colours(arrays["target"][row]),
            valid=(down[:, :, None] & across[:, None, :]).float()[:, None],
            value=arrays["values"][row],
            frame=arrays["frame"][row],
        )

    def _resident(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._on:
            self._on[device] = {
                name: torch.from_numpy(value).to(device) for name, value in self._arrays().items()
            }
        return self._on[device]

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.init}

    def save(self, folder: Path) -> None:
        """Write one .npy an array into ``folder``, which appears whole or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            for name, value in self._arrays().items():
                np.save(part / f"{name}.npy", value, allow_pickle=False)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> Examples:
        """Map what :meth:`save` wrote; raises :class:`problems.InvalidPackage` when it is not complete."""
        arrays: dict[str, Any] = {}
        try:
            for name in (field.name for field in fields(cls) if field.init):
                # Copy on write: torch wants arrays that it may write to.
                arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InvalidPackage(
                f"{folder} holds no complete examples ({error})", remedy="delete it and make it again"
            ) from error
        return cls(**arrays)


def _colours(image: Tensor) -> Tensor:
    """(..., S, S, 3) uint8 -> (..., 3, S, S) float32 in [-1, 1]."""
    return image.movedim(-1, -3).float().div_(127.5).sub_(1.0).contiguous()
