"""The product's own wav files: 16 kHz mono, read whole or in overlapping chunks, written atomically."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from media.atomic import replacing
from problems import InvalidParameter, NotFound, UnreadableMedia

SAMPLE_RATE = 16000
"""Hz of the inner clock."""


@dataclass(frozen=True)
class WavChunk:
    """A stretch of sound with context on both sides."""

    samples: NDArray[np.float32]
    """(N,) context, body and context."""
    start: int
    """Index in the file of ``samples[0]``."""
    body: slice
    """The part of ``samples`` that is this chunk's own; the bodies of all chunks tile the file."""


def read_wav(path: Path) -> NDArray[np.float32]:
    """Read a wav file whole.

    Returns:
        (N,) float32 in [-1, 1], 16 kHz mono; other rates are resampled and channels averaged.

    Raises:
        NotFound: there is no such file.
        UnreadableMedia: it is no wav file.
    """
    try:
        samples, rate = soundfile.read(_existing(path), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, error) from error
    mono = samples.mean(1) if samples.shape[1] > 1 else samples[:, 0]
    return np.asarray(mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE), np.float32)


def stream_wav(path: Path, chunk_s: float, overlap_s: float = 0.0) -> Iterator[WavChunk]:
    """Read a 16 kHz mono wav file in chunks of flat memory.

    Args:
        path: a wav file that :func:`media.normalise.normalise_recording` or :func:`write_wav` wrote.
        chunk_s: seconds of each chunk's own body.
        overlap_s: seconds of context before and after it (less at the file's ends).

    Raises:
        InvalidParameter: the file is not 16 kHz mono, or a length is out of range.
        NotFound, UnreadableMedia: see :func:`read_wav`.
    """
    body, overlap = round(chunk_s * SAMPLE_RATE), round(overlap_s * SAMPLE_RATE)
    if body <= 0 or overlap < 0:
        raise InvalidParameter(
            f"chunks of {chunk_s} s with {overlap_s} s of overlap",
            remedy="use chunk_s > 0 and overlap_s >= 0",
        )
    try:
        with soundfile.SoundFile(_existing(path)) as file:
            if file.samplerate != SAMPLE_RATE or file.channels != 1:
                raise InvalidParameter(
                    f"{Path(path).name} has {file.samplerate} Hz, {file.channels} channels; not 16000 Hz, 1",
                    remedy="pass it through normalise_recording first",
                )
            total = file.frames
            for begin in range(0, total, body):
                first, end = max(0, begin - overlap), min(total, begin + body)
                file.seek(first)
                samples = file.read(min(total, end + overlap) - first, dtype="float32")
                yield WavChunk(samples, first, slice(begin - first, end - first))
    except soundfile.LibsndfileError as error:
        raise _unreadable(path, error) from error


def write_wav(path: Path, samples: NDArray[np.floating], rate: int = SAMPLE_RATE) -> None:
    """Write (N,) samples in [-1, 1] as 16-bit mono, atomically; what lies outside is clipped."""
    with replacing(Path(path)) as inside:
        soundfile.write(inside, np.clip(samples, -1.0, 1.0), rate, subtype="PCM_16", format="WAV")


def _existing(path: Path) -> str:
    if not Path(path).is_file():
        raise NotFound(f"there is no file {path}", remedy="check the path")
    return str(path)


def _unreadable(path: Path, error: Exception) -> UnreadableMedia:
    return UnreadableMedia(
        f"{Path(path).name} can't be read as a wav file: {error}",
        remedy="pass recordings through normalise_recording first",
    )
