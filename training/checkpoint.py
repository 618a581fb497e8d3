"""Checkpoints that survive a kill at any moment.

The crash this survives: SIGKILL, power loss or a full disk while a checkpoint is being written. The bytes go to a
temporary file in the same folder, are fsynced, and take the final name by ``os.replace``; so the final name is always
either the whole previous checkpoint or the whole new one. Loading is the default path of every trainer.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Checkpoint:
    """What a trainer needs to go on as if it had never stopped."""

    step: int
    """Steps finished."""
    modules: dict[str, dict[str, torch.Tensor]]
    """``state_dict`` per named module."""
    optimizers: dict[str, dict[str, Any]]
    """``state_dict`` per named optimiser."""
    state: dict[str, Any]
    """Plain values: histories, best scores, fingerprint of the run."""
    rng: torch.Tensor
    """State of the trainer's CPU generator (uint8)."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write atomically; the previous checkpoint stays until the new one is whole on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            torch.save(vars(checkpoint), stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, *, fingerprint: Mapping[str, Any] | None = None) -> Checkpoint | None:
    """The checkpoint at ``path``, or None when there is none, it is unreadable, or it belongs to another run.

    ``fingerprint`` is compared with ``state["fingerprint"]``: a changed config or other data starts afresh instead of
    continuing something else. Tensors are loaded with ``weights_only=True``: no code in the file can run.
    """
    try:
        checkpoint = Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, KeyError, pickle.UnpicklingError):
        return None
    if fingerprint is not None and checkpoint.state.get("fingerprint") != dict(fingerprint):
        return None
    return checkpoint
