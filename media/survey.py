"""One pass over a clip for those who must judge it: thumbnails of all frames, some frames whole, the sound's
figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from media.container import reading, require_video
from media.decode import ToRgb, resampled, timed_frames, video_origin
from media.interlace import deinterlaced, find_fields
from media.isolate import stream_isolated
from media.limits import ClipLimits
from media.probe import MediaInfo, read_info
from media.sound import read_sound
from problems import NoSound, Problem, UnreadableMedia, problem_from_dict

FPS = 25.0
THUMBNAIL = 96
"""Longest side of a thumbnail, px."""
_WINDOW_S = 0.02


@dataclass(frozen=True)
class SoundFigures:
    """How loud and how clean a sound is, over windows of 20 ms; dB of full scale."""

    seconds: float
    """Seconds of sound beside the picture."""
    peak_dbfs: float
    """Largest sample."""
    level_dbfs: float
    """Root mean square of the louder half of the windows."""
    noise_dbfs: float
    """10th percentile of the windows' levels."""
    snr_db: float
    """90th percentile over the 10th: rough, since pauses are taken for noise."""
    clipped: float
    """Share of windows with at least three samples in a row at the peak, 0..1."""


@dataclass(frozen=True)
class SurveyFrame:
    """A frame to look at closely."""

    index: int
    """Its number at 25 fps."""
    image: NDArray[np.uint8]
    """(H, W, 3) RGB, upright, longest side at most ``max_side``."""
    sampled: bool = True
    """Whether it is one of the evenly spread ones; False for those that only follow the mouth."""


@dataclass(frozen=True)
class Survey:
    """What the pass found; it comes last."""

    info: MediaInfo
    """The file."""
    thumbnails: NDArray[np.uint8]
    """(T, h, w) grey, longest side 96 px, one for each frame at 25 fps that was looked at."""
    sound: SoundFigures | None
    """None when the clip has no sound."""
    speech: NDArray[np.int16] | None
    """(N,) the sound at 16 kHz, sample 640 k at frame k; None when the clip has none, or when nothing was followed."""
    refused: Problem | None
    """Set when the file can be read but is not decoded (too large, cut off, without video): no thumbnails
    then."""


def survey_clip(
    clip: Path,
    *,
    limits: ClipLimits,
    samples: int,
    max_side: int,
    audio_track: int | None = None,
    rotate: int = 0,
    followed: int = 0,
) -> Iterator[MediaInfo | SurveyFrame | Survey]:
    """Decode a clip once, in a limited child process.

    Args:
        clip: any video file.
        limits: see :class:`media.limits.ClipLimits`; only its first ``max_seconds`` are looked at.
        samples: about how many frames to yield whole, evenly spread.
        max_side: longest side of those, px.
        audio_track: which of its sound tracks, from 1; None for the one with the voice.
        rotate: degrees clockwise to turn the picture by, beside what the file says: 0, 90, 180 or 270.
        followed: at most so many frames are yielded beside those, close enough together to follow a mouth
            (:func:`followed_frames`), and the sound with the survey.

    Yields:
        the :class:`MediaInfo`, then :class:`SurveyFrame` s in order, then one :class:`Survey`.

    Raises:
        NotFound, UnreadableMedia, DecodeTimeout, MediaTooLarge.
        InvalidParameter: there is no such sound track, or no such turn.
    """
    for item in stream_isolated(
        look,
        str(Path(clip).absolute()),
        limits,
        samples,
        max_side,
        audio_track,
        rotate,
        followed,
        budget=limits.budget,
    ):
        if item["kind"] == "info":
            info = MediaInfo.from_dict(item["info"])
            yield info
        elif item["kind"] == "frame":
            yield SurveyFrame(int(item["index"]), item["image"], bool(item["sampled"]))
        else:
            yield Survey(
                info=info,
                thumbnails=item["thumbnails"],
                sound=SoundFigures(**item["sound"]) if item["sound"] else None,
                speech=item["speech"],
                refused=problem_from_dict(item["refused"]) if item["refused"] else None,
            )


def followed_frames(frames: int, most: int) -> frozenset[int]:
    """Every second frame, in whole runs: lips move slowly enough for that, and it halves the work.

    Args:
        frames: of the clip, at 25 fps.
        most: frames to choose; a longer clip is followed in four stretches, from its beginning to its end.
    """
    if frames <= 2 * most:
        return frozenset(range(0, frames, 2)) if most else frozenset()
    starts = np.linspace(0, frames - most // 2, 4).round().astype(int).tolist()
    return frozenset(start + offset for start in starts for offset in range(0, most // 2, 2))


def look(
    path: str,
    limits: ClipLimits,
    samples: int,
    max_side: int,
    audio_track: int | None = None,
    rotate: int = 0,
    followed: int = 0,
) -> Iterator[dict[str, Any]]:
    """:func:`survey_clip`'s child side."""
    clip = Path(path)
    info = MediaInfo.from_dict(read_info(path, audio_track))
    refused = _refusal(clip, info, limits)
    fields = None
    if refused is None and info.video is not None:
        fields = find_fields(clip, limits.max_pixels)
        info = replace(info, video=replace(info.video.turned(rotate), interlaced=fields is not None))
    yield {"kind": "info", "info": info.as_dict()}
    if refused is not None or info.video is None:
        nothing = np.zeros((0, 1, 1), np.uint8)
        yield {
            "kind": "survey",
            "thumbnails": nothing,
            "sound": None,
            "speech": None,
            "refused": refused,
        }
        return
    seconds = min(info.video.duration_s, limits.max_seconds or limits.max_duration_s)
    stop = max(1, round(seconds * FPS))
    wanted = frozenset(np.unique(np.linspace(0, stop - 1, min(stop, samples)).round().astype(int)).tolist())
    watched = followed_frames(stop, followed)
    thumbnails = []
    origin = video_origin(clip, limits.max_pixels)
    with (
        reading(clip) as container,
        ToRgb(max_side, rotate=rotate) as whole,
        ToRgb(THUMBNAIL, fast=True, rotate=rotate) as small,
    ):
        stream = require_video(container, clip.name)
        timed = deinterlaced(timed_frames(container, stream, 0.0, limits.max_pixels), fields)
        for k, frame in resampled(timed, FPS, 0, stop):
            limits.check_pixels(frame.width, frame.height)
            thumbnails.append(small(frame, stream).mean(-1).round().astype(np.uint8))
            if k in wanted or k in watched:
                yield {"kind": "frame", "index": k, "image": whole(frame, stream), "sampled": k in wanted}
    sound = sound_figures(clip, info, origin, len(thumbnails) / FPS) if info.audio is not None else None
    heard = sound is not None and followed > 0
    yield {
        "kind": "survey",
        "thumbnails": np.stack(thumbnails),
        "sound": asdict(sound) if sound is not None else None,
        "speech": _speech(clip, info, origin, len(thumbnails) / FPS) if heard else None,
        "refused": None,
    }


def _speech(clip: Path, info: MediaInfo, origin_s: float, seconds: float) -> NDArray[np.int16]:
    """The sound as training gets it."""
    track = info.audio.track if info.audio is not None else None
    sound = read_sound(clip, rate=16000, origin_s=origin_s, stop_s=seconds, track=track)
    pieces = [piece[:, 0] for piece in sound]
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    return np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)


def _refusal(clip: Path, info: MediaInfo, limits: ClipLimits) -> dict[str, Any] | None:
    try:
        limits.check_bytes(clip.stat().st_size)
        with reading(clip) as container:
            require_video(container, clip.name)
        if info.video is not None:
            limits.check_duration(info.video.duration_s)
            limits.check_frame_rate(info.video.fps)
            limits.check_pixels(info.video.coded_width, info.video.coded_height)
        info.check_complete(clip.name)
    except Problem as problem:
        return problem.as_dict()
    return None


def sound_figures(clip: Path, info: MediaInfo, origin_s: float, seconds: float) -> SoundFigures | None:
    """Measure the sound beside the picture; None if the stream holds none that can be decoded."""
    assert info.audio is not None
    rate, channels = max(8000, info.audio.sample_rate), min(2, max(1, info.audio.channels))
    window = round(rate * _WINDOW_S)
    powers: list[NDArray[np.float64]] = []
    clipped: list[NDArray[np.bool_]] = []
    peak, rest, total = 0.0, np.zeros((0, channels), np.float32), 0
    try:
        for piece in read_sound(
            clip, rate=rate, channels=channels, origin_s=origin_s, stop_s=seconds, track=info.audio.track
        ):
            total += len(piece)
            peak = max(peak, float(np.abs(piece).max()))
            piece = np.concatenate([rest, piece])
            count = len(piece) // window
            rest = piece[count * window :]
            windows = piece[: count * window].reshape(count, window, channels)
            powers.append((windows.astype(np.float64) ** 2).mean((1, 2)))
            full = np.abs(windows) >= 0.985
            clipped.append((full[:, :-2] & full[:, 1:-1] & full[:, 2:]).any((1, 2)))
    except (NoSound, UnreadableMedia):
        return None
    power = np.concatenate(powers) if powers else np.zeros(0)
    if not len(power):
        return None
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    low, high = np.percentile(decibels, [10, 90])
    louder = power[power >= np.median(power)]
    return SoundFigures(
        seconds=total / rate,
        peak_dbfs=float(20 * np.log10(max(peak, 1e-6))),
        level_dbfs=float(10 * np.log10(max(louder.mean(), 1e-12))),
        noise_dbfs=float(low),
        snr_db=float(high - low),
        clipped=float(np.concatenate(clipped).mean()),
    )
