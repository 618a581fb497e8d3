"""Stage 1: is the clip usable, and if so, onto the inner clock."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from fitting.inspect import Inspection
from media.atomic import replacing
from media.audio import read_wav, write_wav
from media.limits import ClipLimits
from media.normalise import normalise_clip
from motion.shift import shifted
from training.progress import Progress, Tick, silent
from workers.inspection import inspect

VIDEO, AUDIO, REPORT = "clip.mp4", "audio.wav", "inspection.json"
"""What the stage writes into the work folder; the report comes last: where it is, the stage is done."""


def run(
    clip: Path,
    work: Path,
    *,
    limits: ClipLimits | None = None,
    audio_track: int | None = None,
    rotate: int = 0,
    accept: Collection[str] = (),
    progress: Progress = silent,
) -> Inspection:
    """Inspect a clip, refuse what can't be trained on, write clip.mp4, audio.wav and inspection.json.

    A sound that is late or early by a lag of which there is no doubt is moved to the lips (``voice.shifted_ms``).

    Args:
        clip: any video file.
        work: the personalisation's folder; made if it is not there.
        limits: see :class:`media.limits.ClipLimits`.
        audio_track: which of the clip's sound tracks, from 1; None for the one with the voice.
        rotate: degrees clockwise to turn the picture by, beside what the file says: 0, 90, 180 or 270.
        accept: codes of findings that are no error to somebody who knows better, see :mod:`workers.inspection`.
        progress: gets ticks of the stages ``inspect`` and ``validate``.

    Raises:
        Problem: the first error of the inspection, or what decoding met. Nothing is left in ``work`` then.
    """
    limits = limits or ClipLimits()
    inspection = inspect(
        clip, accept=accept, limits=limits, audio_track=audio_track, rotate=rotate, progress=progress
    )
    inspection.raise_if_untrainable()
    work.mkdir(parents=True, exist_ok=True)
    (work / REPORT).unlink(missing_ok=True)
    normalise_clip(
        clip,
        work / VIDEO,
        work / AUDIO,
        limits=limits,
        audio_track=audio_track,
        rotate=rotate,
        progress=lambda done, total: progress(Tick("validate", done, total, "normalising the clip")),
    )
    if inspection.voice is not None and inspection.voice.shifted_ms and (work / AUDIO).is_file():
        write_wav(work / AUDIO, shifted(read_wav(work / AUDIO), inspection.voice.shifted_ms))
    with replacing(work / REPORT) as inside:
        inside.write_text(json.dumps(inspection.as_dict(), indent=1), encoding="utf-8")
    return inspection
