"""What a general model does on speakers that it has not heard: without a person, and adapted to one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from motion.corpus import SpokenClip
from motion.general import GeneralModel
from motion.regression import correlation
from motion.targets import MouthGeometry

Array = NDArray[np.float32]

GUARD = 12
"""Frames between what is shown of a person and what is asked."""


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
    """Mean over held-out clips of the correlation of the inner-lip opening with the truth, without any person."""
    lip_r_adapted: float
    """The same on the last third of the clips, adapted in closed form to the rest."""
    bilabial_auc: float
    """Area under the ROC curve of the lips' contact on held-out clips; NaN where nobody knows the sounds."""
    speaking_auc: float
    """The same of speaking."""
    lip_r_by_language: dict[str, float] = field(default_factory=dict)
    """The first by language."""
    seconds: float = 0.0
    """Wall time."""


def measure(
    general: GeneralModel,
    learnt: list[SpokenClip],
    held_out: list[SpokenClip],
    geometry: MouthGeometry,
    *,
    steps: int,
    seconds: float,
) -> GeneralReport:
    """The figures of a trained model; NaN where no clip was held out."""
    by_language: dict[str, list[float]] = {}
    logits: list[NDArray[np.floating]] = [np.zeros((0, 2))]
    truth: list[NDArray[np.floating]] = [np.zeros((0, 2))]
    for clip in held_out:
        predicted, events = general.predict(np.asarray(clip.features, np.float32))
        by_language.setdefault(clip.language, []).append(_lip_r(predicted, clip, geometry))
        unknown = np.full(len(clip), np.nan)
        logits.append(events)
        truth.append(np.column_stack([clip.closure, unknown if clip.speaking is None else clip.speaking]))
    scores, known = np.concatenate(logits), np.concatenate(truth).astype(np.float32)
    frames = sum(map(len, learnt))
    every = [r for values in by_language.values() for r in values]
    return GeneralReport(
        clips=len(learnt),
        hours=round(frames / 90_000, 3),
        speakers=len({clip.speaker for clip in learnt}),
        steps=steps,
        lip_r=round(float(np.mean(every)), 4) if every else math.nan,
        lip_r_adapted=round(adapted_lip_r(general, held_out, geometry), 4),
        bilabial_auc=round(_auc(scores[:, 0], known[:, 0]), 4),
        speaking_auc=round(_auc(scores[:, 1], known[:, 1]), 4),
        lip_r_by_language={k: round(float(np.mean(v)), 4) for k, v in sorted(by_language.items())},
        seconds=round(seconds, 1),
    )


def adapted_lip_r(general: GeneralModel, clips: list[SpokenClip], geometry: MouthGeometry) -> float:
    """Mean correlation on the last third of each clip of a second or more, adapted to the first two thirds."""
    scores = []
    for clip in clips:
        cut = 2 * len(clip) // 3
        known = clip.valid & (np.arange(len(clip)) < cut)
        if len(clip) - cut - GUARD < 25 or not known.any():
            continue
        values = np.concatenate([clip.expression, clip.pose], axis=1).astype(np.float32)
        features = np.asarray(clip.features, np.float32)
        predicted = general.adapted_to(features, values - values[known].mean(0), known)
        asked = np.arange(len(clip)) >= cut + GUARD
        scores.append(_lip_r(predicted, clip, geometry, asked))
    return float(np.mean(scores)) if scores else math.nan


def _lip_r(
    predicted: Array, clip: SpokenClip, geometry: MouthGeometry, where: NDArray[np.bool_] | None = None
) -> float:
    counted = clip.valid if where is None else clip.valid & where
    truth = np.asarray(clip.expression, np.float32) @ geometry.opening
    return correlation((predicted[:, : len(geometry.opening)] @ geometry.opening)[counted], truth[counted])


def _auc(scores: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Chance that a frame where it is so scores above one where it is not; NaN where only one kind is known."""
    positive, negative = scores[truth > 0.9], np.sort(scores[truth < 0.1])
    if not len(positive) or not len(negative):
        return math.nan
    return float(np.searchsorted(negative, positive).mean() / len(negative))
