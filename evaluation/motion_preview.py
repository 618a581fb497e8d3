"""How the head moves and the jaw opens in a video, at a glance: a small picture for a page, light or dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.track import Motion
from media.atomic import replacing

WIDTH, HEIGHT, DPI = 600, 240, 100
"""Pixels, and the dots per inch that text is sized by."""
MOST_POINTS = 1200
"""Points of a curve: of a longer video every so manieth frame is drawn."""
_INK = "#8a8f98"  # as far from white as from near-black: the ground is transparent
_COLOURS = {"pitch": "#3b8eea", "yaw": "#e5642d", "roll": "#35a36b", "jaw": "#a074d6"}


class MotionCurves:
    """Collects what the picture shows while a motion streams by, so that hours of it need no room.

    Args:
        names: the E expression names.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._jaw = names.index("jawOpen") if "jawOpen" in names else None
        self._euler: list[NDArray[np.float32]] = []
        self._opening: list[NDArray[np.float32]] = []

    def add(self, motion: Motion) -> None:
        """The next frames."""
        self._euler.append(motion.euler())
        jaw = np.zeros(len(motion), np.float32) if self._jaw is None else motion.expression[:, self._jaw]
        self._opening.append(np.array(jaw))

    def watching(
        self, chunks: Iterator[tuple[Motion, NDArray[np.integer]]]
    ) -> Iterator[tuple[Motion, NDArray[np.integer]]]:
        """The same chunks; each is added as it passes."""
        for motion, source in chunks:
            self.add(motion)
            yield motion, source

    def draw(self, out: Path, *, fps: float = 25.0) -> None:
        """Write the PNG, whole or not at all: turns of the head in degrees above, the jaw (0..1) below."""
        # A second to import, and few dubs want it.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        euler = np.concatenate([np.zeros((0, 3), np.float32), *self._euler])
        jaw = np.concatenate([np.zeros(0, np.float32), *self._opening])
        step = max(1, -(-len(jaw) // MOST_POINTS))
        seconds = np.arange(len(jaw))[::step] / fps
        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
        canvas = FigureCanvasAgg(figure)
        head, mouth = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for name, values in zip(("pitch", "yaw", "roll"), euler[::step].T, strict=True):
            head.plot(seconds, values, color=_COLOURS[name], lw=1.2, label=name)
        mouth.fill_between(seconds, jaw[::step], color=_COLOURS["jaw"], lw=0, alpha=0.7)
        mouth.set_ylim(0, max(0.2, float(jaw.max(initial=0))))
        head.legend(
            loc="lower right", bbox_to_anchor=(1, 0.98), borderaxespad=0, fontsize=7, ncols=3, frameon=False,
            labelcolor=_INK, handlelength=1.2,
        )  # fmt: skip
        for axis, label in ((head, "head, degrees"), (mouth, "jaw open")):
            axis.set_ylabel(label, fontsize=7, color=_INK)
            axis.margins(x=0)
            axis.grid(alpha=0.25, color=_INK, lw=0.5)
            axis.patch.set_alpha(0)
            axis.tick_params(labelsize=7, colors=_INK, length=2)
            for side in axis.spines.values():
                side.set_color(_INK)
                side.set_linewidth(0.5)
        figure.align_ylabels()
        mouth.set_xlabel("seconds", fontsize=7, color=_INK)
        figure.patch.set_alpha(0)
        figure.subplots_adjust(left=0.085, right=0.985, top=0.91, bottom=0.16, hspace=0.18)
        with replacing(out) as inside:
            canvas.print_png(str(inside))


def draw_motion(motion: Motion, names: tuple[str, ...], out: Path, *, fps: float = 25.0) -> None:
    """The picture of a whole motion; see :class:`MotionCurves`."""
    curves = MotionCurves(names)
    curves.add(motion)
    curves.draw(out, fps=fps)
