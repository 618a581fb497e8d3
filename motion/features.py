"""Speech features at 25 fps: the encoder's taps and prosody, exactly aligned with the video's frames.

Frame k covers samples [640 k, 640 (k + 1)); its centre is the centre of tap 2 k + 1, so the three taps around it are
averaged with weights 1/4, 1/2, 1/4. The encoder sees 8 s at a time; the chunks overlap by half and are added with a
Hann window, whose weight is zero at a chunk's edge, so no seam can show. The grid starts with the sound, whatever
pieces it is handed in, so streaming and :func:`extract` give the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motion.encoder import CHUNK, CHUNK_TAPS, WIDTH, SpeechEncoder, shared_encoder
from motion.prosody import COLUMNS, FRAME, MARGIN, ProsodyState, block_prosody
from problems import InvalidParameter

Array = NDArray[np.float32]

BLOCK = CHUNK // 2
"""Samples between the starts of two chunks (4 s), the unit of everything here."""
BLOCK_FRAMES = BLOCK // FRAME
DIMENSION = WIDTH + len(COLUMNS)
"""D: 384 taps, then prosody."""
ENERGY, VOICING, PITCH, ACTIVITY = (WIDTH + i for i in range(len(COLUMNS)))
"""Columns of the prosody in the features."""

_QUIETEST = 5e-4  # -66 dB re full scale: what is quieter is not brought up to speech level


@dataclass(frozen=True)
class SpeechFeatures:
    """Features of some consecutive frames."""

    start: int
    """Index of the first frame."""
    values: Array
    """(T, D) taps and prosody, not normalised."""


def speech_centre(values: Array) -> Array:
    """The voice and the microphone in a sound's taps: their mean over the frames with speech.

    Taken out before anything is learnt or predicted (cepstral mean normalisation, Atal 1974, on encoder taps): what one
    speaker's or one room's mean is must not be taken for what is said.

    Args:
        values: (T, D) raw features.

    Returns:
        (D,) the taps' mean, zeros for the prosody, which is relative to the speaker already.
    """
    active = values[:, ACTIVITY] > 0.5
    spoken = values[active] if active.sum() >= 10 else values
    centre = np.zeros(values.shape[1], np.float32)
    if len(spoken):
        centre[:WIDTH] = spoken[:, :WIDTH].mean(0, dtype=np.float64)
    return centre


def frame_count(samples: int) -> int:
    """Frames of a sound: ceil(samples / 640)."""
    return -(-samples // FRAME)


def extract(samples: Array, encoder: SpeechEncoder | None = None) -> Array:
    """Features of a whole sound.

    Args:
        samples: (N,) float32 at 16 kHz in [-1, 1].

    Returns:
        (T, D) with T = ceil(N / 640).

    Raises:
        InvalidParameter: not one-dimensional, or not finite.
    """
    parts = [part.values for part in extract_stream([samples], encoder)]
    return np.concatenate(parts) if parts else np.zeros((0, DIMENSION), np.float32)


def extract_stream(chunks: Iterable[Array], encoder: SpeechEncoder | None = None) -> Iterator[SpeechFeatures]:
    """Features of a sound that comes in consecutive pieces of any length, in flat memory and at most 8 s behind.

    The values equal :func:`extract` on the whole.
    """
    stream = FeatureStream(encoder)
    for chunk in chunks:
        yield from stream.push(chunk)
    yield from stream.finish()


class FeatureStream:
    """The state between pieces: three blocks of samples and half a chunk of weighted taps.

    Block b is samples [b, b + 1) * BLOCK; chunk c is blocks c - 1 and c. The taps of block b are the sum of the second
    half of chunk b and the first half of chunk b + 1. Silence surrounds the sound.
    """

    def __init__(self, encoder: SpeechEncoder | None = None) -> None:
        self._encoder = encoder or shared_encoder()
        self._samples = np.zeros(BLOCK, np.float32)  # from the start of block b - 1
        self._block = 0  # b, the next block to finish
        self._received = 0
        self._pending: Array | None = None  # second half of chunk b, weighted
        self._taps = np.zeros((0, WIDTH), np.float32)  # taps from 2 * self._frames on
        self._prosody = np.zeros((0, len(COLUMNS)), np.float32)  # prosody from self._frames on
        self._prosody_state = ProsodyState()
        self._loudest = 0.0
        self._frames = 0
        # Half a tap off the periodic grid: the weights of two overlapping chunks add up to one.
        phase = (np.arange(CHUNK_TAPS) + 0.5) / CHUNK_TAPS
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * phase)).astype(np.float32)[:, None]

    def push(self, samples: Array) -> Iterator[SpeechFeatures]:
        """Take (N,) more samples and yield the frames that are complete."""
        samples = np.asarray(samples, dtype=np.float32)
        if samples.ndim != 1 or not np.isfinite(samples).all():
            raise InvalidParameter(
                f"the sound must be one channel of finite samples; got shape {samples.shape}",
                remedy="decode the recording again as 16 kHz mono",
            )
        for start in range(0, len(samples), BLOCK):
            piece = samples[start : start + BLOCK]
            self._samples = np.concatenate([self._samples, piece])
            self._received += len(piece)
            while len(self._samples) >= 3 * BLOCK:
                yield from self._finish_block(limit=None)

    def finish(self) -> Iterator[SpeechFeatures]:
        """The last frames; the sound goes on in silence."""
        total = frame_count(self._received)
        while self._frames < total:
            missing = max(0, 3 * BLOCK - len(self._samples))
            self._samples = np.concatenate([self._samples, np.zeros(missing, np.float32)])
            yield from self._finish_block(limit=total)

    def _finish_block(self, limit: int | None) -> Iterator[SpeechFeatures]:
        if self._pending is None:
            self._pending = self._encode(0)[CHUNK_TAPS // 2 :]
        weighted = self._encode(1)
        taps = self._pending + weighted[: CHUNK_TAPS // 2]  # (200, 384)
        self._pending = weighted[CHUNK_TAPS // 2 :]
        around = self._samples[BLOCK - MARGIN : 2 * BLOCK + MARGIN]
        prosody = block_prosody(around, BLOCK_FRAMES, self._prosody_state)
        self._taps = np.concatenate([self._taps, taps])
        self._prosody = np.concatenate([self._prosody, prosody])
        self._samples = self._samples[BLOCK:]
        self._block += 1

        ready = (len(self._taps) - 1) // 2  # frame k needs tap 2 k + 2
        if limit is not None:
            ready = min(ready, limit - self._frames)
        if ready <= 0:
            return
        left, centre, right = (self._taps[i : i + 2 * ready : 2] for i in range(3))
        values = np.concatenate([left / 4 + centre / 2 + right / 4, self._prosody[:ready]], axis=1)
        self._taps, self._prosody = self._taps[2 * ready :], self._prosody[ready:]
        start, self._frames = self._frames, self._frames + ready
        yield SpeechFeatures(start, values.astype(np.float32))

    def _encode(self, offset: int) -> Array:
        """Windowed taps (400, 384) of chunk b + ``offset``."""
        chunk = self._samples[offset * BLOCK : offset * BLOCK + CHUNK]
        first = (self._block - 1 + offset) * BLOCK
        sounding = chunk[max(0, -first) : max(0, self._received - first)]
        level = float(sounding.std()) if len(sounding) else 0.0
        self._loudest = max(level, 0.9 * self._loudest)
        # A pause inside a recording stays quiet instead of being brought up to speech level.
        return self._encoder.taps(chunk, max(level, 0.1 * self._loudest, _QUIETEST)) * self._window
