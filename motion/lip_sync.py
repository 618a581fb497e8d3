"""Do these lips move with this voice, and how late is it? The general model's mouth for the sound, against the mouth
that is seen.

Loudness alone can't tell: on three real clips of 10 to 24 s it correlates with the mouth opening by 0.03 to 0.5, no
better than with somebody else's voice. The mouth that the general speech model predicts does. Two things are compared
at every lag, the height of the mouth and its width. A correlation by itself says little, because two slow series often
agree by chance; so each is measured in standard deviations of what two unrelated series with the same spectra would
show (Bartlett 1946). The two are independent, so their sum over sqrt 2 is such a figure again.
docs/recording.md has the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from faces.morphable import MorphableModel
from faces.mouth import lip_shape
from motion.features import ACTIVITY, VOICING, extract
from motion.general import SHIPPED, GeneralModel
from motion.prosody import FRAME

Array = NDArray[np.float32]
Verdict = Literal["together", "shifted", "strange", "unsure", "unheard"]

FURTHEST = 30
"""Frames that lips may be ahead or behind: 1.2 s."""
NATURAL = 2.0
"""Frames of lag that people, cameras and the model differ by: 80 ms; no more is called together, and left alone."""
TOGETHER = 3.0
"""Standard deviations from which lips belong to a voice when the lag is a natural one. In one of a hundred pairs of
strangers chance reaches as much."""
SHIFTED = 4.5
"""The same at any lag up to :data:`FURTHEST`, where chance has more to choose from: it reached 4.7 once in 5,000."""
MODEST = (0.40, 0.30)
"""Correlation of height and width that even a mumbled clip shows when lips and voice belong together."""
MISSING, MISSING_ANYWHERE = 2.0, 1.2
"""Standard deviations by which lips must stay behind :data:`MODEST` at natural lags, and at every lag, to be called a
stranger's."""
TELLING = 150
"""Frames that must be compared before anybody is called a stranger: six seconds."""
LEAST = 50
"""Frames with a seen mouth beside sound, at 25 fps, without which nothing is said."""
LEAST_VOICE_S = 1.0
"""Seconds with a voice without which nothing is said."""
WINDOW = 100
"""Frames of a window in :attr:`LipSync.windows` (4 s)."""
_PRIOR = 6.0  # nats: a clip in sync is some hundred times as frequent as one with a certain other lag
_SLOW = 12.0  # frames: what moves more slowly is posture, not speech
_BRIDGED = 2  # frames between two seen ones over which a mouth is interpolated
_REACH = 50  # frames of autocorrelation that count


@dataclass(frozen=True)
class LipSync:
    """How well lips follow a voice."""

    correlation: float
    """Pearson's r of the seen and the expected height of the mouth at the lag, -1..1; about 0 for a strange voice."""
    lag_frames: float
    """Frames by which the lips are behind the sound there, to a fraction; negative: ahead, so the sound is late."""
    z: float
    """Standard deviations by which lips and voice agree there beyond chance, height and width together."""
    z_natural: float
    """The same at the best lag of at most two frames."""
    z_anywhere: float
    """The same at the best of all lags, which chance has helped to choose."""
    power: float
    """What ``z`` would be if they belonged together by no more than a modest correlation: how much could be told."""
    voiced_s: float
    """Seconds with a voice: a tone that comes and goes, or a hum, counts too; whispers and noise do not."""
    frames: int
    """Frames that were compared."""
    windows: tuple[tuple[int, float], ...] = ()
    """First frame of each window of four seconds, and the correlation in it at the lag."""

    @property
    def lag(self) -> int:
        """Whole frames of :attr:`lag_frames`."""
        return round(self.lag_frames)

    @property
    def sound_late_ms(self) -> int:
        """Milliseconds by which the sound comes after the lips; negative: before them."""
        return round(-40 * self.lag_frames)

    @property
    def verdict(self) -> Verdict:
        """``together`` (at a natural lag), ``shifted`` (they belong together at another), ``strange`` (at none),
        ``unsure``, or ``unheard`` where there is too little to compare."""
        if self.frames < LEAST or self.voiced_s < LEAST_VOICE_S:
            return "unheard"
        if abs(self.lag_frames) <= NATURAL:
            if self.z >= TOGETHER:
                return "together"
        elif self.z >= SHIFTED:
            return "shifted"
        missed = self.power - self.z_natural >= MISSING and self.power - self.z_anywhere >= MISSING_ANYWHERE
        return "strange" if missed and self.z < TOGETHER and self.frames >= TELLING else "unsure"


def lips_follow_voice(
    samples: Array, lips: NDArray[np.floating], valid: NDArray[np.bool_], furthest: int = FURTHEST
) -> LipSync:
    """Compare the mouth with the sound. A sound that is missing counts as silence: lips that speak in it do not fit.

    Args:
        samples: (N,) at 16 kHz; sample 640 k is at frame k.
        lips: (T, 2) of :func:`faces.mouth.lip_shape`; anything where not ``valid``. Every second frame is enough.
        valid: (T,) frames that show the mouth.
        furthest: frames of lag that are tried either way.
    """
    samples = samples[: FRAME * len(lips)]
    features = extract(np.pad(samples, (0, FRAME * len(lips) - len(samples))))
    return follow(features, lips, valid, furthest)


def follow(
    features: Array, lips: NDArray[np.floating], valid: NDArray[np.bool_], furthest: int = FURTHEST
) -> LipSync:
    """The same of a sound's (T, D) raw features; without the frames in ``valid`` that have no sound, nothing is held
    against a sound that is only missing there."""
    voiced = float(((features[:, ACTIVITY] > 0.5) & (features[:, VOICING] > 0.6)).sum()) / 25
    known = _bridged(valid)
    if known.sum() < LEAST or not voiced:
        return LipSync(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, voiced, int(known.sum()))
    times = np.flatnonzero(valid)
    seen = np.stack([np.interp(np.arange(len(lips)), times, lips[valid, c]) for c in (0, 1)])
    furthest = min(furthest, len(lips) - LEAST)
    moving = _without_posture(seen, known)
    spoken = _without_posture(expected_lips(features).T, np.ones(len(lips), bool))
    channels = [_compare(s, e, known, furthest) for s, e in zip(moving, spoken, strict=True)]
    z = np.stack([channel.z for channel in channels]).sum(0) / math.sqrt(2)
    natural = slice(max(0, furthest - round(NATURAL)), furthest + round(NATURAL) + 1)
    near = int(np.argmax(z[natural])) + natural.start
    best = loudest = int(np.argmax(z))
    if not _decisive(float(z[best]), float(z[near])):
        best = near
    lag = best - furthest + _between(z, best)
    power = sum(
        math.atanh(modest) * channel.scale for modest, channel in zip(MODEST, channels, strict=True)
    ) / math.sqrt(2)
    return LipSync(
        correlation=float(channels[0].r[best]),
        lag_frames=float(lag),
        z=float(z[best]),
        z_natural=float(z[near]),
        z_anywhere=float(z[loudest]),
        power=float(power),
        voiced_s=voiced,
        frames=int(known.sum()),
        windows=_windows(moving[0], spoken[0], known, best - furthest),
    )


def expected_lips(features: Array) -> Array:
    """(T, D) raw features -> (T, 2) height and width of the mean head's mouth about its own mean, inter-ocular
    distances."""
    model, slopes = _mouth_of_speech()
    targets, _ = model.predict(features)
    return np.asarray(targets[:, : len(slopes)] @ slopes, np.float32)


@lru_cache(maxsize=1)
def _mouth_of_speech() -> tuple[GeneralModel, Array]:
    """The shipped model, and (E, 2) height and width per unit of each of its expressions."""
    model, head = GeneralModel.load(SHIPPED), MorphableModel.load()
    neutral = head.neutral(np.zeros(head.identity_basis.shape[-1], np.float32))
    index = [head.expression_index(name) for name in model.expression_names]
    coefficients = np.zeros((1 + len(index), len(head.expression_names)), np.float32)
    coefficients[1 + np.arange(len(index)), index] = 0.25  # about the size of speech
    shapes = lip_shape(head.landmark_points(head.vertices(neutral, coefficients)))
    return model, np.asarray(4 * (shapes[1:] - shapes[0]), np.float32)


@dataclass(frozen=True)
class _Compared:
    r: NDArray[np.float64]
    """(2 furthest + 1,) correlation at each lag, lips ahead first."""
    z: NDArray[np.float64]
    """The same in standard deviations of chance."""
    scale: float
    """Standard deviations per unit of atanh r at lag 0."""


def _compare(
    seen: NDArray[np.float64], expected: NDArray[np.float64], known: NDArray[np.bool_], furthest: int
) -> _Compared:
    """Correlate two series at every lag, and weigh each by how many independent frames both of them have."""
    reach = min(_REACH, len(seen) - 1)
    product = _autocorrelation(seen, reach) * _autocorrelation(expected, reach)
    inflation = max(1.0, 1 + 2 * float((product * (1 - np.arange(1, reach + 1) / len(seen))).sum()))
    r, counts = np.zeros(2 * furthest + 1), np.zeros(2 * furthest + 1)
    for lag in range(-furthest, furthest + 1):
        frames = np.arange(max(0, -lag), min(len(seen), len(seen) - lag))
        frames = frames[known[frames + lag]]
        counts[lag + furthest] = len(frames)
        r[lag + furthest] = _correlation(seen[frames + lag], expected[frames])
    z = np.arctanh(np.clip(r, -0.999, 0.999)) * np.sqrt(counts / inflation)
    return _Compared(r, z, math.sqrt(float(counts[furthest]) / inflation))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 2:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 1e-12 else 0.0


def _autocorrelation(series: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """(reach,) at 1, 2, ... frames."""
    series = series - series.mean()
    power = float(series @ series)
    if power < 1e-12:
        return np.zeros(reach)
    return np.array([float(series[k:] @ series[:-k]) / power for k in range(1, reach + 1)])


def _bridged(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``valid``, and the short gaps between two valid frames."""
    known = valid.copy()
    times = np.flatnonzero(valid)
    for before, after in pairwise(times):
        if 1 < after - before <= _BRIDGED + 1:
            known[before + 1 : after] = True
    return known


def _without_posture(series: NDArray[np.floating], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C, T) less its slow part over the known frames, zero elsewhere."""
    weight = gaussian_filter1d(known.astype(float), _SLOW, mode="nearest")
    slow = gaussian_filter1d(series * known, _SLOW, axis=1, mode="nearest") / np.maximum(weight, 1e-9)
    return np.where(known, series - slow, 0.0)


def _decisive(far: float, near: float) -> bool:
    """Whether the best of all lags speaks louder than a natural one, which is so much more frequent."""
    return max(far, 0.0) ** 2 - max(near, 0.0) ** 2 > 2 * _PRIOR


def _between(z: NDArray[np.float64], best: int) -> float:
    """Where a parabola through the peak and its neighbours is highest, frames from the peak, -0.5..0.5."""
    if not 0 < best < len(z) - 1:
        return 0.0
    left, middle, right = z[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < -1e-9 else 0.0


def _windows(
    seen: NDArray[np.float64], expected: NDArray[np.float64], known: NDArray[np.bool_], lag: int
) -> tuple[tuple[int, float], ...]:
    """The correlation in consecutive windows that show the mouth in half of their frames or more."""
    shifted = np.roll(expected, lag)
    found = []
    for first in range(0, len(seen), WINDOW):
        inside = np.flatnonzero(known[first : first + WINDOW]) + first
        if len(inside) >= WINDOW // 2:
            found.append((first, round(_correlation(seen[inside], shifted[inside]), 3)))
    return tuple(found)
