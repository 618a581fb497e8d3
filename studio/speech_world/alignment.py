"""Forced alignment: when each sound of a known sentence is spoken in a recording.

espeak-ng speaks the sentence with exact phoneme times, dynamic time warping (Sakoe & Chiba 1978) lays the speech
encoder's taps of that speech over the recording's, and the times go along the path. Encoder taps hardly tell who
speaks, so a synthetic voice finds its way through a real one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import soxr
from numpy.typing import NDArray

from motion.encoder import CHUNK, RATE, TAP, shared_encoder
from studio.speech import Phoneme, Speech

Array = NDArray[np.float32]

MARGIN_S = 0.3
"""Silence around both sides, so that a recording's own silence has something to lie on."""
LONGEST_S = CHUNK / RATE - 2 * MARGIN_S
"""What the encoder sees at once."""
STANDING = 1.15
"""Price of a step in one of the two alone, in terms of a step in both."""


@dataclass(frozen=True)
class Alignment:
    """Where a sentence's sounds are in a recording."""

    phonemes: tuple[Phoneme, ...]
    """Sounds and pauses from 0 to the recording's end, without gaps."""
    misfit: float
    """Mean cost along the path over the mean cost of all pairs, 0..1: about .4 where the words are the same, above .65
    where they are not."""


def align(recording: Array, sentence: Speech) -> Alignment:
    """Lay a spoken sentence over a recording of the same words.

    Args:
        recording: (N,) at 16 kHz in [-1, 1], at most :data:`LONGEST_S` seconds.
        sentence: the words as espeak-ng says them.

    Raises:
        ValueError: either is longer, or there is nothing in it.
    """
    synthetic = np.asarray(soxr.resample(sentence.samples, sentence.sample_rate, RATE), np.float32)
    known, heard = _taps(synthetic), _taps(recording)
    cost = 1 - known @ heard.T  # (I, J) cosine distances
    path = _warp(cost.astype(np.float64), STANDING)
    seconds = TAP / RATE
    # Each tap of the known speech is at the mean of the taps that it was laid on.
    counts = np.bincount(path[:, 0], minlength=len(known))
    places = np.bincount(path[:, 0], weights=path[:, 1], minlength=len(known)) / counts
    ends = np.array([p.end_s for p in sentence.phonemes])
    at = np.interp((ends + MARGIN_S) / seconds, np.arange(len(known)), places) * seconds - MARGIN_S
    length = len(recording) / RATE
    times = np.maximum.accumulate(np.clip(at, 0, length))
    times[-1] = length
    first = np.interp((sentence.phonemes[0].start_s + MARGIN_S) / seconds, np.arange(len(known)), places)
    start = float(np.clip(first * seconds - MARGIN_S, 0, times[0]))
    phonemes = [Phoneme("", 0.0, start)] if start > 0 else []
    for phoneme, end in zip(sentence.phonemes, times, strict=True):
        if end > start:
            phonemes.append(Phoneme(phoneme.ipa, start, float(end)))
            start = float(end)
    return Alignment(tuple(phonemes), float(cost[path[:, 0], path[:, 1]].mean() / cost.mean()))


def _taps(samples: Array) -> Array:
    """(N,) -> (T, 384) taps of unit length at 50 Hz, the voice's mean taken out, MARGIN_S of silence around."""
    margin = int(MARGIN_S * RATE)
    if not 0 < len(samples) <= CHUNK - 2 * margin:
        raise ValueError(f"{len(samples) / RATE:.1f} s can't be aligned; at most {LONGEST_S:.1f} s can")
    chunk = np.zeros(CHUNK, np.float32)
    chunk[margin : margin + len(samples)] = samples
    taps = shared_encoder().taps(chunk, max(float(samples.std()), 5e-4))
    taps = taps[: (len(samples) + 2 * margin) // TAP]
    taps = (taps - taps.mean(0)) / (taps.std(0) + 0.1)
    return np.asarray(taps / np.linalg.norm(taps, axis=1, keepdims=True), np.float32)


@numba.njit(cache=True)
def _warp(cost: NDArray[np.float64], standing: float) -> NDArray[np.int64]:
    """(I, J) -> (P, 2) the cheapest path from corner to corner; a diagonal step is as long as two and pays for two."""
    rows, columns = cost.shape
    total = np.full((rows, columns), np.inf)
    came = np.zeros((rows, columns), np.int8)
    total[0, 0] = cost[0, 0]
    for i in range(rows):
        for j in range(columns):
            if i > 0 and j > 0 and total[i - 1, j - 1] + 2 * cost[i, j] < total[i, j]:
                total[i, j], came[i, j] = total[i - 1, j - 1] + 2 * cost[i, j], 0
            if i > 0 and total[i - 1, j] + standing * cost[i, j] < total[i, j]:
                total[i, j], came[i, j] = total[i - 1, j] + standing * cost[i, j], 1
            if j > 0 and total[i, j - 1] + standing * cost[i, j] < total[i, j]:
                total[i, j], came[i, j] = total[i, j - 1] + standing * cost[i, j], 2
    path = np.zeros((rows + columns, 2), np.int64)
    i, j, n = rows - 1, columns - 1, 0
    while True:
        path[n, 0], path[n, 1] = i, j
        n += 1
        if i == 0 and j == 0:
            break
        step = came[i, j]
        i, j = i - (step != 2), j - (step != 1)
    return path[:n][::-1].copy()
