"""Learn one person's looks: adversarial training of the memory-augmented generator on a clip's frames.

arXiv 2002.10137, section 3.4, at today's cost. A killed run that starts again with the same arguments goes on
from its last checkpoint and, on a CPU with a budget of steps, ends with the same weights bit for bit.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from problems import InternalProblem, InvalidParameter, OutOfMemory, TooShort
from rendering.augment import AugmentConfig, augment
from rendering.batches import FACE, MOUTH, RenderBatch, RenderDataset
from rendering.discriminator import Discriminator, DiscriminatorConfig
from rendering.export import Renderer, load_renderer, save_renderer
from rendering.generator import STRIDE, Generator, GeneratorConfig, edit_region
from rendering.losses import (
    LossConfig,
    ReconstructionLoss,
    attention_loss,
    cut,
    discriminator_loss,
    generator_loss,
    judged_windows,
)
from rendering.memory import Memory, MemoryConfig
from rendering.previews import FRAMES, Images, TrainingPreviews
from rendering.room import Kept, allocate, free, frozen, in_parts, once_more
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.progress import Progress, Tick, silent

STAGE = "render.train"


@dataclass(frozen=True)
class RendererConfig:
    """One training run. The nested configs size its parts."""

    size: int = 256
    """Side of the frames in pixels, a multiple of 64."""
    batch: int = 4
    """Frames per step."""
    accumulate: int = 1
    """Parts that a step's frames are worked on in, one after the other: less memory, more time."""
    steps: int = 1200
    """Budget in steps."""
    max_seconds: float = math.inf
    """Budget in seconds of wall time, over all resumed runs; whichever budget ends first."""
    rate: float = 1e-3
    """Adam's learning rate; falls to a twentieth along a cosine."""
    memory_rate: float = 1e-4
    """The key encoder's own Adam; at ten times this its keys collapse into one."""
    ema: float = 0.995
    """Decay per step of the running mean of the weights that is exported, 0..1."""
    clip: float = 1.0
    """Largest gradient norm."""
    recalled: float = 0.9
    """Share of the examples that train with a value recalled from other moments, as in use; the rest with
    their own."""
    apart: int = 12
    """Frames around an example whose slots its recall passes over."""
    adversarial_start: float = 0.3
    """Part of the budget that passes before the discriminator speaks, 0..1; 1 leaves it out."""
    adversarial_every: int = 2
    """Steps between two that train with the discriminator."""
    judged: float = 0.5
    """Side of the window that the discriminator sees, as a share of the frame's."""
    report_every: int = 10
    """Steps between two reports."""
    preview_every: int = 100
    """Steps between two looks at the held-out frames."""
    patience: int = 4
    """Looks without improvement after which training stops; 0 never stops early."""
    checkpoint_seconds: float = 30.0
    """Longest time between two checkpoints, s."""
    checkpoint_steps: int = 250
    """Most steps between two checkpoints."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)

    def rates(self) -> dict[str, float]:
        """Learning rate per optimiser, before its decay."""
        return {"generator": self.rate, "discriminator": self.rate, "memory": self.memory_rate}

    @staticmethod
    def preset(name: str) -> RendererConfig:
        """``preview`` (256 px, CPU, minutes), ``standard`` (384 px) or ``best`` (512 px, GPU)."""
        presets = {
            "preview": RendererConfig(
                steps=1500, max_seconds=150, adversarial_start=0.5, generator=GeneratorConfig(width=16)
            ),
            "standard": RendererConfig(
                size=384, batch=8, steps=3000, max_seconds=1200, generator=GeneratorConfig(width=48),
                discriminator=DiscriminatorConfig(width=32), judged=1.0,
            ),
            "best": RendererConfig(
                size=512, batch=16, steps=4000, max_seconds=1800, generator=GeneratorConfig(width=64),
                discriminator=DiscriminatorConfig(width=64), judged=1.0,
            ),
        }  # fmt: skip
        if name not in presets:
            raise InvalidParameter(f"there is no preset {name!r}", remedy=f"use one of {', '.join(presets)}")
        return presets[name]


@dataclass(frozen=True)
class RendererReport:
    """How a training run ended."""

    steps: int
    """Steps taken, over all resumed runs."""
    seconds: float
    """Wall time, over all resumed runs."""
    stopped: Literal["steps", "seconds", "held_out"]
    """What ended it: a budget, or held-out frames that stopped improving."""
    metrics: dict[str, float]
    """Last reported means, ``mouth_share`` among them."""
    held_out: dict[str, float]
    """``psnr_face``, ``psnr_mouth`` of the output and ``composite_...`` of the composite, dB; empty without
    frames."""
    slots: int
    """Memory slots written."""
    saved_memory: tuple[str, ...] = ()
    """What was given up after the device's memory did not suffice, in order."""


class _Run:
    """All that changes while training, so that it can be saved and restored as one."""

    def __init__(
        self, config: RendererConfig, dataset: RenderDataset, seed: int, device: torch.device
    ) -> None:
        torch.manual_seed(seed)  # initial weights; everything after draws from self.rng
        self.rng = torch.Generator().manual_seed(seed)
        self.generator, self.discriminator = Generator(config.generator), Discriminator(config.discriminator)
        self.memory = Memory(replace(config.memory, slots=min(config.memory.slots, len(dataset))))
        self.memory.set_threshold(dataset.values)
        self.reconstruction = ReconstructionLoss(config.loss)
        self.generator.standardise(dataset.values)
        cuda = device.type == "cuda"
        for module in (self.generator, self.discriminator, self.memory, self.reconstruction):
            module.to(device)
            if cuda:
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.optimizers = {
            name: torch.optim.Adam(getattr(self, name).parameters(), rate, betas=(0.5, 0.99), fused=cuda)
            for name, rate in config.rates().items()
        }
        self.allocate()
        self.shown_at_once = 1 << 20
        self.step = 0
        self.state: dict[str, Any] = {
            "elapsed": 0.0,
            "best": -math.inf,
            "stale": 0,
            "stopped": "",
            "metrics": {},
            "accumulate": config.accumulate,
            "judged": config.judged,
            "saved_memory": [],
        }

    def begin_from(self, start: Renderer) -> None:
        """Take over general weights; slots and the range of values stay this person's."""
        try:
            weights = {k: v for k, v in start.generator.state_dict().items() if not k.startswith("value_")}
            self.generator.load_state_dict(weights, strict=False)
            self.average.load_state_dict(weights, strict=False)
            encoder = start.memory.encoder.state_dict().items()
            ranges = ("view_mean", "view_scale", "key_mean")
            self.memory.encoder.load_state_dict({k: v for k, v in encoder if k not in ranges}, strict=False)
            if start.discriminator:
                self.discriminator.load_state_dict(start.discriminator)
        except RuntimeError as error:
            raise InvalidParameter(
                f"the general weights have another size than this preset's network: {error}",
                remedy="use general weights made for this preset, or none",
            ) from error

    def allocate(self) -> None:
        """Find room for what the optimisers remember before anything is learnt."""
        for optimizer in self.optimizers.values():
            allocate(optimizer)

    def keep(self) -> Kept:
        """Hold what a step changes before its gradients are whole."""
        return Kept(self.rng, (self.memory, self.reconstruction))

    def modules(self) -> dict[str, nn.Module]:
        return {
            name: getattr(self, name)
            for name in ("generator", "average", "discriminator", "memory", "reconstruction")
        }

    def save(self, path: Path) -> None:
        modules = {name: module.state_dict() for name, module in self.modules().items()}
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        save_checkpoint(path, Checkpoint(self.step, modules, optimizers, self.state, self.rng.get_state()))

    def restore(self, checkpoint: Checkpoint) -> None:
        for name, module in self.modules().items():
            module.load_state_dict(checkpoint.modules[name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(checkpoint.optimizers[name])
        self.allocate()
        self.step, self.state = checkpoint.step, checkpoint.state
        self.rng.set_state(checkpoint.rng)


def train_renderer(
    dataset: RenderDataset,
    out: Path,
    *,
    config: RendererConfig,
    seed: int,
    device: torch.device,
    checkpoint: Path,
    start: Path | None = None,
    progress: Progress = silent,
    preview: Path | None = None,
    previews: TrainingPreviews | None = None,
) -> RendererReport:
    """Train on ``dataset``, write the renderer to ``out`` (safetensors) and the held-out strip to ``preview``
    (PNG).

    Args:
        seed: of the initial weights, the order of examples and their augmentation.
        checkpoint: file to save to and to go on from; it may stay behind, and another run's is ignored.
        start: a renderer of general weights to begin with.
        previews: are offered held-out frames as they look now, for people who wait.

    Raises:
        InvalidParameter: the size is no multiple of 64, or ``start`` does not fit the config.
        TooShort: the dataset is empty.
        OutOfMemory: the GPU's memory does not suffice, even for one frame at a time.
        InternalProblem: the loss is no longer finite.
        Cancelled, LeaseLost: raised by ``progress``, passed on; the last checkpoint stays.
    """
    if config.size % STRIDE:
        raise InvalidParameter(
            f"size {config.size} can't be halved six times", remedy=f"use a multiple of {STRIDE}"
        )
    if len(dataset) == 0:
        raise TooShort("no frame of the clip can be learnt from", remedy="use a clip with the face visible")
    try:
        return _train(dataset, out, config, seed, device, checkpoint, start, progress, preview, previews)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"the GPU's memory does not suffice for one frame of {config.size} px",
            remedy="use a smaller preset, or another GPU",
        ) from error


def _train(
    dataset: RenderDataset, out: Path, config: RendererConfig, seed: int, device: torch.device,
    checkpoint: Path, start: Path | None, progress: Progress, preview: Path | None,
    previews: TrainingPreviews | None,
) -> RendererReport:  # fmt: skip
    run = _Run(config, dataset, seed, device)
    general = load_renderer(start) if start else None
    if general:
        run.begin_from(general)
    some = torch.linspace(0, len(dataset) - 1, min(len(dataset), 64)).long().split(1)
    run.memory.encoder.standardise(
        dataset.batch(one, torch.Generator()).to(device).network_input() for one in some
    )
    run.state["fingerprint"] = _fingerprint(config, dataset, seed, start)
    if found := load_checkpoint(checkpoint, fingerprint=run.state["fingerprint"]):
        run.restore(found)
    held_out = dataset.held_out.to(device) if len(dataset.held_out) else None
    began, before, saved_at, saved_step = time.monotonic(), run.state["elapsed"], time.monotonic(), run.step

    while not run.state["stopped"]:
        run.state["elapsed"] = before + time.monotonic() - began
        fraction = max(run.step / config.steps, run.state["elapsed"] / config.max_seconds)
        if fraction >= 1:
            run.state["stopped"] = "steps" if run.step >= config.steps else "seconds"
            break
        for optimizer, rate in zip(run.optimizers.values(), config.rates().values(), strict=True):
            optimizer.param_groups[0]["lr"] = rate * _decay(fraction) * min(1.0, (run.step + 1) / 20)
        indices = torch.multinomial(
            dataset.weights, config.batch, replacement=len(dataset) < config.batch, generator=run.rng
        )
        metrics = _roomy_step(run, dataset, indices, config, fraction, device)
        run.step += 1

        if run.step % config.report_every == 0 or run.step == config.steps:
            run.state["metrics"] = _report(run, metrics, config, fraction, progress)
        if held_out and (run.step % config.preview_every == 0 or run.step == config.steps):
            _look(run, held_out, config, fraction, preview)
        if previews is not None:
            previews.offer(run.step, lambda: _shown(run, dataset, held_out, device))
        due = time.monotonic() - saved_at > config.checkpoint_seconds
        if due or run.step - saved_step >= config.checkpoint_steps:
            run.save(checkpoint)
            saved_at, saved_step = time.monotonic(), run.step

    run.save(checkpoint)
    _memorise(run, dataset, device)
    scores = _look(run, held_out, config, 1.0, preview) if held_out else {}
    if previews is not None:
        previews.offer(run.step, lambda: _shown(run, dataset, held_out, device), last=True)
    slots = int(run.memory.filled.sum())
    report = RendererReport(
        run.step,
        run.state["elapsed"],
        run.state["stopped"],
        run.state["metrics"],
        scores,
        slots,
        tuple(run.state["saved_memory"]),
    )
    weights = run.discriminator.state_dict()
    save_renderer(Renderer(run.average, run.memory, config.size, weights, asdict(report)), out)
    progress(Tick(STAGE, config.steps, config.steps, metrics={**report.metrics, **scores}))
    return report


def _roomy_step(
    run: _Run,
    dataset: RenderDataset,
    indices: Tensor,
    config: RendererConfig,
    fraction: float,
    device: torch.device,
) -> dict[str, Tensor]:
    """One step of all three optimisers; on a device whose memory runs out, in smaller and smaller parts, each time as
    if the step had not been tried before.

    The ladder: half as many frames at a time, down to one; then a discriminator that sees half the window, once.
    """
    while True:
        before = run.keep()
        try:
            metrics = _gradients(run, dataset, indices, config, fraction, device)
            break
        except torch.OutOfMemoryError:
            if not _climb_down(run, config, len(indices)):
                raise
        before.put_back()  # not above: the exception holds on to the failed attempt's tensors
        free(device)
    names = [name for name in run.optimizers if name != "discriminator" or "adversarial" in metrics]
    _descend(run, config, names, device)
    return metrics


def _gradients(
    run: _Run,
    dataset: RenderDataset,
    indices: Tensor,
    config: RendererConfig,
    fraction: float,
    device: torch.device,
) -> dict[str, Tensor]:
    """Gradients of a step's frames, in as many parts as there is room for; returns means over the frames."""
    metrics: dict[str, Tensor] = {}
    for n, part in enumerate(indices.tensor_split(min(run.state["accumulate"], len(indices)))):
        batch = augment(dataset.batch(part, run.rng).to(device), config.augment, run.rng)
        share = len(part) / len(indices)
        for name, value in _learn(run, batch, config, fraction, share, first=n == 0).items():
            metrics[name] = metrics.get(name, 0) + share * value
    return metrics


def _climb_down(run: _Run, config: RendererConfig, frames: int) -> bool:
    """Take the next rung of the ladder; False below the last."""
    if run.state["accumulate"] < frames:
        run.state["accumulate"] *= 2
        room = f"{-(-frames // run.state['accumulate'])} frames at a time"
    elif run.state["judged"] == config.judged and config.judged > 0.25:
        run.state["judged"] = config.judged / 2
        room = f"a discriminator's window of {run.state['judged']:g}"
    else:
        return False
    run.state["saved_memory"].append(room)
    return True


def _learn(
    run: _Run, batch: RenderBatch, config: RendererConfig, fraction: float, share: float, *, first: bool
) -> dict[str, Tensor]:
    """Gradients of ``share`` of a step's frames; returns scalars still on the device."""
    frames, loss_config = batch.network_input(), config.loss
    if first:
        for optimizer in run.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
    if frames.is_cuda:
        frames = frames.contiguous(memory_format=torch.channels_last)
    query = run.memory.query(frames, learning=True)
    triplet = run.memory.triplet_loss(query, batch.value)
    if triplet.requires_grad:
        (share * triplet).backward()

    query = query.detach()
    recalled = run.memory.recall(query, apart=(batch.frame, config.apart))
    chosen = (torch.rand(len(batch), generator=run.rng) < config.recalled).to(frames.device)
    chosen = chosen & (recalled.square().sum(1) > 0)  # early on there may be nothing to recall yet
    value = torch.where(chosen[:, None], recalled, batch.value)
    run.memory.update(query, batch.value, batch.frame)

    adversarial = fraction >= config.adversarial_start and (run.step + 1) % config.adversarial_every == 0
    with torch.autocast(frames.device.type, torch.bfloat16, enabled=frames.is_cuda):
        output = run.generator(frames, value)
    image = output.image.float()
    paintable = batch.valid * edit_region(batch.masks)  # elsewhere the composite stays, whatever is learnt
    reconstruction = run.reconstruction(image, batch.target, batch.masks, paintable)
    mouth_share = reconstruction.mouth_share
    metrics = {"triplet": triplet.detach(), "l1": reconstruction.l1, "mouth_share": mouth_share}
    loss = reconstruction.loss + attention_loss(output.attention.float(), batch.masks, loss_config)
    if adversarial:
        side = max(STRIDE, round(config.size * run.state["judged"]))
        windows = judged_windows(batch.masks, side, run.rng)
        # Outside of the frame both show the target, so that there is nothing to tell apart.
        painted = cut(image * batch.valid + batch.target * (1 - batch.valid), windows, side)
        composites = cut(batch.composite_window.flatten(1, 2), windows, side)
        real = cut(batch.target, windows, side)
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=frames.is_cuda):
            judgement = discriminator_loss(run.discriminator, composites, real, painted)
            (share * judgement).backward()
            with frozen(run.discriminator):  # its weights' gradients are half of the cost, and unused
                deceit = generator_loss(run.discriminator, composites, painted)
        loss = loss + loss_config.adversarial * deceit
        metrics |= {"discriminator": judgement.detach(), "adversarial": deceit.detach()}
    (share * loss).backward()
    return metrics | {"loss": loss.detach(), "attention": output.attention.detach().mean()}


def _descend(run: _Run, config: RendererConfig, names: list[str], device: torch.device) -> None:
    """Let optimisers follow the gradients at hand, each once, and the running mean the weights."""
    for name in names:
        weights = list(getattr(run, name).parameters())
        once_more(partial(nn.utils.clip_grad_norm_, weights, config.clip), device)
        once_more(run.optimizers[name].step, device)
    once_more(partial(_average, run, config), device)


@torch.no_grad()
def _average(run: _Run, config: RendererConfig) -> None:
    """Running mean of the weights; at the start it follows fast, or it would remember the first, random
    ones."""
    keep = min(config.ema, (1 + run.step) / (10 + run.step))
    torch._foreach_lerp_(list(run.average.parameters()), list(run.generator.parameters()), 1 - keep)


def _decay(fraction: float) -> float:
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0)))


def _report(
    run: _Run, metrics: dict[str, Tensor], config: RendererConfig, fraction: float, progress: Progress
) -> dict[str, float]:
    values = {name: float(value) for name, value in metrics.items()}
    if not math.isfinite(values["loss"]):
        raise InternalProblem(
            f"the renderer's loss is {values['loss']} at step {run.step}",
            remedy="start again with another seed; if it happens again, report the clip",
        )
    last = run.state["metrics"]
    smooth = last | {name: 0.8 * last.get(name, value) + 0.2 * value for name, value in values.items()}
    remaining = run.state["elapsed"] * (1 - fraction) / max(fraction, 1e-6)
    message = f"step {run.step}, mouth {values['mouth_share']:.0%} of the loss, about {remaining:.0f} s to go"
    progress(Tick(STAGE, round(fraction * config.steps), config.steps, message, smooth))
    return smooth


@torch.no_grad()
def _look(
    run: _Run, held_out: RenderBatch, config: RendererConfig, fraction: float, preview: Path | None
) -> dict[str, float]:
    """Score the running mean on held-out frames with recalled values, draw the strip, decide on stopping."""
    painted, attention = _painted(run, held_out)
    scores: dict[str, float] = {}
    for prefix, image in (("", painted), ("composite_", held_out.composite)):
        error = (image.clamp(-1, 1) - held_out.target).square().mean(1) / 4  # of [0, 1] colours, (B, S, S)
        for name, mask in (("face", held_out.masks[:, FACE]), ("mouth", held_out.masks[:, MOUTH])):
            weight = mask * held_out.valid[:, 0]
            mean = (error * weight).sum() / weight.sum().clamp_min(1e-6)
            scores[f"{prefix}psnr_{name}"] = float(-10 * torch.log10(mean.clamp_min(1e-10)))
    if preview:
        rows = [held_out.source, held_out.composite, painted, held_out.target]
        rows.append(attention.expand(-1, 3, -1, -1) * 2 - 1)
        _write_strip([row[:8].clamp(-1, 1) for row in rows], preview)
    score = scores["psnr_face"] + scores["psnr_mouth"]
    if score > run.state["best"] + 0.02:
        run.state["best"], run.state["stale"] = score, 0
    else:
        run.state["stale"] += 1
    # Before half of the budget the learning rate is high and the score still swings.
    patient = not config.patience or run.state["stale"] < config.patience or fraction <= 0.5
    if not patient and not run.state["stopped"]:
        run.state["stopped"] = "held_out"
    return scores


def _painted(run: _Run, frames: RenderBatch) -> tuple[Tensor, Tensor]:
    """What the running mean makes of frames, with recalled values: pictures (B, 3, S, S) and attention (B, 1, S, S)."""

    def paint(indices: Tensor) -> tuple[Tensor, Tensor]:
        some = frames.part(indices)
        seen = some.network_input()
        output = run.average(seen, run.memory.recall(run.memory.query(seen), apart=(some.frame, 0)))
        return output.image, output.attention

    (painted, attention), run.shown_at_once = in_parts(
        paint, len(frames), run.shown_at_once, frames.frame.device
    )
    return painted, attention


@torch.no_grad()
def _shown(
    run: _Run, dataset: RenderDataset, held_out: RenderBatch | None, device: torch.device
) -> tuple[Images, Images]:
    """Real and generated frames (B, S, S, 3): some held out, or learnt ones where none are."""
    if held_out is None:
        some = torch.linspace(0, len(dataset) - 1, min(len(dataset), FRAMES)).long()
        held_out = dataset.batch(some, torch.Generator().manual_seed(0)).to(device)
    chosen = torch.linspace(0, len(held_out) - 1, min(len(held_out), FRAMES)).long().to(device)
    painted, _ = _painted(run, held_out.part(chosen))
    real, generated = (
        ((images.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        for images in (held_out.target[chosen], painted)
    )
    return real, generated


def _write_strip(rows: list[Tensor], path: Path) -> None:
    """Rows (B, 3, S, S) in [-1, 1] -> one PNG: source, composite, output, real, attention."""
    picture = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)  # (3, rows S, B S)
    pixels = ((picture + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    written, data = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    if written:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(data.tobytes())
        temporary.replace(path)


@torch.no_grad()
def _memorise(run: _Run, dataset: RenderDataset, device: torch.device) -> None:
    """Write the memory anew with the final key encoder: keys written early in training are stale."""
    run.memory.clear()
    for indices in torch.arange(len(dataset)).split(1):
        batch = dataset.batch(indices, torch.Generator().manual_seed(0)).to(device)
        run.memory.update(run.memory.query(batch.network_input()), batch.value, batch.frame)


def _fingerprint(
    config: RendererConfig, dataset: RenderDataset, seed: int, start: Path | None
) -> dict[str, Any]:
    values = dataset.values.detach().cpu().contiguous().numpy()
    return {
        "config": asdict(config),
        "seed": seed,
        "examples": len(dataset),
        "values": hashlib.sha256(values.tobytes()).hexdigest(),
        "start": hashlib.sha256(start.read_bytes()).hexdigest() if start else "",
    }
