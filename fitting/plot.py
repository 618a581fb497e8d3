"""A fitted track over time in one picture: head, place, mouth, eyes, gaze and error."""

from __future__ import annotations

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from faces.track import FaceTrack
from fitting.figures import FitFigures

WIDTH, ROW, DPI = 1280, 180, 100
"""Width of the picture and height of each curve in pixels, and the dots per inch that text is sized by."""
OBSERVED, FITTED, THIRD = "#222222", "#d62728", "#1f77b4"


def plot_track(track: FaceTrack, figures: FitFigures, title: str = "") -> NDArray[np.uint8]:
    """Draw the curves; frames without a face are shaded grey, blinks yellow.

    Returns:
        (H, 1280, 3) uint8 RGB.
    """
    seconds = np.arange(len(track)) / track.fps
    rows = 7
    figure = Figure(figsize=(WIDTH / DPI, (rows * ROW + 40) / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    head, place, jaw, lips, eyes, gaze, error = figure.subplots(rows, 1, sharex=True)

    for name, values, colour in zip(
        ("pitch", "yaw", "roll"), track.motion.euler().T, (THIRD, FITTED, OBSERVED), strict=True
    ):
        head.plot(seconds, values, color=colour, label=name)
    _name(head, "head turn, degrees")
    where = track.motion.translation
    usual = np.median(where, axis=0)
    for n, (name, colour) in enumerate(
        (("x, to the picture's right", FITTED), ("y, down", THIRD), ("z, away from the camera", OBSERVED))
    ):
        place.plot(seconds, where[:, n] - usual[n], color=colour, label=f"{name} (0 is {usual[n]:.0f})")
    _name(place, "head place, mm")
    jaw.plot(seconds, track.motion.expression[:, track.expression_names.index("jawOpen")], color=FITTED)
    _name(jaw, "jawOpen, 0 to 1")
    for axis, curves, name in ((lips, figures.lip_gap, "lip gap"), (eyes, figures.eyes, "eye opening")):
        axis.plot(seconds, curves[0], color=OBSERVED, label="observed in the picture")
        axis.plot(seconds, curves[1], color=FITTED, label="of the fitted head")
        axis.set_ylim(bottom=0)
        _name(axis, f"{name}, % IOD")
    gaze.plot(seconds, np.degrees(track.motion.gaze[:, 0]), color=FITTED, label="to the picture's right")
    gaze.plot(seconds, np.degrees(track.motion.gaze[:, 1]), color=THIRD, label="up")
    _name(gaze, "gaze, degrees")
    for name, values, colour in (
        ("all landmarks", figures.error, OBSERVED),
        ("lips", figures.lips_error, FITTED),
        ("lids", figures.lids_error, THIRD),
    ):
        error.plot(seconds, values, color=colour, label=name)
    error.set_ylim(bottom=0)
    _name(error, "error, % IOD")
    error.set_xlabel("seconds    (IOD: distance between the outer corners of the eyes)", fontsize=8)

    for axis in (head, place, jaw, lips, eyes, gaze, error):
        axis.margins(x=0)
        axis.grid(alpha=0.25)
        axis.tick_params(labelsize=8, bottom=axis is error)
        for line in axis.lines:
            line.set_linewidth(1.1)
        for start, stop in _runs(~track.valid):
            axis.axvspan(
                (start - 0.5) / track.fps, (stop - 0.5) / track.fps, color="#999999", alpha=0.35, lw=0
            )
    for n, (start, stop) in enumerate(figures.blinks):
        label = "blink" if n == 0 else None
        eyes.axvspan(
            (start - 0.5) / track.fps, (stop - 0.5) / track.fps, color="#ffcc00", alpha=0.4, lw=0, label=label
        )
    for axis in (head, place, lips, eyes, gaze, error):
        axis.legend(
            loc="lower right", bbox_to_anchor=(1, 1.0), borderaxespad=0, fontsize=8, ncols=4, frameon=False
        )
    head.set_title(title or "fitted track", fontsize=10, loc="left")
    figure.align_ylabels()
    figure.subplots_adjust(
        left=0.06, right=0.99, top=1 - 30 / (rows * ROW), bottom=40 / (rows * ROW), hspace=0.3
    )
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 RGB as the bytes of a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _name(axis: Axes, text: str) -> None:
    axis.set_ylabel(text, fontsize=8)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True))
