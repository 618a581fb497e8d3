"""What every solve of a track's frames shares: its landmarks as observations, the model's rows, and the windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from faces.morphable import MorphableModel
from faces.mouth import FACE_OVAL, LEFT_EYE, LEFT_IRIS, LIPS, RIGHT_EYE, RIGHT_IRIS, inter_ocular_distance
from fitting.landmarks import LANDMARKS
from fitting.solver import LandmarkModel, Observations

Floats = NDArray[np.float64]

IRISES = (*RIGHT_IRIS, *LEFT_IRIS)

EXPRESSION_SIGMA = {
    "jawOpen": 0.5, "eyeBlink": 0.5, "mouthFunnel": 0.4, "mouthPucker": 0.5, "mouthSmile": 0.4, "mouthClose": 0.25,
    "mouthLowerDown": 0.4, "mouthUpperUp": 0.4, "mouthStretch": 0.3, "mouthPress": 0.3, "mouthFrown": 0.3,
    "mouthRoll": 0.3, "mouthLeft": 0.25, "mouthRight": 0.25, "mouthDimple": 0.2, "mouthShrug": 0.2, "brow": 0.4,
    "eyeSquint": 0.25, "eyeWide": 0.3, "eyeLook": 0.15, "noseSneer": 0.2, "jaw": 0.12, "cheek": 0.12, "tongue": 0.0,
    "mh:neck": 0.0, "mh:nose": 0.0, "mh:": 0.12,
}  # fmt: skip
"""Prior standard deviation by the longest matching prefix. The common shapes of speech are loose and the rare ones
tight: under a flat prior speech is explained by jawForward and mouthRoll, which sound can't predict."""

WINDOW, OVERLAP = 400, 24
"""Frames solved together, and those that neighbouring windows share."""


def landmark_weights() -> Floats:
    """(478,) relative weights: lips and lids up, the silhouette down (it slides over the skin), irises out."""
    weights = np.ones(LANDMARKS)
    weights[list(FACE_OVAL)] = 0.4
    weights[list(LIPS)] = 2.0
    weights[[*RIGHT_EYE, *LEFT_EYE]] = 2.5
    weights[list(IRISES)] = 0.0
    return weights


def expression_sigma(name: str) -> float:
    """Prior standard deviation of a named coefficient; 0 switches it off."""
    matching = [prefix for prefix in EXPRESSION_SIGMA if name.startswith(prefix)]
    return EXPRESSION_SIGMA[max(matching, key=len)] if matching else 0.12


def landmark_model(
    model: MorphableModel, neutral: NDArray[np.floating], *, identity: bool = False
) -> LandmarkModel:
    """The model's landmark rows round a neutral head (V, 3); without identity unless asked for."""
    basis = model.identity_basis if identity else model.identity_basis[..., :0]
    return LandmarkModel(
        neutral=model.detected_points(neutral).astype(np.float64),
        identity_basis=model.landmark_rows(basis).astype(np.float64),
        expression_basis=model.landmark_rows(model.expression_basis).astype(np.float64),
        expression_sigma=np.array([expression_sigma(name) for name in model.expression_names]),
    )


def observe(landmarks: NDArray[np.floating], index: NDArray[np.int64], *, coupled: bool) -> Observations:
    """Landmarks (T, 478, 2) of the frames ``index``; uncoupled frames know nothing of their neighbours."""
    gaps = np.diff(index).astype(np.float64) if coupled else np.full(max(len(index) - 1, 0), 1e6)
    return Observations(
        landmarks[index].astype(np.float64), landmark_weights(), stable_scale(landmarks, index), gaps
    )


def stable_scale(landmarks: NDArray[np.floating], index: NDArray[np.int64]) -> Floats:
    """(len(index),) inter-ocular distance unaffected by head turns: the largest within half a second, pixels."""
    distances = inter_ocular_distance(landmarks.astype(np.float64))
    padded = np.pad(np.where(np.isfinite(distances), distances, 0.0), 12, mode="edge")
    result: Floats = np.lib.stride_tricks.sliding_window_view(padded, 25).max(1)[index]
    return result


def windows(total: int, size: int = WINDOW, overlap: int = OVERLAP) -> Iterator[tuple[slice, slice]]:
    """Overlapping windows over ``total`` frames: the frames of each, and which of its results to keep."""
    begin = 0
    while True:
        end = min(begin + size, total)
        yield slice(begin, end), slice(0 if begin == 0 else overlap // 2, None)
        if end == total:
            return
        begin = end - overlap


def spread(total: int, count: int) -> NDArray[np.int64]:
    """At most ``count`` indices spread evenly over ``total``."""
    return np.unique(np.linspace(0, total - 1, min(total, count)).round().astype(np.int64))


def fill_gaps(values: NDArray[np.floating], found: NDArray[np.int64], total: int) -> NDArray[np.float32]:
    """(len(found), C) values of some frames -> (total, C); frames between are interpolated, so motion stays smooth."""
    index = np.arange(total)
    return np.column_stack([np.interp(index, found, column) for column in values.T]).astype(np.float32)
