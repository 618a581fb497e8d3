"""One clip of a real person -> features and motion for general training, by the product's own fit."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from fitting.fit import fit_landmarks, track_clip
from media.audio import read_wav
from media.frames import FrameStore
from media.limits import ClipLimits, RecordingLimits
from media.normalise import FPS, normalise_clip, normalise_recording
from motion.corpus import SpokenClip
from motion.features import ACTIVITY, extract
from motion.lag import estimate_lag, shift_features
from motion.prosody import FRAME
from motion.targets import PoseFrame, mouth_geometry
from problems import NoFace, NoSound, SeveralFaces
from studio.recorded_people.layouts import RecordedClip

LEAST_FOUND = 0.8
"""Share of the frames that must show a face."""
LEAST_FRAMES = 16
"""Frames with a face; LRW's clips have 29."""
LAG_FRAMES = 100
"""Shorter clips can't tell whether their picture is late."""


def read_clip(clip: RecordedClip, seconds: float = 60.0) -> SpokenClip:
    """Fit a clip and hear its sound.

    The fit is by landmarks alone: the pixels' refinement and the texture are for a person that is shown.

    Args:
        clip: where it lies.
        seconds: taken from its beginning at most.

    Raises:
        NoFace: too few frames with a face.
        SeveralFaces: another face in a fifth of the frames or more.
        NoSound: no sound, or nothing but silence.
        Problem: the file can't be read.
    """
    with tempfile.TemporaryDirectory(prefix="likeness-clip-") as folder:
        video, audio = Path(folder) / "clip.mp4", Path(folder) / "audio.wav"
        limits = replace(ClipLimits(), max_seconds=seconds, max_duration_s=7200.0, max_side=960)
        normalise_clip(clip.video, video, audio, limits=limits)
        if clip.sound is not None:
            normalise_recording(clip.sound, audio, limits=replace(RecordingLimits(), min_seconds=0.3))
        if not audio.exists():
            raise NoSound(f"{clip.video.name} has no sound", remedy="take clips with sound, or leave it out")
        frames = FrameStore.from_clip(video, stop=round(seconds * FPS))
        marks = track_clip(frames, len(frames))
        sound = read_wav(audio)
        found = marks.found
        if found.sum() < LEAST_FRAMES or found.mean() < LEAST_FOUND:
            raise NoFace(
                f"{clip.video.name} shows a face in {found.sum()} of {len(found)} frames",
                remedy="take clips in which the face is seen, or leave it out",
            )
        if (marks.faces > 1).mean() > 0.2:
            raise SeveralFaces(
                f"{clip.video.name} shows several faces", remedy="crop it to one person, or leave it out"
            )
        track = fit_landmarks(marks, frames.size)
    sound = np.pad(sound, (0, max(0, len(track) * FRAME - len(sound))))[: len(track) * FRAME]
    if float(np.abs(sound).max(initial=0.0)) < 1e-4:
        raise NoSound(f"{clip.video.name} is silent", remedy="take clips with sound, or leave it out")
    features = extract(sound)[: len(track)]
    if len(track) >= LAG_FRAMES and (features[:, ACTIVITY] > 0.5).sum() >= LAG_FRAMES // 2:
        geometry = mouth_geometry(track)
        opening = (track.motion.expression @ geometry.opening).astype(np.float32)
        standard = (features - features.mean(0)) / (features.std(0) + 0.1)
        features = shift_features(features, estimate_lag(standard, opening, track.valid).frames)
    return SpokenClip(
        features,
        track.motion.expression,
        PoseFrame.of(track.motion, track.valid).deviation(track.motion),
        track.valid,
        np.full(len(track), np.nan),
        clip.speaker,
        clip.language,
    )
