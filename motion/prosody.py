"""Prosody at 25 fps: energy, voicing, F0 and speech activity, each from a block of sound and a little around it.

F0 and voicing are the highest peak of the normalised autocorrelation (Boersma 1993), from the power spectrum under
1 kHz. Energy and F0 are relative to the speaker's own running level and register, so that a quiet microphone or
another voice's pitch reads the same. Running values move from block to block on a fixed grid: how the sound was cut
when it was handed in changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from motion.encoder import RATE

Array = NDArray[np.float32]

FRAME = 640
"""Samples per video frame: 16 kHz at 25 fps."""
COLUMNS = ("energy", "voicing", "pitch", "activity")
"""energy: (level - running speech level) / 20 dB, about [-3, 1]; voicing: [0, 1]; pitch: octaves above the running
register, 0 where unvoiced; activity: [0, 1], 1 where somebody speaks, with about 0.15 s of margin."""

F0_MIN, F0_MAX = 60.0, 480.0
_SPAN, _SIZE = 1024, 2048  # 64 ms: two periods of the lowest voice
MARGIN = 16 * FRAME
"""Samples that :func:`block_prosody` wants on each side of the block."""


@dataclass
class ProsodyState:
    """What runs on from block to block."""

    level_db: float | None = None
    """Running level of the loud frames, dB re full scale."""
    floor_db: float | None = None
    """Running level of the quiet frames."""
    register: float | None = None
    """Running log2 of F0 in Hz."""


@lru_cache(maxsize=1)
def _tables() -> tuple[Array, Array, Array]:
    window = np.hanning(_SPAN).astype(np.float32)
    pass_band = (scipy.fft.rfftfreq(_SIZE, 1 / RATE) < 1000).astype(np.float32)
    spectrum = np.abs(scipy.fft.rfft(window, _SIZE)) ** 2
    own = scipy.fft.irfft(spectrum)[: int(RATE / F0_MIN) + 2]
    return window, pass_band, (own / own[0]).astype(np.float32)


def pitch(samples: Array, centres: NDArray[np.int64]) -> tuple[Array, Array]:
    """F0 and voicing around some samples.

    Args:
        samples: (N,) at 16 kHz; every centre lies at least 512 samples inside.
        centres: (M,) sample positions.

    Returns:
        F0 (M,) in Hz and voicing (M,) in [0, 1]: the height of the autocorrelation peak.
    """
    window, pass_band, own = _tables()
    frames = np.lib.stride_tricks.sliding_window_view(samples, _SPAN)[centres - _SPAN // 2]
    frames = (frames - frames.mean(1, keepdims=True)) * window
    power = np.abs(scipy.fft.rfft(frames, _SIZE, axis=1)) ** 2 * pass_band
    correlation = scipy.fft.irfft(power, axis=1)[:, : len(own)]
    total = correlation[:, :1]
    correlation = np.divide(correlation, total * own, out=np.zeros_like(correlation), where=total > 1e-7)
    low, high = int(RATE / F0_MAX), len(own) - 1
    lags = np.arange(low, high)
    # A longer lag repeats the true one's peak: prefer the shorter (Boersma's octave cost).
    score = correlation[:, low:high] - 0.05 * np.log2(lags / low)
    interior = (correlation[:, low:high] >= correlation[:, low - 1 : high - 1]) & (
        correlation[:, low:high] >= correlation[:, low + 1 : high + 1]
    )
    best = np.where(interior, score, -1.0).argmax(1) + low
    row = np.arange(len(best))
    before, peak, after = correlation[row, best - 1], correlation[row, best], correlation[row, best + 1]
    bend = before - 2 * peak + after
    shift = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=np.abs(bend) > 1e-9)
    return (RATE / (best + np.clip(shift, -0.5, 0.5))).astype(np.float32), np.clip(peak, 0, 1).astype(
        np.float32
    )


def block_prosody(samples: Array, frames: int, state: ProsodyState) -> Array:
    """Prosody of one block of the fixed grid.

    Args:
        samples: (frames * 640 + 2 * MARGIN,) the block with its margins (zeros beyond the ends of the sound).
        frames: frames of the block.
        state: running values, updated in place.

    Returns:
        (frames, 4), see ``COLUMNS``.
    """
    extra = MARGIN // FRAME
    total = frames + 2 * extra
    by_frame = samples[: total * FRAME].reshape(total, FRAME)
    energy = 10 * np.log10(by_frame.var(1) + 1e-10)  # (total,) dB re full scale; digital silence is -100
    centres = np.arange(_SPAN // 2 + 128, total * FRAME - _SPAN // 2, FRAME // 2, dtype=np.int64)
    # Two measurements a frame, at a quarter and three quarters of it.
    centres = np.sort(np.concatenate([np.arange(2, total - 2) * FRAME + q for q in (160, 480)]))
    hertz, strength = (value.reshape(-1, 2) for value in pitch(samples, centres))
    voicing = np.pad(strength.mean(1), 2)
    audible = energy > max(-70.0, np.percentile(energy, 95) - 40)
    voicing = np.where(audible, voicing, 0.0)
    octaves = np.pad(np.log2(hertz)[np.arange(len(hertz)), strength.argmax(1)], 2)
    voiced = voicing > 0.6
    inner = slice(extra, extra + frames)

    level_before, floor_before, register_before = state.level_db, state.floor_db, state.register
    loud = energy[inner][voiced[inner]] if voiced[inner].sum() >= 5 else None
    if loud is not None:
        level = float(np.percentile(loud, 70))
        state.level_db = level if state.level_db is None else 0.5 * state.level_db + 0.5 * level
        register = float(np.median(octaves[inner][voiced[inner]]))
        state.register = register if state.register is None else 0.7 * state.register + 0.3 * register
    quiet = float(np.percentile(energy[inner], 8))
    rise = quiet if state.floor_db is None else min(quiet, state.floor_db + 3.0)
    state.floor_db = rise
    level_line = _glide(level_before, state.level_db, frames, default=max(-20.0, float(energy[inner].max())))
    floor_line = _glide(floor_before, state.floor_db, frames, default=-100.0)
    register_line = _glide(register_before, state.register, frames, default=7.2)

    relative = np.clip((energy[inner] - level_line) / 20, -3, 1.5)
    tone = np.where(voiced[inner], np.clip(octaves[inner] - register_line, -1.5, 1.5), 0.0)
    spoken = _activity(energy, voiced, level_line, floor_line, extra, frames)
    return np.column_stack([relative, voicing[inner], tone, spoken]).astype(np.float32)


def _glide(before: float | None, after: float | None, frames: int, default: float) -> NDArray[np.float64]:
    """A line from the value at the block's start to the one at its end."""
    end = after if after is not None else default
    start = before if before is not None else end
    return start + (end - start) * np.arange(1, frames + 1) / frames


def _activity(
    energy: NDArray[np.floating],
    voiced: NDArray[np.bool_],
    level: NDArray[np.float64],
    floor: NDArray[np.float64],
    extra: int,
    frames: int,
) -> NDArray[np.float64]:
    """(frames,) in [0, 1]: loud enough against both the speaker and the room, and near something voiced."""
    level = np.pad(level, extra, mode="edge")
    floor = np.pad(floor, extra, mode="edge")
    threshold = np.clip(np.maximum(level - 30, floor + 9), None, level - 12)
    threshold = np.maximum(threshold, -75.0)
    loud = np.clip((energy - threshold) / 6 + 0.5, 0, 1)
    # Hiss and hum that is all there is has no voiced frame near it; whispering stands out of the room's floor.
    kernel = np.ones(21)
    near = np.clip(np.convolve(voiced.astype(float), kernel, mode="same") / 2, 0, 1)
    whispered = np.clip((energy - floor - 18) / 6, 0, 1)
    active = loud * np.maximum(near, whispered)
    wide = np.lib.stride_tricks.sliding_window_view(np.pad(active, 3), 7).max(1)
    smooth = np.convolve(wide, np.hanning(7)[1:-1] / np.hanning(7)[1:-1].sum(), mode="same")
    return smooth[extra : extra + frames]
