"""What a fitted track says of itself: how far its landmarks are off, lips and lids against the observed ones, blinks.

All lengths are in % of the inter-ocular distance (between the eyes' outer corners) of the same frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.morphable import MorphableModel
from faces.mouth import LEFT_EYE, LIPS, RIGHT_EYE, eye_aperture, inter_ocular_distance, mouth_opening
from faces.registry import model_named
from faces.track import FaceTrack
from fitting.fit import project_landmarks

Floats = NDArray[np.float64]

LIDS = (*RIGHT_EYE, *LEFT_EYE)
LONGEST_BLINK_S = 0.6
"""Lids that stay down longer are a look at the floor."""
_BASELINE_S, _CLOSED = 0.8, 0.6


@dataclass(frozen=True)
class FitFigures:
    """Curves over the T frames of a track; NaN where a frame has no face."""

    points: Floats
    """(T, 478, 2) fitted landmarks in pixels, in every frame."""
    error: Floats
    """(T,) mean distance of all fitted landmarks to the observed ones, % IOD."""
    lips_error: Floats
    """(T,) the same over the lips."""
    lids_error: Floats
    """(T,) the same over the lids."""
    lip_gap: tuple[Floats, Floats]
    """(T,) observed and fitted opening of the inner lips, % IOD."""
    eyes: tuple[Floats, Floats]
    """(T,) observed and fitted opening of the lids, mean of both eyes, % IOD."""
    blinks: tuple[tuple[int, int], ...]
    """First frame and the frame after the last of each blink, found in the observed eyes."""

    @classmethod
    def of(cls, track: FaceTrack, model: MorphableModel | None = None) -> FitFigures:
        """Measure a track."""
        points = project_landmarks(track, model or model_named(track.model)).astype(np.float64)
        observed = np.where(track.valid[:, None, None], track.landmarks, np.nan).astype(np.float64)
        seen = np.where(track.valid[:, None, None], points, np.nan)
        error = 100 * np.linalg.norm(seen - observed, axis=-1) / inter_ocular_distance(observed)[:, None]
        eyes = 100 * eye_aperture(observed), 100 * eye_aperture(seen)
        return cls(
            points=points,
            error=error.mean(1),
            lips_error=error[:, list(LIPS)].mean(1),
            lids_error=error[:, list(LIDS)].mean(1),
            lip_gap=(100 * mouth_opening(observed), 100 * mouth_opening(seen)),
            eyes=eyes,
            blinks=find_closures(eyes[0], track.fps),
        )

    def summary(self) -> dict[str, Any]:
        """Frames with a face, median and 95th percentile of the errors, agreement of lips and eyes, blinks."""
        errors = {"all": self.error, "lips": self.lips_error, "lids": self.lids_error}
        return {
            "frames": len(self.error),
            "frames_with_face": int(np.isfinite(self.error).sum()),
            "errors": {
                name: {"median": _rounded(values, 50), "p95": _rounded(values, 95)}
                for name, values in errors.items()
            },
            "lip_gap_r": round(agreement(*self.lip_gap), 3),
            "eye_r": round(agreement(*self.eyes), 3),
            "blinks": len(self.blinks),
        }


def agreement(observed: Floats, fitted: Floats) -> float:
    """Pearson's r over the frames with both values, -1..1; NaN when one of the curves does not move."""
    both = np.isfinite(observed) & np.isfinite(fitted)
    x, y = observed[both], fitted[both]
    if len(x) < 5 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def find_closures(aperture: Floats, fps: float) -> tuple[tuple[int, int], ...]:
    """Blinks: short runs of frames in which the eyes are open less than 0.6 of how far they were around then.

    Args:
        aperture: (T,) opening of the lids in any unit, NaN where unknown.
        fps: frames per second.

    Returns:
        (first frame, frame after the last) of each.
    """
    reach = max(round(_BASELINE_S * fps), 1)
    padded = np.pad(aperture, reach, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    usual = np.array([np.nanpercentile(row, 75) if np.isfinite(row).any() else np.nan for row in around])
    closed = np.concatenate([[False], aperture < _CLOSED * usual, [False]])
    changes = np.flatnonzero(closed[1:] != closed[:-1])
    runs = zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True)
    return tuple((start, stop) for start, stop in runs if stop - start <= LONGEST_BLINK_S * fps)


def _rounded(values: Floats, percentile: float) -> float:
    known = values[np.isfinite(values)]
    return round(float(np.percentile(known, percentile)), 2) if len(known) else float("nan")
