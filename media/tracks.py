"""Which sound track of a file holds the voice, and how its channels become one without cancelling each other.

Decodes in the calling process: for a stranger's file call it inside :func:`media.isolate.run_isolated`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from media.container import audio_stream, known_sound, reading
from media.decode import decoded_frames
from problems import UnreadableMedia

Mix = Literal["mean", "left", "right"]
Preferred = Literal["asked", "default", "voice"]

_LISTEN_S = 600.0
"""Seconds of each track that are listened to."""
_MIX_S = 120.0
"""Seconds after which the channels of a single track are known well enough."""
_WINDOW_S = 0.02
_SILENT_DBFS = -50.0
"""The loud windows of a track that holds a voice lie above this."""
_STEADY_DB = 6.0
"""Loud over quiet windows; hum and hiss stay below, words and pauses lie above."""
_OPPOSED = -0.2
"""Correlation of two channels under which their mean cancels what they share."""


@dataclass(frozen=True)
class SoundChoice:
    """What of a file's sound is listened to."""

    track: int
    """Which sound track, from 1 in the file's order."""
    tracks: int
    """How many there are."""
    mix: Mix
    """How two channels become one: their mean, or one alone where they are out of phase."""
    why: Preferred
    """``asked``: the caller named the track; ``default``: the file prefers it; ``voice``: the file prefers another one,
    which holds no voice."""


@dataclass
class _Ear:
    """What is heard of one track."""

    powers: list[NDArray[np.float64]]
    mixed: float = 0.0
    """Sum of products of the two channels' steps from sample to sample; steps, so that hum counts little."""
    left: float = 0.0
    right: float = 0.0
    seconds: float = 0.0

    @property
    def loud(self) -> float:
        """95th percentile of the windows' levels, dB of full scale."""
        return self._levels(95)

    @property
    def voice(self) -> bool:
        """Loud enough, and not steady as hum or hiss are."""
        return self.loud > _SILENT_DBFS and self.loud - self._levels(10) > _STEADY_DB

    @property
    def mix(self) -> Mix:
        """How to make one channel of it."""
        both = float(np.sqrt(self.left * self.right))
        if both <= 0 or self.mixed / both >= _OPPOSED:
            return "mean"
        return "left" if self.left >= self.right else "right"

    def _levels(self, percent: float) -> float:
        power = np.concatenate(self.powers) if self.powers else np.zeros(1)
        return float(10 * np.log10(max(float(np.percentile(power, percent)), 1e-12)))


def choose_sound(path: Path, track: int | None = None) -> SoundChoice | None:
    """Listen to a file's sound tracks and choose; None if it has no sound.

    A file with one mono track is not listened to.

    Args:
        path: any media file.
        track: the track to take, from 1; None for the one with the voice: the file's preferred one if anything but
            silence, hum or hiss is heard in it, else the loudest of those where it is.

    Raises:
        InvalidParameter: there is no such track.
        NotFound, UnreadableMedia: see :func:`media.container.reading`.
    """
    with reading(path) as container:
        preferred = audio_stream(container, track)
        if preferred is None:
            return None
        everyone = list(container.streams.audio)
        order = [stream.index for stream in everyone]
        others = (
            [] if track is not None else [s for s in known_sound(container) if s.index != preferred.index]
        )
        number, count = order.index(preferred.index) + 1, len(everyone)
        shape = preferred.codec_context
        if shape is None or (not others and (shape.channels or 0) == 1):
            return SoundChoice(number, count, "mean", "default" if track is None else "asked")
        candidates = [preferred.index, *(stream.index for stream in others)]
    ears = {index: _listen(path, index, _LISTEN_S if others else _MIX_S) for index in candidates[:1]}
    first = ears[candidates[0]]
    if not others or first.voice:
        return SoundChoice(number, count, first.mix, "default" if track is None else "asked")
    ears |= {index: _listen(path, index, _LISTEN_S) for index in candidates[1:]}
    speaking = [index for index in candidates if ears[index].voice]
    best = max(speaking or candidates, key=lambda index: ears[index].loud)
    if not speaking and ears[best].loud < first.loud + 10.0:
        best = candidates[0]  # nobody is heard anywhere: stay with what the file prefers
    why: Preferred = "default" if best == candidates[0] else "voice"
    return SoundChoice(order.index(best) + 1, count, ears[best].mix, why)


def _listen(path: Path, index: int, seconds: float) -> _Ear:
    """The first seconds of the stream with that index."""
    ear = _Ear([])
    with reading(path) as container:
        stream: Any = container.streams[index]
        mixer, kind, rest = None, None, np.zeros((0, 2), np.float32)
        try:
            for frame in decoded_frames(container, stream):
                if mixer is None or kind != (frame.sample_rate, frame.layout.name, frame.format.name):
                    kind = (frame.sample_rate, frame.layout.name, frame.format.name)
                    mixer = av.AudioResampler(format="flt", layout="stereo", rate=frame.sample_rate)
                    rest = rest[:0]
                window = max(1, round(frame.sample_rate * _WINDOW_S))
                frame.pts = None
                heard = [out.to_ndarray().reshape(-1, 2) for out in mixer.resample(frame)]
                rest = np.concatenate([rest, *heard])
                if len(rest) < 16 * window:
                    continue
                _hear(ear, rest, window)
                ear.seconds += len(rest) / frame.sample_rate
                rest = rest[:0]
                if ear.seconds > seconds:
                    break
            if len(rest):
                _hear(ear, rest, min(len(rest), window))
        except UnreadableMedia:
            return ear  # a track that can't be decoded holds no voice; the one that is taken says so itself
    return ear


def _hear(ear: _Ear, samples: NDArray[np.float32], window: int) -> None:
    samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).astype(np.float64)
    whole = samples[: len(samples) // window * window].reshape(-1, window, 2)
    ear.powers.append((whole**2).mean(1).max(1))
    steps = np.diff(samples, axis=0)
    ear.mixed += float((steps[:, 0] * steps[:, 1]).sum())
    ear.left += float((steps[:, 0] ** 2).sum())
    ear.right += float((steps[:, 1] ** 2).sum())
