"""Findings about a clip's picture as a whole (stills, freezes, cuts, length) and about its sound."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fitting.inspect.config import InspectConfig
from fitting.inspect.report import Finding
from media.limits import ClipLimits
from media.survey import Survey

_FROZEN_LEVEL = 0.3  # of any block, from one frame to the next; the stillest real webcam frames reach 0.36


def sound_findings(survey: Survey, config: InspectConfig) -> list[Finding]:
    sound = survey.sound
    speak = "film the person speaking, with the microphone on"
    if sound is None:
        return [
            Finding("no_sound", "error", "the clip has no sound", f"{speak}: lips are learned from the voice")
        ]
    if sound.peak_dbfs < config.silence_dbfs:
        message = f"the sound is silent: its peak is {sound.peak_dbfs:.0f} dB of full scale"
        return [Finding("silent_sound", "error", message, speak, facts={"peak_dbfs": sound.peak_dbfs})]
    rows = (
        (
            sound.level_dbfs < config.quiet_dbfs,
            "quiet_sound",
            f"the sound is quiet: {sound.level_dbfs:.0f} dB of full scale",
            "go closer to the microphone, or speak up",
        ),
        (
            sound.clipped > config.clipped_share,
            "clipped_sound",
            f"the sound is clipped in {sound.clipped:.0%} of the time",
            "turn the recording level down, or go away from the microphone",
        ),
        (
            sound.snr_db < config.noisy_snr_db,
            "noisy_sound",
            f"speech is only {sound.snr_db:.0f} dB over the background",
            "film in a quiet room, without music",
        ),
    )
    return [Finding(code, "warning", message, remedy) for holds, code, message, remedy in rows if holds]


def still_findings(thumbnails: NDArray[np.uint8], config: InspectConfig) -> list[Finding]:
    changes = block_changes(thumbnails)
    if len(thumbnails) > 1 and float(changes.max()) < config.still_level:
        return [
            Finding(
                "still_image",
                "error",
                "the video is a still image: nothing moves",
                "upload a video in which the person speaks",
                facts={"largest_change": round(float(changes.max()), 3)},
            )
        ]
    frozen = find_frozen(thumbnails, config.frozen_frames)
    if frozen:
        message = f"the picture stands still for {len(frozen)} frames while the clip goes on"
        return [Finding("frozen", "warning", message, "cut these frames out, or film again", frozen)]
    return []


def clip_findings(survey: Survey, cuts: tuple[int, ...], limits: ClipLimits) -> list[Finding]:
    found = []
    if cuts:
        found.append(
            Finding(
                "cut",
                "warning",
                f"the clip jumps to other content at {len(cuts)} place{'s' * (len(cuts) != 1)}",
                "film in one go; a cut to another person or place spoils the likeness",
                cuts,
            )
        )
    video = survey.info.video
    if video is not None and limits.max_seconds is not None and video.duration_s > limits.max_seconds + 0.5:
        message = f"the clip lasts {video.duration_s:.0f} s; the first {limits.max_seconds:.0f} s are used"
        found.append(Finding("trimmed", "warning", message, "put the best part first, or cut the clip"))
    return found


def block_changes(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(T, h, w) -> (T,): largest mean change of any block against the clip's median picture, grey levels."""
    if not len(thumbnails):
        return np.zeros(0)
    return _largest_block(
        np.abs(thumbnails.astype(np.float32) - np.median(thumbnails, axis=0).astype(np.float32))
    )


def _largest_block(change: NDArray[np.float32], block: int = 8) -> NDArray[np.float64]:
    """(T, h, w) -> (T,): the largest mean of any block."""
    frames, height, width = change.shape
    high, wide = max(1, height // block), max(1, width // block)
    change = change[:, : high * min(block, height), : wide * min(block, width)]
    blocks = change.reshape(frames, high, change.shape[1] // high, wide, change.shape[2] // wide)
    return blocks.mean((2, 4)).max((1, 2)).astype(np.float64)


def repeats(thumbnails: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(T, h, w) -> (T - 1,): whether frame k + 1 repeats frame k."""
    if len(thumbnails) < 2:
        return np.zeros(0, bool)
    return _largest_block(np.abs(np.diff(thumbnails.astype(np.float32), axis=0))) < _FROZEN_LEVEL


def find_frozen(thumbnails: NDArray[np.uint8], shortest: int) -> tuple[int, ...]:
    """Frames inside runs of at least ``shortest`` that repeat the one before."""
    found: list[int] = []
    run: list[int] = []
    for k, same in enumerate([*repeats(thumbnails).tolist(), False], start=1):
        if same:
            run.append(k)
        else:
            found += run if len(run) >= shortest else []
            run = []
    return tuple(found)
