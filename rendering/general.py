"""The general renderer: what a network knows of faces before it has seen the person (arXiv 2002.10137, section 3.4)."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch

from rendering.export import Renderer, load_renderer, save_renderer
from rendering.memory import Memory
from rendering.people import PeopleDataset
from rendering.train import RendererConfig, RendererReport, train_renderer
from training.progress import Progress, silent

SHIPPED = Path(__file__).parent.parent / "weights" / "renderer"
"""Where the general weights lie that the product begins with, one file a preset."""


def general_weights(preset: str) -> Path | None:
    """The shipped general weights of a preset's network; None when there are none."""
    path = SHIPPED / f"{preset}.safetensors"
    return path if path.is_file() else None


def train_general_renderer(
    people: PeopleDataset,
    out: Path,
    *,
    preset: str,
    steps: int,
    batch: int,
    seed: int,
    device: torch.device,
    work: Path,
    progress: Progress = silent,
) -> RendererReport:
    """Train a preset's network on many people and write it, without the people's memories, to ``out``.

    A killed run goes on from its checkpoint in ``work``, where the strip of held-out frames lies as well.

    Raises:
        As :func:`rendering.train.train_renderer`.
    """
    config = replace(
        RendererConfig.preset(preset),
        steps=steps,
        batch=batch,
        max_seconds=float("inf"),
        patience=0,
        preview_every=250,
    )
    whole = work / "renderer.safetensors"
    report = train_renderer(
        people,
        whole,
        config=config,
        seed=seed,
        device=device,
        checkpoint=work / "checkpoint.pt",
        progress=progress,
        preview=work / "held_out.png",
    )
    trained = load_renderer(whole)
    memory = Memory(replace(trained.memory.config, slots=1))
    memory.encoder.load_state_dict(trained.memory.encoder.state_dict())
    facts = {**asdict(report), "seed": seed, "preset": preset}
    save_renderer(Renderer(trained.generator, memory, trained.size, trained.discriminator, facts), out)
    return report
