"""A clip as training data: features, targets, normalisers, and the clip's lag undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from faces.track import FaceTrack
from motion.features import ACTIVITY, extract, frame_count, speech_centre
from motion.general import GeneralModel
from motion.lag import Lag, estimate_lag, shift_features
from motion.prosody import FRAME
from motion.targets import MouthGeometry, PoseFrame, loss_metric, mouth_geometry
from motion.train import TrainingSet
from problems import NoFace, NoSound, TooShort

Array = NDArray[np.float32]

Extractor = Callable[[Array], Array]
"""(N,) samples -> (ceil(N / 640), D) features in the columns of :mod:`motion.features`."""

LEAST_FRAMES = 50
"""Frames with a face that personalisation needs: two seconds."""
LEAST_SPEECH = 25
"""Frames with speech that it needs: one second."""


@dataclass(frozen=True)
class Normaliser:
    """Features and targets as the networks see them."""

    feature_mean: Array
    """(D,)."""
    feature_scale: Array
    """(D,) positive."""
    target_mean: Array
    """(O,) E expressions, then the pose deviation."""
    target_scale: Array
    """(O,) positive."""

    def features(self, values: Array) -> Array:
        """(T, D) raw -> standardised."""
        return ((values - self.feature_mean) / self.feature_scale).astype(np.float32)

    def targets(self, values: Array) -> Array:
        """(T, O) in their own units -> standardised."""
        return ((values - self.target_mean) / self.target_scale).astype(np.float32)


@dataclass(frozen=True)
class ClipData:
    raw: Array
    """(T, D) features of the clean sound, lag undone, not standardised."""
    sequences: TrainingSet
    targets: Array
    """(T, O) in their own units."""
    valid: NDArray[np.bool_]
    activity: Array
    """(T,) speech activity."""
    centre: Array
    """(D,) of the voice (:func:`motion.features.speech_centre`)."""
    normaliser: Normaliser
    pose: PoseFrame
    geometry: MouthGeometry
    opening: Array
    """(T,) inner-lip opening of the track."""
    lag: Lag


def cut_clip(track: FaceTrack, samples: Array, frames: slice | None) -> tuple[FaceTrack, Array]:
    """The chosen frames and exactly their sound."""
    first, last, step = (frames or slice(None)).indices(len(track))
    if step != 1:
        raise ValueError("frames must be consecutive")
    samples = np.asarray(samples, np.float32).reshape(-1)
    if len(samples) == 0 or float(np.abs(samples).max(initial=0.0)) < 1e-4:
        raise NoSound(
            "the clip's sound is silent, so nothing can be learnt about how the person speaks",
            remedy="record the clip with the microphone on, or use a clip in which the person speaks",
        )
    last = min(last, frame_count(len(samples)))
    count = last - first
    if count < LEAST_FRAMES:
        raise TooShort(
            f"the clip has {max(count, 0)} frames with sound at 25 fps and motion needs {LEAST_FRAMES}",
            remedy="use a longer clip; about 12 seconds is best",
            details={"frames": max(count, 0), "needed": LEAST_FRAMES},
        )
    clip = track.frames(slice(first, last))
    seen = int(clip.valid.sum())
    if seen < LEAST_FRAMES:
        raise NoFace(
            f"a face was found in {seen} of {count} frames and motion needs {LEAST_FRAMES}",
            remedy="use a clip in which the face is seen most of the time",
            details={"missing": np.nonzero(~clip.valid)[0][:200].tolist()},
        )
    sound = samples[first * FRAME : last * FRAME]
    return clip, np.pad(sound, (0, count * FRAME - len(sound)))


def renderings(sound: Array, frames: int, seed: int, extractor: Extractor = extract) -> Array:
    """(A, T, D): the clean sound, then other chunk offsets with a little noise: what the encoder may not depend on."""
    rng = np.random.default_rng([seed, 0xA6])
    level = float(sound.std())
    parts = [extractor(sound)]
    for offset, snr_db in ((32, None), (64, 25.0), (16, 32.0)):
        shifted = np.concatenate([np.zeros(offset * FRAME, np.float32), sound])
        if snr_db is not None:
            shifted = shifted + (rng.standard_normal(len(shifted)) * level * 10 ** (-snr_db / 20)).astype(
                np.float32
            )
        parts.append(extractor(shifted.astype(np.float32))[offset:])
    return np.stack([part[:frames] for part in parts])


def prepare(
    clip: FaceTrack,
    heard: Array,
    general: GeneralModel | None,
    lag: Lag | None = None,
    learnable: NDArray[np.bool_] | None = None,
) -> ClipData:
    """Features, targets and normalisers of a cut clip.

    Args:
        clip: T frames.
        heard: (A, T, D) their sound, see :func:`renderings`.
        general: the start, whose normalisers are then used; None for the clip's own.
        lag: the clip's, if it is known already; None estimates it.
        learnable: (T,) frames whose sound is there, see :func:`motion.spoken_ranges.find_ranges`; None for all.

    Raises:
        NoSound: there is next to no speech, or next to no sound beside the face.
    """
    names = clip.expression_names
    clean = heard[0]
    if int((clean[:, ACTIVITY] > 0.5).sum()) < LEAST_SPEECH:
        raise NoSound(
            f"speech was heard in {int((clean[:, ACTIVITY] > 0.5).sum())} of {len(clip)} frames",
            remedy="use a clip in which the person speaks clearly for most of the time",
            details={"needed": LEAST_SPEECH},
        )
    valid = clip.valid if learnable is None else clip.valid & learnable
    if int(valid.sum()) < LEAST_FRAMES:
        raise NoSound(
            f"{int(valid.sum())} frames show the face and have sound, and motion needs {LEAST_FRAMES}",
            remedy="use a clip whose sound lasts as long as its picture",
            details={"frames": int(valid.sum()), "needed": LEAST_FRAMES},
        )
    pose = PoseFrame.of(clip.motion, valid)
    targets = np.concatenate([clip.motion.expression, pose.deviation(clip.motion)], axis=1).astype(np.float32)
    floor = np.concatenate([np.full(len(names), 0.01), np.full(3, 1e-3), np.full(3, 0.1)])
    target_mean, target_scale = targets[valid].mean(0), targets[valid].std(0) + floor
    centre = speech_centre(clean)
    if general is None:
        # One common floor: a tap that hardly moves in this clip must not shout in another recording.
        scale = clean.std(0)
        feature_mean, feature_scale = clean.mean(0), scale + 0.1 * float(np.median(scale))
    else:
        feature_mean, feature_scale = general.feature_mean + centre, general.feature_scale
        columns = general.columns(names)
        known = columns >= 0
        target_scale[known] = general.target_scale[columns[known]]
    normaliser = Normaliser(
        *(np.asarray(v, np.float32) for v in (feature_mean, feature_scale, target_mean, target_scale))
    )
    geometry = mouth_geometry(clip)
    opening = (clip.motion.expression @ geometry.opening + geometry.rest).astype(np.float32)
    lag = lag or estimate_lag(normaliser.features(clean), opening, valid)
    shifted = np.stack([shift_features(part, lag.frames) for part in heard])
    metric = loss_metric(geometry, names, targets[valid] - target_mean, normaliser.target_scale)
    sequences = TrainingSet(
        torch.from_numpy(normaliser.features(shifted)),
        torch.from_numpy(normaliser.targets(targets)),
        torch.from_numpy(metric),
    )
    activity = shifted[0][:, ACTIVITY]
    return ClipData(
        shifted[0],
        sequences,
        targets,
        valid,
        activity,
        centre,
        normaliser,
        pose,
        geometry,
        opening,
        lag,
    )
