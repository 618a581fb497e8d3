"""Learn how a person moves when they speak, from the clip's own frames (arXiv 2002.10137, section 3.2, as of today).

Five networks begin as the general model, each is stopped early by the fifth of the clip that it does not learn from,
and a closed-form ridge on hidden states and features stands beside each with a smaller weight: it errs differently.
The mouth's spread is then brought to the person's, the rest of the face and the pose keep the share that held-out
speech explains, and what is left over becomes the person's style. Without a general model the networks begin at random.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from faces.mouth import lip_shape
from faces.track import FaceTrack
from motion.dataset import ClipData, Extractor, cut_clip, prepare, renderings
from motion.features import extract
from motion.general import GeneralModel
from motion.lip_sync import follow
from motion.model import FoldRidges, MotionModel, Regressor
from motion.network import NetworkConfig, SpeechMotionNet, single_thread
from motion.regression import Ridge, context, correlation, folds_of, ridge_path, training_mask
from motion.shift import shifted
from motion.sound_ranges import heard_frames
from motion.spoken_ranges import find_ranges
from motion.style import measure_style
from motion.targets import calmed, lid_mask, mouth_mask
from motion.train import TrainConfig, train_fold
from training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.progress import Progress, Tick, silent

Array = NDArray[np.float32]


@dataclass(frozen=True)
class MotionConfig:
    """How a person's motion is learnt."""

    folds: int = 5
    """Networks, each with another part of the clip held out, 2..10."""
    radius: int = 4
    """Frames on each side that the ridge sees, 0..12."""
    ridge: tuple[float, ...] = (0.3, 1.0, 3.0)
    """Ridge strengths to choose from, relative to the features' energy."""
    ridge_share: float = 0.25
    """Weight of the ridges beside networks that began as the general model, 0..1."""
    ridge_share_from_scratch: float = 0.5
    """The same beside networks that began at random."""
    most_gain: float = 3.0
    """Upper limit of the factor that restores the mouth's spread."""
    guard: int = 4
    """Frames beside a held-out part that are not learnt from."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Of each network."""


@dataclass(frozen=True)
class MotionReport:
    """What the training found; JSON types, stored in the file too."""

    frames: int
    """Frames learnt from."""
    lip_r: float
    """Correlation of the held-out folds' inner-lip opening with the track's."""
    sound_late_ms: int
    """Milliseconds by which the clip's sound was late and was moved forward; negative: it was early; 0: neither."""
    lips_z: float
    """How sure it is that lips and voice belong together (:attr:`motion.lip_sync.LipSync.z`); 0 where it can't be
    told."""
    frames_without_sound: int
    """Frames left out because there is no sound beside them."""
    lag_frames: int
    """Frames that the clip's picture is behind its sound."""
    lag_scores: dict[str, float]
    """Held-out correlation at every lag tried."""
    mouth_gain: float
    """Factor that restored the mouth's spread."""
    explained_rotation: float
    """Share of the head rotation's variance that held-out speech explains."""
    fold_steps: tuple[int, ...]
    """Step at which each fold's network was best."""
    ridge: float
    """Ridge strength chosen."""
    blinks_per_minute: float
    """Of the person."""
    seconds: float
    """Wall time."""


def train_motion(
    track: FaceTrack,
    samples: Array,
    out: Path,
    *,
    config: MotionConfig = MotionConfig(),
    seed: int,
    start: Path | None = None,
    frames: slice | None = None,
    extractor: Extractor = extract,
    checkpoint_dir: Path,
    progress: Progress = silent,
) -> MotionReport:
    """Train a person's motion model and write it to ``out``.

    After each fold a checkpoint is written; a run that was killed loses one fold at most and ends with the same
    weights as one that was not.

    Args:
        track: the clip's fitted face.
        samples: (N,) the clip's sound, 16 kHz in [-1, 1], from the first frame on.
        out: the motion.safetensors to write.
        config: sizes and schedule.
        seed: of the networks and the windows.
        start: a general model (:class:`motion.general.GeneralModel`) to fine-tune, or None.
        frames: learn from these frames only (held-out protocols); all of the track if None.
        extractor: other features than the product's, for comparison; a prediction needs the same.
        checkpoint_dir: where to keep the checkpoint.
        progress: listener.

    Raises:
        NoSound: the sound is silent or absent.
        TooShort: too few frames.
        NoFace: too few frames with a face.
        InvalidPackage: ``start`` does not fit.
    """
    began = time.monotonic()
    clip, sound = cut_clip(track, samples, frames)
    progress(Tick("motion.features", 0, 1))
    general = GeneralModel.load(start) if start is not None else None
    heard = renderings(sound, len(clip), seed, extractor)
    with np.errstate(invalid="ignore"):  # a track without landmarks
        lips, sync = lip_shape(clip.landmarks), None
    lips[~clip.valid] = np.nan
    if extractor is extract:  # the general model knows no other features
        sync = follow(heard[0], lips, np.isfinite(lips).all(1) & heard_frames(sound, len(clip)))
    late_ms = sync.sound_late_ms if sync is not None and sync.verdict == "shifted" else 0
    if late_ms:
        sound = shifted(sound, late_ms)
        heard = renderings(sound, len(clip), seed, extractor)
    learnable = find_ranges(sound, heard[0], lips).learnable(len(clip))
    progress(Tick("motion.features", 1, 1))

    with single_thread():
        data = prepare(clip, heard, general, learnable=learnable)
        nets, steps = _train_folds(data, clip, general, config, seed, checkpoint_dir / "motion.pt", progress)
        learnt = _with_ridges(data, nets, config, general is not None)
        model, report = _assemble(clip, extractor(faster(sound)), data, learnt, general, config)
    report = replace(
        report,
        fold_steps=tuple(steps),
        ridge=learnt.strength,
        sound_late_ms=late_ms,
        lips_z=round(sync.z, 2) if sync is not None else 0.0,
        frames_without_sound=int((~learnable).sum()),
    )
    report = replace(report, seconds=round(time.monotonic() - began, 2))
    model = replace(model, facts=asdict(report))
    model.save(out)
    progress(Tick("motion", config.folds, config.folds, metrics={"lip_r": report.lip_r}))
    return report


def _train_folds(
    data: ClipData,
    clip: FaceTrack,
    general: GeneralModel | None,
    config: MotionConfig,
    seed: int,
    checkpoint: Path,
    progress: Progress,
) -> tuple[list[SpeechMotionNet], list[int]]:
    _, frames, inputs = data.sequences.features.shape
    outputs = data.targets.shape[1]
    network = replace(general.net.config, outputs=outputs) if general else NetworkConfig(inputs, outputs)
    content = hashlib.sha256(
        data.sequences.features.numpy().tobytes() + data.targets.tobytes() + data.valid.tobytes()
    )
    # asdict gives tuples, a checkpoint keeps lists: compare what survives the file.
    fingerprint = {
        "config": repr(config),
        "network": repr(network),
        "seed": seed,
        "data": content.hexdigest(),
    }
    if general is not None:
        weights = b"".join(value.numpy().tobytes() for value in general.net.state_dict().values())
        fingerprint["start"] = hashlib.sha256(weights).hexdigest()
    saved = load_checkpoint(checkpoint, fingerprint=fingerprint)
    states = dict(saved.modules) if saved else {}
    steps = [int(step) for step in saved.state["steps"]] if saved else []
    nets = []
    for number, block in enumerate(folds_of(data.valid, config.folds)):
        progress(Tick("motion", number, config.folds))
        # Each fold has its own seed, so a resumed run draws what an uninterrupted one would.
        fold_seed = seed * 1009 + number
        torch.manual_seed(fold_seed)
        net = general.network_for(clip.expression_names) if general else SpeechMotionNet(network)
        name = f"fold{number}"
        if name in states:
            net.load_state_dict(states[name])
            nets.append(net.eval())
            continue
        held_out = np.zeros(frames, bool)
        held_out[block] = True
        net, step, _ = train_fold(
            net,
            data.sequences,
            torch.from_numpy((training_mask(frames, block, config.guard) & data.valid).astype(np.float32)),
            torch.from_numpy((held_out & data.valid).astype(np.float32)),
            config.train,
            from_general=general is not None,
            generator=torch.Generator().manual_seed(fold_seed),
        )
        nets.append(net)
        steps.append(step)
        states[name] = net.state_dict()
        state = {"fingerprint": fingerprint, "steps": steps}
        save_checkpoint(checkpoint, Checkpoint(number + 1, states, {}, state, torch.get_rng_state()))
    return nets, steps


@dataclass(frozen=True)
class _Learnt:
    regressor: Regressor
    """What predicts from new speech."""
    held_out: Array
    """(T, O) deviation from the mean in the targets' units, each frame by the fold that did not see it."""
    strength: float
    """Of the ridges."""


@torch.no_grad()
def _with_ridges(
    data: ClipData, nets: list[SpeechMotionNet], config: MotionConfig, from_general: bool
) -> _Learnt:
    """A ridge for each fold; the strength is the one whose held-out error, networks included, is least."""
    clean = data.sequences.features[0]  # (T, D)
    frames, share = len(clean), config.ridge_share if from_general else config.ridge_share_from_scratch
    around = context(clean.numpy(), config.radius)
    targets, metric = data.sequences.targets.numpy(), data.sequences.metric.numpy()
    width = 2 * nets[0].config.hidden
    # Hidden states are fewer and smaller than the features around: scaled up to the same total energy.
    loudness = math.sqrt(around.shape[1] / width)
    fitted: list[list[Ridge]] = []
    held_out = np.zeros((len(config.ridge), frames, targets.shape[1]), np.float32)
    for net, block in zip(nets, folds_of(data.valid, len(nets)), strict=True):
        hidden = net.hidden_states(clean[None])
        direct = net.head(hidden)[0].numpy()
        rows = np.concatenate([around, loudness * hidden[0].numpy()], axis=1)
        train = training_mask(frames, block, config.guard) & data.valid
        fitted.append(ridge_path(rows[train], targets[train], config.ridge))
        for which, ridge in enumerate(fitted[-1]):
            held_out[which, block] = share * ridge(rows[block]) + (1 - share) * direct[block]
    errors = [np.square((p - targets)[data.valid] @ metric).sum(1).mean() for p in held_out]
    best = int(np.argmin(errors))
    chosen = [ridges[best] for ridges in fitted]
    cut = around.shape[1]
    ridges = FoldRidges(
        np.mean([ridge.weights[:cut] for ridge in chosen], axis=0, dtype=np.float32),
        np.stack([loudness * ridge.weights[cut:] for ridge in chosen]).astype(np.float32),
        np.mean([ridge.bias for ridge in chosen], axis=0, dtype=np.float32),
    )
    regressor = Regressor(data.normaliser, tuple(nets), ridges, share)
    return _Learnt(regressor, held_out[best] * data.normaliser.target_scale, config.ridge[best])


def _assemble(
    clip: FaceTrack,
    other: Array,
    data: ClipData,
    learnt: _Learnt,
    general: GeneralModel | None,
    config: MotionConfig,
) -> tuple[MotionModel, MotionReport]:
    """What was learnt, brought to the person's spread, and the rest of the person.

    ``other`` are features of sound that no network knows.
    """
    names = clip.expression_names
    valid, expressions, mouth, lids = data.valid, len(names), mouth_mask(names), lid_mask(names)
    held_out = calmed(learnt.held_out, names)
    # How much of the prediction to keep: the regression of held-out truth on held-out prediction.
    predicted = held_out[valid] - held_out[valid].mean(0)
    truth = data.targets[valid] - data.targets[valid].mean(0)
    slope = (predicted * truth).sum(0) / np.maximum((predicted**2).sum(0), 1e-12)
    explained = slope * (predicted * truth).sum(0) / np.maximum((truth**2).sum(0), 1e-12)
    # A few seconds' accident must not pass for speech: less than 4 % explained counts as nothing.
    share = np.where(explained > 0.04, np.clip(slope, 0, 1), 0).astype(np.float32)
    gain = _mouth_gain(learnt.regressor, other, data, held_out, config)
    share[:expressions] = np.where(mouth, gain, share[:expressions])
    share[:expressions] = np.where(lids, 0, share[:expressions])
    contact = general.event_chances(data.raw, data.centre)[:, 0] if general is not None else None
    style = measure_style(clip, data, held_out * share, contact)
    opening = held_out[:, :expressions] @ data.geometry.opening
    report = MotionReport(
        frames=int(valid.sum()),
        lip_r=round(correlation(opening[valid], data.opening[valid]), 4),
        sound_late_ms=0,
        lips_z=0.0,
        frames_without_sound=0,
        lag_frames=data.lag.frames,
        lag_scores={str(k): round(v, 4) for k, v in data.lag.scores.items()},
        mouth_gain=round(gain, 4),
        explained_rotation=round(float(np.clip(explained[expressions : expressions + 3], 0, 1).mean()), 4),
        fold_steps=(),
        ridge=0.0,
        blinks_per_minute=round(60 * style.blinks.rate, 2),
        seconds=0.0,
    )
    model = MotionModel(
        names, learnt.regressor, share, data.lag.frames, data.centre, style, general, facts={}
    )  # fmt: skip
    return model, report


def faster(sound: Array) -> Array:
    """The sound 10 % faster and higher: speech that no network knows, of the same person."""
    return np.asarray(soxr.resample(sound, 11, 10), np.float32)


def _mouth_gain(
    regressor: Regressor, other: Array, data: ClipData, held_out: Array, config: MotionConfig
) -> float:
    """Factor that brings the mouth opening's spread to the person's.

    A held-out fold's prediction is one network's; the mean of all moves less on sound that none of them knows. By how
    much is measured on ``other``, the features of such sound.
    """
    slopes = data.geometry.opening
    expressions = len(slopes)
    parts = [part[:, :expressions] @ slopes for part in regressor.fold_predictions(other)]
    single = float(np.sqrt(np.mean([part.var() for part in parts])))
    together = float(np.mean(parts, axis=0).std())
    speaking = data.valid & (data.activity > 0.5)
    truth = float(data.opening[speaking].std())
    shrink = min(1.0, together / max(single, 1e-9))
    # Coefficients end at 0 and 1, so a larger factor moves the lips less than in proportion: found by iteration.
    deviation = held_out[speaking, :expressions] * shrink
    mean = data.normaliser.target_mean[:expressions]
    gain = 1.0
    for _ in range(5):
        spread = float((np.clip(mean + gain * deviation, 0, 1) @ slopes).std())
        gain = float(np.clip(gain * truth / max(spread, 1e-9), 1.0, config.most_gain))
    return gain
