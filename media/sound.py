"""Sound out of any media file, streamed, on a clock that a picture can share.

Decodes in the calling process: for a stranger's file call it inside :func:`media.isolate.run_isolated`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from media.container import AUDIO_CODECS, audio_stream, check_codec, reading
from media.decode import decoded_frames
from media.tracks import Mix, SoundChoice, choose_sound
from problems import NoSound

_DRIFT_S = 0.03
"""Timestamps that depart from the samples by more than this are a gap or an overlap, not rounding."""
_PIECE_S = 10.0


def read_sound(
    path: Path,
    *,
    rate: int = 16000,
    channels: int = 1,
    origin_s: float | None = None,
    stop_s: float | None = None,
    track: int | None = None,
    choice: SoundChoice | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Decode, mix and resample the sound of a media file; memory stays flat whatever its length.

    Gaps in the timestamps become silence and overlaps are cut, so that sample n stays at second n / rate.

    Args:
        path: a sound or video file.
        rate: samples a second to yield.
        channels: 1 (the mean of all, or the stronger of two that are out of phase) or 2; two channels that are out of
            phase come out as the stronger one twice, because whoever hears their sum would hear nothing.
        origin_s: the file's time that becomes sample 0 (earlier sound is cut, later is padded); None for the
            sound's own beginning.
        stop_s: end after this many seconds, None for all.
        track: which sound track, from 1; None for the one with the voice.
        choice: what :func:`media.tracks.choose_sound` said, for whoever knows it already.

    Yields:
        (N, channels) float32, nominally in [-1, 1].

    Raises:
        NoSound: the file has no sound stream.
        InvalidParameter: there is no such track.
        NotFound, UnreadableMedia: see :func:`media.container.reading`.
    """
    left = None if stop_s is None else round(stop_s * rate)
    path = Path(path)
    choice = choice or choose_sound(path, track)
    if choice is None:
        raise NoSound(f"{path.name} has no sound", remedy="upload a file with the person's voice")
    for piece in _resampled(_continuous(path, choice, channels, origin_s, stop_s), rate, channels):
        if left is not None:
            piece = piece[:left]
            left -= len(piece)
        if len(piece):
            yield piece
        if left == 0:
            return


def _continuous(
    path: Path, choice: SoundChoice, channels: int, origin_s: float | None, stop_s: float | None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(source rate, (N, channels)) without gaps."""
    with reading(path) as container:
        stream = audio_stream(container, choice.track)
        check_codec(stream, AUDIO_CODECS, path.name)
        seconds, rate, kind, mixer = 0.0, 0, None, None
        for frame in decoded_frames(container, stream):
            if mixer is None or kind != (frame.sample_rate, frame.layout.name, frame.format.name):
                kind, rate = (frame.sample_rate, frame.layout.name, frame.format.name), frame.sample_rate
                layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
                mixer = av.AudioResampler(format="flt", layout=layout, rate=rate)
            at = float(frame.pts * frame.time_base) if frame.pts is not None else None
            if origin_s is None:
                origin_s = at or 0.0
            samples = _mixed(mixer, frame, channels, choice.mix)
            if at is not None:
                drift = at - origin_s - seconds
                allowed = _DRIFT_S if seconds else 0.0  # the beginning is set exactly
                if drift > allowed:
                    if stop_s is not None:
                        drift = min(drift, stop_s - seconds + 1.0)
                    yield from _silence(drift, rate, channels)
                    seconds += round(drift * rate) / rate
                elif drift < -allowed:
                    samples = samples[round(-drift * rate) :]
            seconds += len(samples) / rate
            yield rate, samples
            if stop_s is not None and seconds > stop_s + 0.5:
                return


def _mixed(mixer: Any, frame: Any, channels: int, mix: Mix) -> NDArray[np.float32]:
    """A frame as (N, channels). The mixer only makes floats and folds surround into stereo: from stereo to mono it
    would add 3 dB, and clip."""
    frame.pts = None  # the mixer would fill gaps by its own rules
    heard = min(2, frame.layout.nb_channels)
    pieces = [out.to_ndarray().reshape(-1, heard) for out in mixer.resample(frame)]
    samples = np.concatenate(pieces) if pieces else np.zeros((0, heard), np.float32)
    samples = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    if heard == 2 and mix != "mean":
        samples = samples[:, :1] if mix == "left" else samples[:, 1:]
        return np.repeat(samples, channels, 1)
    if channels < heard:
        return np.asarray(samples.mean(1, keepdims=True), np.float32)
    return np.repeat(samples, 2, 1) if channels > heard else samples


def _silence(seconds: float, rate: int, channels: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    left = round(seconds * rate)
    while left > 0:
        count = min(left, round(_PIECE_S * rate))
        yield rate, np.zeros((count, channels), np.float32)
        left -= count


def _resampled(
    pieces: Iterator[tuple[int, NDArray[np.float32]]], rate: int, channels: int
) -> Iterator[NDArray[np.float32]]:
    converter: soxr.ResampleStream | None = None
    source_rate = 0
    for in_rate, samples in pieces:
        if in_rate != source_rate:
            if converter is not None:
                yield converter.resample_chunk(np.zeros((0, channels), np.float32), last=True)
            converter = (
                soxr.ResampleStream(in_rate, rate, channels, dtype="float32") if in_rate != rate else None
            )
            source_rate = in_rate
        yield samples if converter is None else converter.resample_chunk(samples)
    if converter is not None:
        yield converter.resample_chunk(np.zeros((0, channels), np.float32), last=True)
