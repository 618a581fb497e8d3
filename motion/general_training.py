"""Train the general mapping from speech to a face on many people (arXiv 2002.10137, section 3.2: the general model).

A person's mean face and pose are taken out of every clip and the size of the movement is not: personalisation brings
both back. Beside the motion a small head learns at which frames the lips meet for a bilabial, a fact of the language
rather than of the person.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from faces.morphable import MorphableModel
from motion.corpus import Corpus, SpokenClip
from motion.features import speech_centre
from motion.general import GeneralModel
from motion.network import NetworkConfig, SpeechMotionNet, sequence_loss
from motion.regression import correlation
from motion.targets import MouthGeometry, head_geometry, loss_metric
from problems import InvalidParameter
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.progress import Progress, Tick, silent

Array = NDArray[np.float32]


@dataclass(frozen=True)
class GeneralConfig:
    """How the general model is trained."""

    steps: int = 4000
    """Optimiser steps, 1 or more."""
    windows: int = 32
    """Sequences a step."""
    length: int = 128
    """Frames a sequence, 16..750."""
    learning_rate: float = 2e-3
    """AdamW's peak; warmed up over 2 % of the steps, then a cosine to a hundredth."""
    weight_decay: float = 1e-2
    """AdamW's."""
    velocity: float = 0.5
    """Weight of the frame-to-frame error."""
    noise: float = 0.3
    """Standard deviation of the noise on the standardised features: what synthetic voices lack of real ones."""
    closure: float = 0.2
    """Weight of the bilabials' cross-entropy."""
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


@dataclass(frozen=True)
class GeneralReport:
    """What the training found; JSON types."""

    clips: int
    """Clips learnt from."""
    hours: float
    """Their length."""
    speakers: int
    """Their speakers."""
    steps: int
    """Optimiser steps."""
    lip_r: float
    """Mean over held-out clips of the correlation of the inner-lip opening with the truth."""
    bilabial_auc: float
    """Area under the ROC curve of the bilabial head on held-out clips; NaN where nobody knows the sounds."""
    lip_r_by_language: dict[str, float] = field(default_factory=dict)
    """The first by language."""
    seconds: float = 0.0
    """Wall time."""


def train_general(
    corpus: Corpus,
    out: Path,
    *,
    config: GeneralConfig = GeneralConfig(),
    seed: int,
    checkpoint_dir: Path,
    progress: Progress = silent,
) -> GeneralReport:
    """Train on a corpus and write a :class:`motion.general.GeneralModel` to ``out``.

    The run goes on from its checkpoint if it was killed, and ends with the same weights as if it had not been.

    Args:
        corpus: the clips; their speakers are split into learnt and held out by a hash of their names.
        out: the safetensors file to write.
        config: sizes and schedule.
        seed: of the initial weights, the windows and the dropout.
        checkpoint_dir: where to keep the checkpoint.
        progress: listener.

    Raises:
        InvalidParameter: the corpus is too small, or its expressions are not the head model's.
    """
    began = time.monotonic()
    learnt, held_out = _split(corpus, config)
    geometry = _geometry(corpus.expression_names)
    data = _Frames.of(learnt, config.length)
    scale = data.target_scale()
    metric = torch.from_numpy(
        loss_metric(geometry, corpus.expression_names, data.targets_numpy(50_000), scale)
    )
    sizes = NetworkConfig(
        data.features.shape[1], data.targets.shape[1], projection=config.projection, hidden=config.hidden
    )
    torch.manual_seed(seed)
    net, closure = SpeechMotionNet(sizes), torch.nn.Linear(2 * config.hidden, 1)
    modules: dict[str, torch.nn.Module] = {"net": net, "closure": closure}
    averages = {name: _copy(module) for name, module in modules.items()}
    parameters = [value for module in modules.values() for value in module.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(seed)
    feature_mean, feature_scale = data.feature_statistics()
    general = GeneralModel(corpus.expression_names, net, closure, feature_mean, feature_scale, scale)

    checkpoint = checkpoint_dir / "general.pt"
    fingerprint = {"config": repr(config), "seed": seed, "corpus": data.fingerprint()}
    first = 0
    if saved := load_checkpoint(checkpoint, fingerprint=fingerprint):
        first = saved.step
        for name, module in modules.items():
            module.load_state_dict(saved.modules[name])
            averages[name] = saved.modules[f"{name}.average"]
        optimizer.load_state_dict(saved.optimizers["adamw"])
        generator.set_state(saved.rng)
        torch.set_rng_state(saved.state["torch_rng"])

    mean, spread = torch.from_numpy(feature_mean), torch.from_numpy(feature_scale)
    units = torch.from_numpy(scale)
    for step in range(first, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, config.steps)
        index = data.windows(config.windows, config.length, generator)  # (B, L)
        features = (data.features[index].float() - mean) / spread
        features = features + config.noise * torch.randn(features.shape, generator=generator)
        targets = data.targets[index].float() / units
        net.train()
        hidden = net.hidden_states(features)
        predicted = net.head(net.dropout(hidden))
        loss = sequence_loss(predicted, targets, data.valid[index], metric, config.velocity)
        loss = loss + config.closure * _closure_loss(closure(hidden)[..., 0], data.closure[index].float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decay = min(config.average, (1 + step) / (10 + step))
        for name, module in modules.items():
            for key, value in module.state_dict().items():
                averages[name][key].lerp_(value, 1 - decay)
        done = step + 1
        if done % config.look_every == 0 or done == config.steps:
            figures = _look(general, averages, held_out, geometry)
            progress(Tick("motion.general", done, config.steps, metrics={"loss": loss.item(), **figures}))
            states = {name: module.state_dict() for name, module in modules.items()}
            states |= {f"{name}.average": state for name, state in averages.items()}
            state = {"fingerprint": fingerprint, "torch_rng": torch.get_rng_state()}
            save_checkpoint(
                checkpoint,
                Checkpoint(done, states, {"adamw": optimizer.state_dict()}, state, generator.get_state()),
            )
        elif done % 20 == 0:
            progress(Tick("motion.general", done, config.steps, metrics={"loss": loss.item()}))
    for name, module in modules.items():
        module.load_state_dict(averages[name])
    net.eval()
    report = _report(general, learnt, held_out, geometry, config, time.monotonic() - began)
    general.save(out, facts={**asdict(report), "seed": seed, "config": asdict(config)})
    return report


def _split(corpus: Corpus, config: GeneralConfig) -> tuple[list[SpokenClip], list[SpokenClip]]:
    def is_held_out(speaker: str) -> bool:
        digest = hashlib.sha256(speaker.encode()).digest()
        return int.from_bytes(digest[:4], "big") / 2**32 < config.held_out

    usable = [clip for clip in corpus.clips if len(clip) >= 16]
    learnt = [clip for clip in usable if not is_held_out(clip.speaker)]
    held_out = [clip for clip in usable if is_held_out(clip.speaker)]
    if sum(map(len, learnt)) < config.windows * 16:
        raise InvalidParameter(
            f"the corpus has {sum(map(len, learnt))} frames to learn from",
            remedy=f"gather at least {config.windows * 16}; hours of speech are needed for a useful model",
        )
    return learnt, held_out


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


def _closure_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy where the truth is known; zero where nowhere."""
    known = torch.isfinite(truth)
    if not known.any():
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(logits[known], truth[known])


@dataclass(frozen=True)
class _Frames:
    """All clips' frames end to end, in half precision."""

    features: Tensor
    """(N, D)."""
    targets: Tensor
    """(N, O) expression and pose, the clip's mean taken out."""
    valid: Tensor
    """(N,) float."""
    closure: Tensor
    """(N,)."""
    starts: Tensor
    """First frames of the clips."""
    lengths: Tensor
    """Frames of the clips."""

    @classmethod
    def of(cls, clips: list[SpokenClip], length: int) -> _Frames:
        targets = []
        for clip in clips:
            values = np.concatenate([clip.expression, clip.pose], axis=1).astype(np.float32)
            targets.append(
                (values - values[clip.valid].mean(0) if clip.valid.any() else values).astype(np.float16)
            )
        lengths = np.array([len(clip) for clip in clips])
        # Windows that reach over a clip's end would join two people: the frames past it are masked out.
        pad = max(0, length)
        return cls(
            torch.from_numpy(_padded([_centred(c.features) for c in clips], pad)),
            torch.from_numpy(_padded(targets, pad)),
            torch.from_numpy(_padded([c.valid.astype(np.float32) for c in clips], pad)),
            torch.from_numpy(_padded([np.asarray(c.closure, np.float16) for c in clips], pad)),
            torch.from_numpy(np.cumsum(lengths) - lengths),
            torch.from_numpy(lengths),
        )

    def windows(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """(count, L) frame numbers of random windows, each inside one clip; clips drawn by their length."""
        length = min(length, int(self.lengths.max()))
        long_enough = self.lengths >= length
        weights = torch.where(long_enough, self.lengths - length + 1, 0).double()
        which = torch.multinomial(weights, count, replacement=True, generator=generator)
        room = (self.lengths[which] - length + 1).double()
        offset = (torch.rand(count, generator=generator, dtype=torch.float64) * room).long()
        return (self.starts[which] + offset)[:, None] + torch.arange(length)

    def feature_statistics(self) -> tuple[Array, Array]:
        sample = self.features[:: max(1, len(self.features) // 200_000)].float()
        scale = sample.std(0)
        return sample.mean(0).numpy(), (scale + 0.1 * scale.median()).numpy()

    def target_scale(self) -> Array:
        rows = self.targets_numpy(200_000)
        floor = np.full(rows.shape[1], 0.01)
        floor[-6:-3], floor[-3:] = 1e-3, 0.1
        return (rows.std(0) + floor).astype(np.float32)

    def targets_numpy(self, most: int) -> Array:
        """(at most about ``most``, O) valid rows."""
        index = torch.nonzero(self.valid)[:, 0]
        return self.targets[index[:: max(1, len(index) // most)]].float().numpy()

    def fingerprint(self) -> str:
        content = hashlib.sha256(self.targets.numpy().tobytes())
        content.update(self.features[::97].numpy().tobytes())
        return content.hexdigest()


def _centred(features: NDArray[np.floating]) -> NDArray[np.float16]:
    values = np.asarray(features, np.float32)
    return (values - speech_centre(values)).astype(np.float16)


def _padded(parts: list[NDArray[Any]], pad: int) -> NDArray[Any]:
    joined = np.concatenate(parts)
    return np.concatenate([joined, np.zeros((pad, *joined.shape[1:]), joined.dtype)])


def _look(
    general: GeneralModel,
    averages: dict[str, dict[str, Tensor]],
    clips: list[SpokenClip],
    geometry: MouthGeometry,
) -> dict[str, float]:
    """Held-out figures of the averaged weights; the weights in training are put back."""
    if not clips:
        return {}
    own = {"net": _copy(general.net), "closure": _copy(general.closure)}
    general.net.load_state_dict(averages["net"])
    general.closure.load_state_dict(averages["closure"])
    general.net.eval()
    scores = [_lip_r(general, clip, geometry) for clip in clips[:: max(1, len(clips) // 60)]]
    general.net.load_state_dict(own["net"])
    general.closure.load_state_dict(own["closure"])
    return {"lip_r": round(float(np.nanmean(scores)), 4)}


def _lip_r(general: GeneralModel, clip: SpokenClip, geometry: MouthGeometry) -> float:
    predicted, _ = general.predict(np.asarray(clip.features, np.float32))
    expressions = len(geometry.opening)
    truth = np.asarray(clip.expression, np.float32) @ geometry.opening
    return correlation((predicted[:, :expressions] @ geometry.opening)[clip.valid], truth[clip.valid])


def _report(
    general: GeneralModel,
    learnt: list[SpokenClip],
    held_out: list[SpokenClip],
    geometry: MouthGeometry,
    config: GeneralConfig,
    seconds: float,
) -> GeneralReport:
    scores = [(clip.language, _lip_r(general, clip, geometry)) for clip in held_out]
    languages = sorted({language for language, _ in scores})
    by_language = {
        language: round(float(np.mean([r for name, r in scores if name == language])), 4)
        for language in languages
    }
    logits, truth = [np.zeros(0)], [np.zeros(0)]
    for clip in held_out:
        known = np.isfinite(np.asarray(clip.closure, np.float32))
        logits.append(general.predict(np.asarray(clip.features, np.float32))[1][known])
        truth.append(np.asarray(clip.closure, np.float32)[known])
    frames = sum(map(len, learnt))
    return GeneralReport(
        clips=len(learnt),
        hours=round(frames / 90_000, 3),
        speakers=len({clip.speaker for clip in learnt}),
        steps=config.steps,
        lip_r=round(float(np.mean([r for _, r in scores])), 4) if scores else math.nan,
        bilabial_auc=round(_auc(np.concatenate(logits), np.concatenate(truth)), 4),
        lip_r_by_language=by_language,
        seconds=round(seconds, 1),
    )


def _auc(scores: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Chance that a frame with contact scores above one without."""
    positive, negative = scores[truth > 0.9], np.sort(scores[truth < 0.1])
    if not len(positive) or not len(negative):
        return math.nan
    return float(np.searchsorted(negative, positive).mean() / len(negative))
