"""Train the general mapping from speech to a face on many people (arXiv 2002.10137, section 3.2: the general model).

A person's mean face and pose are taken out of every clip and the size of the movement is not. Every sequence is a task:
the greater part of it shows a person, the last layer is adapted to that person in closed form
(:mod:`motion.adaptation`), and the error on the rest trains the network. So it learns what personalisation needs, and
not only what people do on average. Beside the motion a small head learns at which frames the lips meet for a bilabial
and at which somebody speaks at all: facts of the sound rather than of the person.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from faces.morphable import MorphableModel
from motion.adaptation import Adaptation, with_bias
from motion.corpus import Corpus
from motion.general import GeneralModel
from motion.general_data import Frames, Task, known_and_asked, split_speakers
from motion.general_report import GeneralReport, adapted_lip_r, measure
from motion.network import NetworkConfig, SpeechMotionNet, sequence_loss
from motion.targets import MouthGeometry, head_geometry, loss_metric, mouth_mask
from problems import InvalidParameter
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.progress import Progress, Tick, silent

Array = NDArray[np.float32]


@dataclass(frozen=True)
class GeneralConfig:
    """How the general model is trained."""

    steps: int = 4000
    """Optimiser steps, 1 or more."""
    windows: int = 16
    """Sequences a step, each of one person."""
    length: int = 400
    """Frames a sequence, 16..750."""
    known: float = 0.7
    """Share of a sequence that shows the person; the rest is asked about, 0.2..0.9."""
    learning_rate: float = 2e-3
    """AdamW's peak; warmed up over 2 % of the steps, then a cosine to a hundredth."""
    weight_decay: float = 1e-2
    """AdamW's."""
    velocity: float = 0.5
    """Weight of the frame-to-frame error."""
    noise: float = 0.3
    """Standard deviation of the noise on the standardised features: what synthetic voices lack of real ones."""
    general: float = 0.5
    """Weight of the error of the mapping without any person, beside that of the adapted one."""
    events: float = 0.2
    """Weight of the cross-entropy of contact and speaking."""
    held_out: float = 0.06
    """Share of the speakers that the reported figures are measured on, 0..0.5."""
    average: float = 0.999
    """Decay of the running mean of the weights, which is what is kept."""
    look_every: int = 500
    """Steps between two looks at the held-out speakers, and between checkpoints."""
    projection: int = 96
    """Channels after the network's projection."""
    hidden: int = 128
    """LSTM units in each direction."""
    dropout: float = 0.3
    """Of the network."""


def train_general(
    corpus: Corpus,
    out: Path,
    *,
    config: GeneralConfig = GeneralConfig(),
    seed: int,
    checkpoint_dir: Path,
    device: torch.device = torch.device("cpu"),  # noqa: B008 a constant
    progress: Progress = silent,
) -> GeneralReport:
    """Train on a corpus and write a :class:`motion.general.GeneralModel` to ``out``.

    The run goes on from its checkpoint if it was killed, and on a CPU ends with the same weights as if it had not been.

    Args:
        corpus: the clips; their speakers are split into learnt and held out by a hash of their names.
        out: the safetensors file to write.
        config: sizes and schedule.
        seed: of the initial weights, the windows and the dropout.
        checkpoint_dir: where to keep the checkpoint.
        device: where to train.
        progress: listener.

    Raises:
        InvalidParameter: the corpus is too small, or its expressions are not the head model's.
    """
    began = time.monotonic()
    learnt, held_out = split_speakers(corpus, config.held_out, shortest=16)
    geometry = _geometry(corpus.expression_names)
    data = Frames.of(learnt)
    scale = data.target_scale()
    metric = loss_metric(geometry, corpus.expression_names, data.some_targets(50_000), scale)
    feature_mean, feature_scale = data.feature_statistics()
    fingerprint = {"config": repr(config), "seed": seed, "corpus": data.fingerprint()}

    torch.manual_seed(seed)
    trainer = _Trainer(config, corpus.expression_names, data.features.shape[1], scale, device)
    general = GeneralModel(
        corpus.expression_names, trainer.net, trainer.events, trainer.adaptation, feature_mean, feature_scale, scale
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    noise = torch.Generator(device).manual_seed(seed)
    checkpoint = checkpoint_dir / "general.pt"
    first = 0
    if saved := load_checkpoint(checkpoint, fingerprint=fingerprint):
        first = saved.step
        trainer.restore(saved)
        generator.set_state(saved.rng)
        noise.set_state(saved.state["noise_rng"])
        torch.set_rng_state(saved.state["torch_rng"])

    data, constants = (
        data.to(device),
        [torch.from_numpy(v).to(device) for v in (feature_mean, feature_scale, scale)],
    )
    weights = torch.from_numpy(metric).to(device)
    for step in range(first, config.steps):
        task = _task(data, config, constants, generator, noise)
        loss = trainer.step(task, weights, config.learning_rate * _schedule(step, config.steps))
        done = step + 1
        if done % config.look_every == 0 or done == config.steps:
            with trainer.averaged():
                figures = {"lip_r_adapted": adapted_lip_r(general, held_out[:60], geometry)}
            progress(Tick("motion.general", done, config.steps, metrics={"loss": loss.item(), **figures}))
            state = {
                "fingerprint": fingerprint,
                "torch_rng": torch.get_rng_state(),
                "noise_rng": noise.get_state(),
            }
            save_checkpoint(checkpoint, trainer.checkpoint(done, state, generator))
        elif done % 20 == 0:
            progress(Tick("motion.general", done, config.steps, metrics={"loss": loss.item()}))
    trainer.finish()
    report = measure(
        general, learnt, held_out, geometry, steps=config.steps, seconds=time.monotonic() - began
    )
    general.save(out, facts={**asdict(report), "seed": seed, "config": asdict(config)})
    return report


class _Trainer:
    """The networks, their running means and the optimiser."""

    def __init__(
        self,
        config: GeneralConfig,
        names: tuple[str, ...],
        inputs: int,
        scale: Array,
        device: torch.device,
    ) -> None:
        sizes = NetworkConfig(inputs, len(scale), config.projection, config.hidden, config.dropout)
        self.config = config
        self.net = SpeechMotionNet(sizes).to(device)
        self.events = torch.nn.Linear(2 * config.hidden, 2).to(device)
        self.adaptation = Adaptation(torch.from_numpy(mouth_mask(names))).to(device)
        self.modules: dict[str, torch.nn.Module] = {
            "net": self.net, "events": self.events, "adaptation": self.adaptation,
        }  # fmt: skip
        self.averages = {name: _copy(module) for name, module in self.modules.items()}
        self.parameters = [value for module in self.modules.values() for value in module.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": [value for value in self.parameters if value.dim() > 1]},
            {"params": [value for value in self.parameters if value.dim() <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self._steps = 0

    def step(self, task: Task, metric: Tensor, learning_rate: float) -> Tensor:
        """Learn from some tasks once; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.net.train()
        loss = self._loss(task, metric)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self._steps += 1
        decay = min(self.config.average, self._steps / (9 + self._steps))
        for name, module in self.modules.items():
            for key, value in module.state_dict().items():
                if value.is_floating_point():
                    self.averages[name][key].lerp_(value, 1 - decay)
        return loss.detach()

    def _loss(self, task: Task, metric: Tensor) -> Tensor:
        config = self.config
        hidden = self.net.hidden_states(task.features)  # (B, L, H)
        plain = self.net.head(hidden)
        change = self.adaptation(hidden, task.targets - plain, task.known * task.valid)
        adapted = plain + with_bias(hidden) @ change
        loss = sequence_loss(adapted, task.targets, task.asked * task.valid, metric, config.velocity)
        dropped = self.net.head(self.net.dropout(hidden))
        loss = loss + config.general * sequence_loss(
            dropped, task.targets, task.valid, metric, config.velocity
        )
        return loss + config.events * _events_loss(self.events(hidden), task.events)

    def averaged(self) -> _Averaged:
        """A context in which the modules hold the running means, in eval mode."""
        return _Averaged(self)

    def checkpoint(self, step: int, state: dict[str, object], generator: torch.Generator) -> Checkpoint:
        """Everything that a killed run goes on from."""
        states = {name: module.state_dict() for name, module in self.modules.items()}
        states |= {f"{name}.average": state for name, state in self.averages.items()}
        optimizers = {"adamw": self.optimizer.state_dict()}
        return Checkpoint(step, states, optimizers, state, generator.get_state())

    def restore(self, saved: Checkpoint) -> None:
        """The inverse of :meth:`checkpoint`."""
        for name, module in self.modules.items():
            module.load_state_dict(saved.modules[name])
            for key, value in saved.modules[f"{name}.average"].items():
                self.averages[name][key].copy_(value)
        self.optimizer.load_state_dict(saved.optimizers["adamw"])
        self._steps = saved.step

    def finish(self) -> None:
        """Keep the running means, on the CPU, for prediction."""
        for name, module in self.modules.items():
            module.load_state_dict(self.averages[name])
            module.eval().cpu()


class _Averaged:
    def __init__(self, trainer: _Trainer) -> None:
        self._trainer = trainer
        self._own = {name: _copy(module) for name, module in trainer.modules.items()}

    def __enter__(self) -> None:
        for name, module in self._trainer.modules.items():
            module.load_state_dict(self._trainer.averages[name])
            module.eval()

    def __exit__(self, *_: object) -> None:
        for name, module in self._trainer.modules.items():
            module.load_state_dict(self._own[name])
            module.train()


def _task(
    data: Frames,
    config: GeneralConfig,
    constants: list[Tensor],
    generator: torch.Generator,
    noise: torch.Generator,
) -> Task:
    mean, spread, units = constants
    index, inside = data.draw(config.windows, config.length, generator)
    known, asked = known_and_asked(inside.sum(1), inside.shape[1], config.known, 12, generator)
    device = data.features.device
    index, inside, known, asked = (v.to(device) for v in (index, inside, known, asked))
    features = (data.features[index].float() - mean) / spread
    features = features + config.noise * torch.randn(features.shape, generator=noise, device=device)
    targets, valid = data.targets[index].float() / units, data.valid[index] * inside
    weights = (known * valid)[..., None]
    # A person's mean is what the known part shows, as it is in a personalisation.
    targets = targets - (targets * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp_min(1)
    events = torch.where(inside[..., None] > 0, data.events[index].float(), math.nan)
    return Task(features, targets, valid, known, asked, events)


def _geometry(names: tuple[str, ...]) -> MouthGeometry:
    model = MorphableModel.load()
    if not set(names) <= set(model.expression_names):
        raise InvalidParameter(
            "the corpus was made with a head model whose expressions the shipped one does not have",
            remedy="make the corpus with the shipped head model",
        )
    return head_geometry(model, names, model.mean)


def _copy(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to 1 %."""
    warm = max(1, steps // 50)
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _events_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy where the truth is known; zero where nowhere."""
    known = torch.isfinite(truth)
    terms = functional.binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return (terms * known).sum() / known.sum().clamp_min(1)
