"""Stage motion: track and sound -> motion.safetensors, resumable fold by fold."""

from __future__ import annotations

from pathlib import Path

from faces.track import FaceTrack
from media.audio import read_wav
from motion.general import SHIPPED
from motion.personalize import MotionConfig, MotionReport, train_motion
from problems import NoSound
from training.progress import Progress, silent
from training.runtime import limit_threads, seed_everything
from workers.presets import preset_named


def run(
    work: Path,
    *,
    preset: str,
    seed: int,
    start: Path | None = SHIPPED,
    progress: Progress = silent,
    config: MotionConfig | None = None,
) -> MotionReport:
    """Learn how the person moves from ``work/track.safetensors`` and ``work/audio.wav``.

    Args:
        start: general weights to begin from beside a start from scratch; None for scratch alone.
        config: overrides the training (tests and benchmarks); every preset uses the same, it takes seconds.

    Raises:
        NoSound: the clip has no sound.
    """
    preset_named(preset)
    limit_threads()
    seed_everything(seed)
    sound = work / "audio.wav"
    if not sound.exists():
        raise NoSound(
            "the clip has no sound, so nothing can be learnt about how the person speaks",
            remedy="use a clip with sound, in which the person speaks",
        )
    return train_motion(
        FaceTrack.load(work / "track.safetensors"),
        read_wav(sound),
        work / "motion.safetensors",
        config=config or MotionConfig(),
        seed=seed,
        start=start,
        checkpoint_dir=work / "checkpoints" / "motion",
        progress=progress,
    )
