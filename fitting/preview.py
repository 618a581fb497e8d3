"""A video to look at a fit with: the clip with landmarks on the left, the fitted head over it on the right.

The picture is cut to the part of the clip in which the head moves, and stays there. One frame after the other is read,
drawn and encoded, so memory does not grow with the clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.camera import to_camera
from faces.clay import draw_clay
from faces.morphable import MorphableModel, gaze_matrices
from faces.registry import model_named
from faces.track import FaceTrack
from fitting.figures import FitFigures
from media.encode import VideoWriter
from training.progress import Progress, silent, ticking

Image = NDArray[np.uint8]

WIDTH, HEIGHT, TOP, BOTTOM, GAP = 1280, 720, 40, 36, 8
"""The picture and its margins for captions, pixels."""
PAPER, INK, MUTED, ALARM = (24, 26, 30), (235, 235, 235), (150, 155, 165), (255, 120, 90)
DOT, RING = (255, 225, 60), (60, 220, 255)
"""Colours of observed and of fitted landmarks, RGB."""
GAZE, GAZE_MM = (255, 80, 60), 70.0
"""Colour and length of the lines along which the eyes look."""
_SUBPIXEL = 4  # fractional bits that OpenCV's drawing takes


@dataclass(frozen=True)
class PreviewConfig:
    """How the preview is drawn."""

    margin: float = 0.3
    """What is shown round the landmarks of all frames, as a share of their extent."""
    opacity: float = 0.8
    """Of the fitted head over the clip, 0..1."""
    max_zoom: float = 3.0
    """A small face is enlarged at most this much."""
    crf: float = 20
    """x264's quality, 0 to 51."""


def write_preview(
    frames: Iterable[Image],
    track: FaceTrack,
    figures: FitFigures,
    out: Path,
    *,
    sound: Path | None = None,
    model: MorphableModel | None = None,
    config: PreviewConfig | None = None,
    progress: Progress = silent,
) -> None:
    """Write the preview as mp4.

    Args:
        frames: (H, W, 3) uint8 RGB pictures of the clip, at least one per frame of the track; read once, in order.
        track: the fitted track.
        figures: its figures.
        out: the file to write.
        sound: a file whose sound is added.
    """
    config = config or PreviewConfig()
    pictures = preview_frames(frames, track, figures, model=model, config=config)
    with VideoWriter(out, WIDTH, HEIGHT, fps=track.fps, crf=config.crf, audio=sound) as writer:
        for picture in ticking(pictures, progress, "fit.preview", len(track)):
            writer.write(picture)


def preview_frames(
    frames: Iterable[Image],
    track: FaceTrack,
    figures: FitFigures,
    *,
    model: MorphableModel | None = None,
    config: PreviewConfig | None = None,
) -> Iterator[Image]:
    """Yield the preview's (720, 1280, 3) uint8 RGB pictures; the arguments are those of :func:`write_preview`."""
    config, model = config or PreviewConfig(), model or model_named(track.model)
    view = _View.of(track, figures, config)
    neutral = model.neutral(track.identity, track.offsets)
    blinking = np.zeros(len(track), bool)
    for start, stop in figures.blinks:
        blinking[start:stop] = True
    page = _page(view)
    for t, frame in zip(range(len(track)), frames, strict=False):
        picture, shown = page.copy(), view.cut(frame)
        left, right = (picture[slot] for slot in view.slots)
        left[:], right[:] = shown, shown
        _draw_head(right, view, track, model, neutral, t, opacity=config.opacity, eyes_open=not blinking[t])
        if track.valid[t]:
            _draw_landmarks(left, view.place(track.landmarks[t]), view.place(figures.points[t]))
        _caption(picture, track, figures, t, blinking=bool(blinking[t]))
        yield picture


@dataclass(frozen=True)
class _View:
    """Which part of the clip is shown, and where."""

    left: int
    top: int
    width: int
    height: int
    """The part, in the clip's pixels."""
    zoom: float

    @classmethod
    def of(cls, track: FaceTrack, figures: FitFigures, config: PreviewConfig) -> _View:
        low, high = figures.points.min((0, 1)), figures.points.max((0, 1))
        margin = config.margin * (high - low).max()
        limit = np.array([track.camera.width, track.camera.height])
        low = np.floor(low - margin).clip(0, limit - 2).astype(int)
        high = np.ceil(high + margin).clip(low + 2, limit).astype(int)
        width, height = (high - low).tolist()
        room = (WIDTH - 3 * GAP) / 2, HEIGHT - TOP - BOTTOM
        return cls(
            int(low[0]), int(low[1]), width, height, min(room[0] / width, room[1] / height, config.max_zoom)
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a panel in pixels."""
        return max(round(self.height * self.zoom), 1), max(round(self.width * self.zoom), 1)

    @property
    def slots(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns of both panels in the picture."""
        height, width = self.size
        top = TOP + (HEIGHT - TOP - BOTTOM - height) // 2
        spare = ((WIDTH - 3 * GAP) // 2 - width) // 2
        starts = GAP + spare, WIDTH // 2 + GAP // 2 + spare
        rows = slice(top, top + height)
        return (rows, slice(starts[0], starts[0] + width)), (rows, slice(starts[1], starts[1] + width))

    def cut(self, frame: Image) -> Image:
        part = frame[self.top : self.top + self.height, self.left : self.left + self.width]
        how = cv2.INTER_AREA if self.zoom < 1 else cv2.INTER_CUBIC
        return cv2.resize(part, self.size[::-1], interpolation=how).astype(np.uint8)

    def place(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """(..., 2) pixels of the clip -> pixels of a panel."""
        return (np.asarray(points, np.float64) - [self.left, self.top]) * self.zoom


def _draw_head(
    panel: Image,
    view: _View,
    track: FaceTrack,
    model: MorphableModel,
    neutral: NDArray[np.float32],
    t: int,
    *,
    opacity: float,
    eyes_open: bool,
) -> None:
    motion = track.motion[t : t + 1]
    shape = model.vertices(neutral, motion.expression, motion.gaze)[0]
    placed = to_camera(shape, motion.rotation[0], motion.translation[0])
    draw_clay(panel, view.place(track.camera.project(placed)), placed, model, opacity)
    if eyes_open:
        _draw_gaze(panel, view, track, model, neutral, t)


def _draw_gaze(
    panel: Image, view: _View, track: FaceTrack, model: MorphableModel, neutral: NDArray[np.float32], t: int
) -> None:
    motion = track.motion[t : t + 1]
    ahead = np.array([[0, 0, 12.0], [0, 0, GAZE_MM]])
    turn = gaze_matrices(motion.gaze)[0]
    for eye in model.eyeballs:
        centre = (neutral[eye].min(0) + neutral[eye].max(0)) / 2
        ray = to_camera(ahead @ turn.T + centre, motion.rotation[0], motion.translation[0])
        start, end = _fixed(view.place(track.camera.project(ray)))
        cv2.line(panel, start, end, GAZE, 2, cv2.LINE_AA, _SUBPIXEL)
        cv2.circle(panel, end, 4 << _SUBPIXEL, GAZE, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL)


def _draw_landmarks(
    panel: Image, observed: NDArray[np.float64], fitted: NDArray[np.float64], radius: float = 3.5
) -> None:
    for points, size, colour, thickness in (
        (fitted, radius, RING, 1),
        (observed, 1.3, DOT, cv2.FILLED),
    ):
        for at in _fixed(points):
            cv2.circle(panel, at, round(size * 2**_SUBPIXEL), colour, thickness, cv2.LINE_AA, _SUBPIXEL)


def _fixed(points: NDArray[np.float64]) -> list[tuple[int, int]]:
    """(N, 2) pixels, centres at + 0.5 -> what OpenCV draws at: centres at integers, in fixed point."""
    return [(x, y) for x, y in np.round((points - 0.5) * 2**_SUBPIXEL).astype(int).tolist()]


def _page(view: _View) -> Image:
    """What does not change: the ground and the captions above."""
    page = np.full((HEIGHT, WIDTH, 3), PAPER, np.uint8)
    left, right = (slot[1].start for slot in view.slots)
    line = TOP - 14
    cv2.circle(page, (left + 8, line - 5), 3, DOT, cv2.FILLED, cv2.LINE_AA)
    end = _write(page, "found in the picture", left + 18, line)
    cv2.circle(page, (end + 26, line - 5), 5, RING, 1, cv2.LINE_AA)
    _write(page, "the same points of the fitted 3D head", end + 38, line)
    end = _write(page, "the fitted 3D head", right, line)
    cv2.line(page, (end + 24, line - 5), (end + 44, line - 5), GAZE, 2, cv2.LINE_AA)
    cv2.circle(page, (end + 44, line - 5), 4, GAZE, cv2.FILLED, cv2.LINE_AA)
    _write(page, "where the eyes look", end + 54, line)
    return page


def _caption(picture: Image, track: FaceTrack, figures: FitFigures, t: int, *, blinking: bool) -> None:
    line = HEIGHT - 13
    end = _write(picture, f"{t / track.fps:6.2f} s   frame {t}", GAP, line)
    if not track.valid[t]:
        _write(picture, "no face found here: the motion is interpolated", end + 40, line, ALARM)
        return
    jaw = track.motion.expression[t, track.expression_names.index("jawOpen")]
    text = (
        f"points off by {figures.error[t]:.1f} %  lips {figures.lips_error[t]:.1f} %  "
        f"lids {figures.lids_error[t]:.1f} %  of the distance between the eyes     jaw open {jaw:.2f}"
    )
    end = _write(picture, text, end + 40, line, MUTED)
    if blinking:
        _write(picture, "blink", end + 30, line, DOT)


def _write(
    picture: Image, text: str, x: int, y: int, colour: tuple[int, int, int] = INK, scale: float = 0.55
) -> int:
    """Write at a baseline; returns where the text ends, in pixels."""
    cv2.putText(picture, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
    return x + int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0])
