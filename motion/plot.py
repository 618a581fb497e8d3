"""A predicted motion over its sound in one picture: waveform, lips, head and eyes, folded into rows if it is long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from faces.track import Motion
from media.atomic import replacing

Array = NDArray[np.float32]

FPS = 25.0
BAND_S = 20.0
"""Seconds that one band of curves shows."""
MOST_BANDS = 12
"""A longer sound is cut to so many bands; the rest looks alike."""


def plot_motion(
    motion: Motion,
    names: tuple[str, ...],
    opening: Array,
    activity: Array,
    samples: Array,
    out: Path,
    title: str = "",
) -> None:
    """Draw the curves as a PNG, written atomically.

    Args:
        motion: T frames.
        names: the E expression names.
        opening: (T,) inner-lip gap, share of the inter-ocular distance.
        activity: (T,) where speech is heard, 0..1; shaded.
        samples: (N,) the sound at 16 kHz.
        out: the file.
        title: above everything.
    """
    seconds = len(motion) / FPS
    length = min(BAND_S, max(seconds, 1.0))
    bands = min(MOST_BANDS, max(1, int(np.ceil(seconds / length))))
    figure = Figure(figsize=(13, 6.4 * bands), dpi=90, layout="constrained")
    axes: Any = figure.subplots(5 * bands, 1, squeeze=False)[:, 0]
    curves = _curves(motion, names, opening)
    times = np.arange(len(motion)) / FPS
    for band in range(bands):
        start, stop = band * length, (band + 1) * length
        frames = slice(int(start * FPS), int(stop * FPS) + 1)
        wave, *rest = axes[5 * band : 5 * band + 5]
        part = samples[int(start * 16_000) : int(stop * 16_000)][:: max(1, int(length * 16_000 / 6000))]
        wave.plot(
            np.linspace(start, start + len(part) * (length / 6000 if len(part) else 0), len(part)),
            part,
            lw=0.5,
        )
        wave.fill_between(
            times[frames],
            -1,
            1,
            where=activity[frames] > 0.3,
            color="#2ca02c",
            alpha=0.15,
            lw=0,
            label="speech",
        )
        peak = max(float(np.abs(samples).max(initial=0)), 1e-3)
        wave.set_ylim(-peak, peak)
        wave.set_ylabel("sound", fontsize=8)
        for axis, (label, lines) in zip(rest, curves.items(), strict=True):
            for name, values in lines.items():
                axis.plot(times[frames], values[frames], lw=1.1, label=name)
            axis.set_ylabel(label, fontsize=8)
            axis.legend(loc="upper right", fontsize=7, ncols=4, frameon=False)
        for axis in (wave, *rest):
            axis.set_xlim(start, stop)
            axis.grid(alpha=0.25)
            axis.tick_params(labelsize=7, labelbottom=axis is rest[-1])
        rest[-1].set_xlabel("seconds", fontsize=8)
    shown = "" if bands * length >= seconds else f" (first {bands * length:.0f} of {seconds:.0f} s)"
    axes[0].set_title(title + shown, fontsize=10, loc="left")
    canvas = FigureCanvasAgg(figure)
    with replacing(out) as file:
        canvas.print_png(str(file))


def _curves(motion: Motion, names: tuple[str, ...], opening: Array) -> dict[str, dict[str, Array]]:
    def coefficient(*wanted: str) -> Array:
        index = [names.index(name) for name in wanted if name in names]
        return motion.expression[:, index].mean(1) if index else np.zeros(len(motion), np.float32)

    pitch, yaw, roll = motion.euler().T
    return {
        "lips": {
            "lip gap, 10 x IOD": 10 * np.asarray(opening, np.float32),
            "jawOpen": coefficient("jawOpen"),
            "rounded": coefficient("mouthPucker", "mouthFunnel"),
            "wide": coefficient("mouthStretchLeft", "mouthStretchRight", "mouthSmileLeft", "mouthSmileRight"),
        },
        "head, degrees": {"pitch": pitch, "yaw": yaw, "roll": roll},
        "lids": {
            "eyes shut": coefficient("eyeBlinkLeft", "eyeBlinkRight"),
            "brows up": coefficient("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
        },
        "gaze, degrees": {
            "to the picture's right": np.degrees(motion.gaze[:, 0]),
            "up": np.degrees(motion.gaze[:, 1]),
        },
    }
