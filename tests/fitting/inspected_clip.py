"""Clips with sound, small enough to be inspected in a second, and what an inspection says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fitting.inspect import InspectConfig, Inspection, inspect_clip
from tests.fitting.moving_face import moving_face
from tests.media.generated import tone, write_media

Picture = Callable[[int], NDArray[np.uint8]]
QUICK = InspectConfig(samples=30)
FRAMES = 90


def speech(seconds: float, level: float = 0.3, noise: float = 0.001) -> NDArray[np.float32]:
    """Syllables: a tone that comes and goes, over a little noise."""
    samples = tone(seconds, level=level)
    gate = np.sin(2 * np.pi * 3 * np.arange(len(samples)) / 48000) > 0
    hiss = np.random.default_rng(0).normal(0, noise, samples.shape)
    return (samples * gate[:, None] + hiss).astype(np.float32)


def clip_of(
    folder: Path,
    picture: Picture = moving_face,
    frames: int = FRAMES,
    *,
    sound: Any = "speech",
    **settings: Any,
) -> Path:
    samples = speech(frames / 25) if isinstance(sound, str) else sound
    options = {"preset": "ultrafast", "crf": "16"}
    return write_media(folder / "clip.mp4", picture, frames, sound=samples, options=options, **settings)


def look(clip: Path) -> Inspection:
    return inspect_clip(clip, config=QUICK)


def codes(inspection: Inspection, severity: str) -> set[str]:
    return {finding.code for finding in inspection.findings if finding.severity == severity}
