"""Where a dataset keeps its clips: LRW, HDTF, MEAD, VoxCeleb2, or any folder of clips.

Nothing is downloaded: these datasets have licences that a user must have got from their owners. Only the names of
folders and files are known here.

===========  =====================================================================================================
``lrw``      ``WORD/{train,val,test}/WORD_00001.mp4``, one word in 29 frames, speakers unknown (Chung & Zisserman 2016)
``hdtf``     ``[SUBSET/]RD_Radio1_000.mp4``, ``WDA_BarackObama_000.mp4``: cut by the owners' lists (Zhang et al. 2021)
``mead``     ``M003/video/front/angry/level_1/001.mp4``, sound ``M003/audio/angry/level_1/001.m4a`` (Wang et al. 2020)
``voxceleb`` ``[dev/]mp4/id00012/21Uxsk56VDQ/00001.mp4``, sound in ``aac/`` beside ``mp4/`` or in the clip itself
             (Chung et al. 2018)
``clips``    any folder of video files; the first subfolder names the speaker, or the file where there is none
===========  =====================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from problems import InvalidParameter, NotFound

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
"""Endings of a clip."""


@dataclass(frozen=True)
class RecordedClip:
    """One clip of a dataset."""

    video: Path
    """The video file."""
    sound: Path | None
    """Its sound, where that is a file of its own."""
    speaker: str
    """Who speaks, as far as the names tell."""
    language: str
    """BCP 47 code, or empty."""


def list_clips(folder: Path, layout: str = "auto") -> tuple[str, list[RecordedClip]]:
    """All clips of a dataset, in the order of their paths.

    Args:
        folder: the dataset's root.
        layout: a name from the table above; ``auto`` takes the first that fits.

    Returns:
        the layout's name and the clips, at least one.

    Raises:
        NotFound: there is no such folder.
        InvalidParameter: the layout is unknown, or the folder holds no clip in it.
    """
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}", remedy="check the path")
    if layout not in (*LAYOUTS, "auto"):
        raise InvalidParameter(
            f"there is no layout {layout!r}",
            remedy=f"use one of auto, {', '.join(LAYOUTS)}",
            details={"field": "layout"},
        )
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEOS and path.is_file())
    for name in LAYOUTS if layout == "auto" else (layout,):
        clips = [clip for path in files for clip in LAYOUTS[name](folder, path)]
        if clips:
            return name, clips
    raise InvalidParameter(
        f"{folder} holds no clip in the layout {layout} ({len(files)} video files in all)",
        remedy="name the folder that the dataset was unpacked into, or use --layout clips for a plain folder",
        details={"field": "layout", "videos": len(files)},
    )


def _lrw(root: Path, path: Path) -> Iterator[RecordedClip]:
    word, part = path.parent.parent.name, path.parent.name
    if part in ("train", "val", "test") and re.fullmatch(rf"{re.escape(word)}_\d{{5}}", path.stem):
        yield RecordedClip(path, None, f"lrw/{path.stem}", "en")


def _hdtf(root: Path, path: Path) -> Iterator[RecordedClip]:
    if found := re.fullmatch(r"((?:RD|WDA|WRA)_.+?)(?:_\d+)?", path.stem):
        yield RecordedClip(path, None, f"hdtf/{found[1]}", "en")


def _mead(root: Path, path: Path) -> Iterator[RecordedClip]:
    parts = path.relative_to(root.parent).parts
    for at in range(len(parts) - 5):
        speaker, video, camera, emotion, level, _ = parts[at : at + 6]
        if video == "video" and camera == "front" and re.fullmatch(r"[MW]\d{3}", speaker):
            person = root.parent.joinpath(*parts[: at + 1])
            sound = person / "audio" / emotion / level / f"{path.stem}.m4a"
            yield RecordedClip(path, sound if sound.is_file() else None, f"mead/{speaker}", "en")


def _voxceleb(root: Path, path: Path) -> Iterator[RecordedClip]:
    video, speaker = path.parent.parent.parent, path.parent.parent.name
    if video.name == "mp4" and re.fullmatch(r"id\d{5}", speaker):
        sound = video.parent / "aac" / speaker / path.parent.name / f"{path.stem}.m4a"
        yield RecordedClip(path, sound if sound.is_file() else None, f"voxceleb/{speaker}", "")


def _clips(root: Path, path: Path) -> Iterator[RecordedClip]:
    parts = path.relative_to(root).parts
    yield RecordedClip(path, None, parts[0] if len(parts) > 1 else path.stem, "")


LAYOUTS: dict[str, Callable[[Path, Path], Iterator[RecordedClip]]] = {
    "lrw": _lrw,
    "mead": _mead,
    "voxceleb": _voxceleb,
    "hdtf": _hdtf,
    "clips": _clips,
}
"""What a file of the dataset is, by layout; the strictest first."""
