"""Figures over all frames that were looked at: what :class:`FaceFigures` says, and which frames stand behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitting.inspect.blur import detail_kept
from fitting.inspect.chart import face_chart
from fitting.inspect.config import InspectConfig
from fitting.inspect.cover import colourless_lips, covered_shares
from fitting.inspect.light import light_curve, light_drift, light_steps, without_turns
from fitting.inspect.report import FaceFigures
from fitting.inspect.sight import Sight


@dataclass(frozen=True)
class Marks:
    """Frames at 25 fps that show something."""

    light: tuple[int, ...]
    """First frames after a sudden change of light."""
    covered: dict[str, tuple[int, ...]]
    """Region -> frames in which it is covered."""
    moved: tuple[int, ...]
    """Blurred by motion."""
    soft: tuple[int, ...]
    """Out of focus, judged by the clip's own sharp frames."""

    @property
    def any_covered(self) -> tuple[int, ...]:
        """Frames with a covered region."""
        return tuple(sorted(set().union(*self.covered.values())))


def face_figures(
    sights: list[Sight], frames: int, config: InspectConfig
) -> tuple[FaceFigures, Marks] | tuple[None, None]:
    """Sum up the frames that were looked at; (None, None) when no mesh was found in any.

    Args:
        sights: in order.
        frames: of the whole clip, at 25 fps.
        config: thresholds.
    """
    seen = [sight for sight in sights if sight.seen]
    if not seen:
        return None, None
    index = np.array([sight.index for sight in seen])

    def marked(which: NDArray[np.bool_]) -> tuple[int, ...]:
        return tuple(index[which].tolist())

    def middle(name: str) -> float:
        return round(float(np.nanmedian([getattr(sight, name) for sight in seen])), 4)

    def span(name: str) -> tuple[float, float]:
        low, high = np.nanpercentile([getattr(sight, name) for sight in seen], [5, 95])
        return round(float(low), 1), round(float(high), 1)

    chart = face_chart()
    charts = np.stack([sight.chart for sight in seen if sight.chart is not None])
    curve = light_curve(charts, chart)
    light = without_turns(curve, np.array([s.yaw for s in seen]), np.array([s.pitch for s in seen]))
    steps = light_steps(light)
    most, least = detail_kept(np.stack([sight.detail for sight in seen if sight.detail is not None]))
    moved = (most > config.motion_floor) & (
        least < np.minimum(config.motion_detail, config.motion_ratio * most)
    )
    soft = (most < config.soft_detail) & ~moved
    covered = {
        name: marked(share > config.covered_cells)
        for name, share in covered_shares(charts, chart, curve).items()
    }
    marks = Marks(marked(steps > config.max_light_step), covered, marked(moved), marked(soft))
    lips = colourless_lips(charts, chart)
    mouth = np.array([sight.mouth for sight in seen])
    low, high, widest = np.percentile(mouth, [5, 95, 98])
    share = len(seen) / len(sights)
    return FaceFigures(
        share=round(share, 4),
        usable_frames=round(share * frames),
        counts=tuple(sight.count for sight in sights),
        iod_px=round(middle("iod"), 1),
        box_px=tuple(np.median([sight.box for sight in seen], axis=0).round(1).tolist()),
        sharpness=middle("sharpness"),
        brightness=round(middle("brightness"), 1),
        yaw_deg=span("yaw"),
        pitch_deg=span("pitch"),
        mouth_range=round(float(high - low), 4),
        mouth_widest=round(float(widest), 4),
        mouth_open=round(float((mouth >= config.open_mouth).mean()), 4),
        blinks=_blinks(np.array([sight.eyes for sight in seen]), config.closed_eyes),
        light_step=round(float(steps.max()), 3),
        light_drift=round(light_drift(light), 3),
        covered=round(len(marks.any_covered) / len(seen), 4),
        colourless_lips=None if lips is None else round(lips, 4),
        motion_blur=round(len(marks.moved) / len(seen), 4),
        soft=round(len(marks.soft) / len(seen), 4),
    ), marks


def _blinks(eyes: NDArray[np.float64], closed: float) -> int:
    """(T,) lid openings -> runs under ``closed`` of the usual opening."""
    shut = eyes < closed * np.percentile(eyes, 90)
    return int(np.count_nonzero(np.diff(np.r_[False, shut].astype(int)) == 1))
