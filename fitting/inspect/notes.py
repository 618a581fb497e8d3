"""What is said of a clip's frame rate, and of what was done to read it: nothing that stands in the way."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fitting.inspect.clip import repeats
from fitting.inspect.config import InspectConfig
from fitting.inspect.report import Finding
from media.probe import MediaInfo
from media.survey import FPS, Survey

_CLOSURE_MS = 80
"""How long lips stay closed in p, b and m, about."""


def rate_findings(survey: Survey, config: InspectConfig) -> list[Finding]:
    """Too few different pictures a second, by the file's word or by what is seen."""
    video = survey.info.video
    if video is None or not len(survey.thumbnails):
        return []
    declared, seen = video.fps, pictures_a_second(survey.thumbnails, config.frozen_frames)
    repeated = seen < min(declared, FPS) - 3
    shown = seen if repeated else declared
    if shown >= config.good_fps:
        return []
    gap = 1000 / max(shown, 0.1)
    said = f"the clip has {declared:.3g} frames a second"
    if repeated:
        said = f"the clip shows about {seen:.0f} different pictures a second, though it has {declared:.3g} frames"
    lost = (
        "most closures of the lips fall between two of them"
        if gap > _CLOSURE_MS
        else "less is seen of the lips than of 25"
    )
    return [
        Finding(
            "low_frame_rate",
            "warning",
            f"{said}: {gap:.0f} ms lie between two pictures, and {lost}",
            "film at 25 or 30 frames a second (more light helps: in the dark cameras slow down)",
            facts={"fps": round(declared, 2), "pictures_a_second": round(seen, 1)},
        )
    ]


def pictures_a_second(thumbnails: NDArray[np.uint8], frozen: int) -> float:
    """Different pictures a second of what is shown at 25; stretches of ``frozen`` and more repeats are left out."""
    same = repeats(thumbnails)
    if not len(same):
        return FPS
    edges = np.flatnonzero(np.diff(np.r_[0, same.astype(int), 0]))
    runs = [end - start for start, end in zip(edges[::2], edges[1::2], strict=True)]
    left_out = sum(run for run in runs if run >= frozen)
    counted = len(same) - left_out
    return FPS * float(1 - (sum(runs) - left_out) / counted) if counted else FPS


def note_findings(media: MediaInfo) -> list[Finding]:
    """Hints: how the file was read where that is not plain."""
    found: list[Finding] = []
    video, audio = media.video, media.audio
    if video is not None and video.interlaced:
        found.append(
            Finding(
                "interlaced",
                "hint",
                "the video is interlaced: each frame holds two moments, line by line; it is deinterlaced",
                "nothing need be done; film progressive (25p or 30p, not 50i or 60i) for twice the lines",
            )
        )
    if audio is not None and audio.choice == "voice":
        found.append(
            Finding(
                "sound_track_chosen",
                "hint",
                f"the file's usual sound track holds no voice: track {audio.track} of {audio.tracks} is used",
                "choose another one with --audio-track (in the API: audio_track) if that is wrong",
                facts={"track": audio.track, "tracks": audio.tracks},
            )
        )
    if audio is not None and audio.mix != "mean":
        found.append(
            Finding(
                "out_of_phase",
                "hint",
                f"the two channels of the sound are out of phase: the {audio.mix} one is used alone",
                "nothing need be done; check the cables or the editor's phase switch next time",
            )
        )
    return found
