"""Pictures for docs/motion.md: ``python -m benchmarks.motion_pictures FIT_FOLDER ... -o docs/motion``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.head_motion import FPS, angles_of, plot_head
from benchmarks.motion import fitted_clip, held_out_from, learn
from evaluation.curves import correlation
from faces.mouth import mouth_opening
from motion.general import SHIPPED
from motion.prosody import FRAME
from motion.targets import mouth_geometry


def draw(clips: list[Path], out: Path) -> None:
    """``lips.png``: the held-out inner-lip opening of each clip, real and predicted, over the sound;
    ``head-CLIP.png``: the real head beside three samples.

    Args:
        clips: folders that ``likeness fit`` wrote, or clips.
        out: folder for the pictures.
    """
    from matplotlib.figure import Figure

    out.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(12, 3.2 * len(clips)), layout="constrained")
    axes: Any = figure.subplots(len(clips), 1, squeeze=False)
    with tempfile.TemporaryDirectory() as folder:
        for row, clip in enumerate(clips):
            track, sound = fitted_clip(clip, Path(folder) / clip.stem)
            first = held_out_from(len(track), 300)
            samples, held_out = sound[first * FRAME :], track.frames(slice(first, len(track)))
            predictor = learn(track, sound, slice(0, first), Path(folder) / "work", SHIPPED, seed=0)
            geometry = mouth_geometry(track)
            motions = [predictor.predict(samples, seed=seed)[: len(held_out)] for seed in range(3)]
            said = motions[0].expression @ geometry.opening + geometry.rest
            real = np.where(held_out.valid, mouth_opening(held_out.landmarks), np.nan)
            _draw_lips(axes[row][0], real, said, samples, clip.stem)
            plot_head(
                angles_of(held_out.motion),
                [angles_of(motion) for motion in motions],
                clip.stem,
                out / f"head-{clip.stem}.png",
            )
    figure.savefig(out / "lips.png", dpi=90)


def _draw_lips(axes: Any, real: NDArray[Any], said: NDArray[Any], samples: NDArray[Any], title: str) -> None:
    time = np.arange(len(real)) / FPS
    loud = np.abs(samples[: len(real) * FRAME]).reshape(len(real), FRAME).max(1)
    axes.fill_between(time, -0.06, -0.06 + 0.05 * loud / max(float(loud.max()), 1e-6), color="0.8")
    axes.plot(time, real, "k", lw=1.2, label="real")
    axes.plot(time, said, "C3", lw=1.2, label=f"predicted, r = {correlation(real, said):.2f}")
    axes.set_title(f"{title}: inner-lip opening of frames that were not learnt, inter-ocular distances")
    axes.set_xlabel("seconds")
    axes.legend(loc="upper right")


if __name__ == "__main__":
    where = sys.argv.index("-o") if "-o" in sys.argv else len(sys.argv)
    draw([Path(name) for name in sys.argv[1:where]], Path((sys.argv[where + 1 :] or ["docs/motion"])[0]))
