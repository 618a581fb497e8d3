"""Stage fit: clip.mp4 -> track.safetensors, texture.safetensors, and a portrait.jpg for people to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from faces.registry import model_named
from fitting.appearance import learn_appearance
from fitting.fit import fit_landmarks, track_clip
from fitting.photometric import PhotometricFit
from fitting.texture import TextureConfig, unwrap_texture
from media.frames import FrameStore
from problems import NoFace
from rendering.portraits import portrait, write_picture
from training.progress import Progress, silent
from training.runtime import limit_threads, seed_everything
from workers.presets import preset_named

PORTRAIT = "portrait.jpg"
MIN_FRAMES = 50
"""Fewest frames with a face that a person can be learnt from (two seconds)."""


def run(
    work: Path,
    *,
    frames: int | None = None,
    preset: str,
    seed: int,
    device: str = "auto",
    progress: Progress = silent,
    model: str | None = None,
) -> None:
    """Fit the first ``frames`` frames of ``work/clip.mp4`` (the preset's number by default).

    Args:
        model: name of an installed morphable model; the shipped head by default.

    Raises:
        NotFound: no model of that name is installed.
        NoFace: too few frames with a face.
    """
    settings, chosen = preset_named(preset), model_named(model)
    limit_threads()
    seed_everything(seed)
    clip = FrameStore.from_clip(work / "clip.mp4", stop=min(frames or settings.frames, settings.frames))
    landmarks = track_clip(clip, len(clip), progress)
    found = int(landmarks.found.sum())
    if found < MIN_FRAMES:
        raise NoFace(
            f"a face was found in {found} of {len(clip)} frames; at least {MIN_FRAMES} are needed",
            remedy="film the face from the front, well lit and at least a fifth of the picture high, for 12 seconds",
            details={"frames": np.nonzero(~landmarks.found)[0][:100].tolist()},
        )
    track = fit_landmarks(landmarks, clip.size, model=chosen, progress=progress)
    # Pixels say more finely than landmarks where the face is, and how it is lit; the texture needs both.
    track = PhotometricFit(track, clip, model=chosen, progress=progress).refine(track, clip, progress)
    texture = unwrap_texture(
        track, clip, model=chosen, config=TextureConfig(size=settings.texture_px), progress=progress
    )
    texture = learn_appearance(track, texture, clip, model=chosen, progress=progress)
    texture.save(work / "texture.safetensors")
    write_picture(lambda: portrait(track, clip), work / PORTRAIT)
    track.save(work / "track.safetensors")
