"""Stage verify: any video -> what its marks say about where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media.decode import read_frames
from media.isolate import run_isolated
from media.limits import ClipLimits, DecodeBudget
from media.probe import probe
from problems import NoVideo
from provenance import manifest, watermark
from training.progress import Progress, Tick, silent
from workers.mark import spelled

FRAMES, RUN = 96, 8
"""Frames that are looked at, and how many of them in a row: a long video is decoded in a few places only."""
FPS = 25.0
MAX_SIDE = 1280
"""Longest side at which they are looked at, px."""
BUDGET = DecodeBudget(cpu_s=300.0, wall_s=300.0, file_mb=64)


def run(
    video: Path, *, anchors: str | None = None, search: bool = True, progress: Progress = silent
) -> dict[str, Any]:
    """Look for both marks. The video may be anybody's, so all of it is read in a limited child process.

    Args:
        anchors: PEM certificates of authorities to trust; without any no signer is trusted.
        search: look for the watermark in a cropped picture, too: some seconds more for a video without one.

    Returns:
        ``c2pa``: :class:`provenance.manifest.ManifestReading` as JSON types, or None; ``watermark``: ``found``,
        ``payload`` (12 hexadecimal digits or None), ``confidence`` 0..1, ``frames`` and ``part``; ``agree``: whether
        the manifest names the number in the pixels, None unless both are there.

    Raises:
        NotFound, NoVideo, UnreadableMedia: it is no video.
        MediaTooLarge: its frames have too many pixels.
    """
    info = probe(video)
    if info.video is None:
        raise NoVideo(f"{video.name} has no picture", remedy="give a video file")
    ClipLimits().check_pixels(info.video.coded_width, info.video.coded_height)
    frames = max(round(info.video.duration_s * FPS), 1)
    progress(Tick("verify", 0, FRAMES))
    return run_isolated(
        read_marks,
        str(video.absolute()),
        frames,
        anchors,
        search,
        memory_mb=BUDGET.memory_mb,
        cpu_s=BUDGET.cpu_s,
        wall_s=BUDGET.wall_s,
        file_mb=BUDGET.file_mb,
        progress=lambda done, total: progress(Tick("verify", done, total)),
    )


def read_marks(path: str, frames: int, anchors: str | None, search: bool, progress: Any) -> dict[str, Any]:
    """What :func:`run` returns, in the child."""
    signed = manifest.read(Path(path), anchors=anchors)
    looked = watermark.read(_spread(Path(path), frames, progress), search=search)
    payload = spelled(looked.payload) if looked.payload is not None else None
    named = (signed.consent or {}).get("watermark") if signed is not None else None
    return {
        "c2pa": signed.as_dict() if signed is not None else None,
        "watermark": {
            "found": payload is not None,
            "payload": payload,
            "confidence": round(looked.confidence, 3),
            "frames": looked.frames,
            "part": [round(each, 3) for each in looked.part] if looked.part else None,
        },
        "agree": None if named is None or payload is None else named == payload,
    }


def _spread(path: Path, frames: int, progress: Any) -> Iterator[NDArray[np.uint8]]:
    """At most ``FRAMES`` frames: all, or runs of them spread over the video."""
    if frames <= FRAMES:
        places = [(0, frames)]
    else:
        starts = np.linspace(0, frames - RUN, FRAMES // RUN).astype(int)
        places = [(int(start), int(start) + RUN) for start in starts]
    done = 0
    for start, stop in places:
        for image in read_frames(path, fps=FPS, max_side=MAX_SIDE, start=start, stop=stop):
            done += 1
            yield image
        progress(done, min(frames, FRAMES))
