"""Stage motion: track and sound -> motion.safetensors, resumable fold by fold."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from faces.track import FaceTrack
from media.atomic import replacing
from media.audio import read_wav
from motion.general import SHIPPED
from motion.personalize import MotionConfig, MotionReport, train_motion
from problems import NoSound
from training.progress import Progress, silent
from training.runtime import limit_threads, seed_everything
from workers.presets import preset_named
from workers.stages.validate import REPORT as INSPECTION
from workers.voice_findings import training_findings

REPORT = "motion.json"
"""What was found while the motion was learnt: the fields of :class:`motion.personalize.MotionReport`, and ``findings``
as an inspection has them."""


def run(
    work: Path,
    *,
    preset: str,
    seed: int,
    start: Path | None = SHIPPED,
    progress: Progress = silent,
    config: MotionConfig | None = None,
) -> MotionReport:
    """Learn how the person moves from ``work/track.safetensors`` and ``work/audio.wav``; leaves :data:`REPORT`, too.

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
    (work / REPORT).unlink(missing_ok=True)
    report = train_motion(
        FaceTrack.load(work / "track.safetensors"),
        read_wav(sound),
        work / "motion.safetensors",
        config=config or MotionConfig(),
        seed=seed,
        start=start,
        checkpoint_dir=work / "checkpoints" / "motion",
        progress=progress,
    )
    # The clip's lag as it was filmed: most of it was undone when the clip was validated.
    report = replace(report, sound_late_ms=report.sound_late_ms + _undone_ms(work / INSPECTION))
    content = {**asdict(report), "findings": [asdict(finding) for finding in training_findings(report)]}
    with replacing(work / REPORT) as inside:
        inside.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return report


def _undone_ms(inspection: Path) -> int:
    """By how much validation moved the sound; a folder that was made by hand has no inspection."""
    if not inspection.is_file():
        return 0
    voice = json.loads(inspection.read_text(encoding="utf-8")).get("voice") or {}
    return int(voice.get("shifted_ms", 0))
