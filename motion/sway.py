"""What speech does not tell about a head: sampled from the clip's own residual by an overlapping-block bootstrap.

A regression of pose on speech predicts a mean that hardly moves; what is left over is most of a head's motion. Pieces
of the clip's residual (pose, brows, gaze, lid baseline together, so that they stay coordinated) are joined where
position and velocity match (Künsch 1989 for the block bootstrap; the choice of joints is the motion graphs' of Kovar et
al. 2002), and where the person's turns meet the accents of the speech to come. What gap is left in position and
velocity dies away like a critically damped spring (inertialization, Bollo 2018) under the new piece, whose own movement
stays whole: a cross-fade would average it away. A slow drift over phrases is added and its variance taken out of the
pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motion.accents import closeness, head_turns, speech_accents

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SwayConfig:
    """Lengths in frames at 25 fps."""

    shortest: int = 38
    """Frames of the shortest piece (1.5 s)."""
    longest: int = 88
    """Frames of the longest (3.5 s)."""
    settle: float = 8.0
    """Frames in which the gap between two pieces falls to 1/e, once it does."""
    candidates: int = 6
    """A piece is drawn from this many best continuations."""
    fitting: int = 40
    """Continuations that fit well enough for their speech to be compared."""
    prosody: float = 1.0
    """Cost of speech that differs from the speech to come by its whole variance, in squared spreads of a joint."""
    accent: float = 6.0
    """Worth of a piece whose every turn meets an accent of the speech to come, in squared spreads of a joint."""
    ahead: int = 60
    """Frames of speech that are compared."""
    drift: float = 0.25
    """Standard deviation of the phrase-level drift, in those of the residual."""
    drift_frames: float = 200.0
    """Time constant of the drift."""


class SwaySampler:
    """An endless sequence in the residual's own statistics.

    Args:
        residual: (T, C) the clip's residual.
        usable: (T,) False where the track was interpolated; pieces do not cross such frames.
        matched: (C,) weight of each channel when pieces are joined: 1 over its standard deviation, 0 to ignore it.
        drifting: (C,) True for the channels that also drift (the pose).
        prosody: (T, P) the clip's speech, standardised, or None to choose pieces without it.
        seed: two seeds give two sequences.
    """

    def __init__(
        self,
        residual: Array,
        usable: NDArray[np.bool_],
        matched: Array,
        drifting: NDArray[np.bool_],
        prosody: Array | None,
        seed: int,
        config: SwayConfig = SwayConfig(),
    ) -> None:
        self._residual = residual.astype(np.float64)
        self._config = config
        self._prosody = prosody
        # Two streams of chance: how many frames are asked for at a time must not change what is drawn for which.
        self._turns = np.zeros(len(residual))
        self._turns[head_turns(residual[:, :3])] = 1.0
        self._rng = np.random.default_rng([seed, 0x5A1])
        self._drift_rng = np.random.default_rng([seed, 0xD21F])
        self._since = 0  # frames since the last joint
        self._gap = np.zeros((2, residual.shape[1]))  # position and velocity that the joint left open
        self._runs = _run_lengths(usable)
        self._shortest = max(1, min(config.shortest, int(self._runs.max(initial=0)) - 1))
        # Position and velocity, each over its own spread, describe where a piece can be joined.
        velocity = np.gradient(self._residual, axis=0) if len(residual) > 1 else np.zeros_like(self._residual)
        speed = velocity.std(0) + 1e-9
        self._joint = np.concatenate([self._residual * matched, velocity / speed * (matched > 0)], axis=1)
        self._starts = np.nonzero(self._runs > self._shortest)[0]
        self._used = np.zeros(len(residual))
        self._spread = self._residual.std(0) * drifting
        self._pull = self._drift_rng.standard_normal(residual.shape[1])
        self._drift = self._pull / 2
        self._piece, self._left = self._begin()

    def _begin(self) -> tuple[int, int]:
        start = int(self._rng.choice(self._starts)) if len(self._starts) else 0
        return start, self._length(start)

    def _length(self, start: int) -> int:
        """Frames to play from ``start``; the one after them is usable too, the next piece is joined there."""
        room = int(self._runs[start]) - 1 if len(self._runs) else 1
        longest = min(self._config.longest, room)
        return (
            int(self._rng.integers(self._shortest, longest + 1)) if longest > self._shortest else max(1, room)
        )

    def next(self, frames: int, speech: Array | None = None) -> Array:
        """(frames, C): the sequence goes on where the last call ended.

        Args:
            frames: how many.
            speech: (at least ``frames``, P) the recording's speech from here on, like the clip's; None for none.
        """
        out = np.empty((frames, self._residual.shape[1]))
        done = 0
        while done < frames:
            if self._left == 0:
                self._join(None if speech is None else speech[done : done + self._config.ahead])
            count = min(self._left, frames - done)
            played = self._track(self._piece, count)
            out[done : done + count] = played
            self._piece, self._left = self._piece + count, self._left - count
            done += count
        return self._with_drift(out).astype(np.float32)

    def _track(self, start: int, count: int) -> NDArray[np.float64]:
        """Frames of the current piece over what is left of the gap that it was joined with."""
        piece = self._residual[np.minimum(np.arange(start, start + count), len(self._residual) - 1)]
        step = self._since + np.arange(count)
        self._since += count
        return piece + self._left_open(step)

    def _left_open(self, step: NDArray[np.int64]) -> NDArray[np.float64]:
        """(t, C) of the gap, ``step`` (t,) frames after the joint: a critically damped spring."""
        position, velocity = self._gap
        rate = 1 / self._config.settle
        time = step[:, None]
        return (position + (velocity + rate * position) * time) * np.exp(-rate * time)

    def _join(self, speech: Array | None) -> None:
        """Choose the next piece: near in position and velocity, seldom used, said with such speech, not playing now."""
        here = min(self._piece, len(self._residual) - 1)
        if len(self._starts) < 2:
            self._begin_piece(here, int(self._starts[0]) if len(self._starts) else 0)
            return
        distance = np.square(self._joint[self._starts] - self._joint[here]).mean(1)
        near = np.abs(self._starts - here) < self._shortest
        cost = distance + 0.15 * self._used[self._starts] + 1e3 * near
        best = np.argsort(cost, kind="stable")[: self._config.fitting]
        best = best[np.argsort(cost[best] + self._unlike(self._starts[best], speech), kind="stable")]
        best = best[: self._config.candidates]
        start = int(self._starts[self._rng.choice(best)])
        self._used *= 0.8
        low, high = max(0, start - self._shortest // 2), start + self._shortest // 2
        self._used[low:high] += 1.0
        self._begin_piece(here, start)

    def _begin_piece(self, here: int, start: int) -> None:
        """Go on at ``start`` instead of at ``here``."""
        now, before = self._left_open(np.array([self._since, self._since - 1]))
        source = self._residual
        velocity = (
            source[here]
            - source[max(here - 1, 0)]
            - (source[min(start + 1, len(source) - 1)] - source[start])
        )
        self._gap = np.stack([source[here] - source[start] + now, velocity + now - before])
        self._since, self._piece, self._left = 0, start, self._length(start)

    def _unlike(self, starts: NDArray[np.int64], speech: Array | None) -> NDArray[np.float64]:
        """(S,) cost of pieces whose speech differs from the speech to come, and whose turns miss its accents."""
        if self._prosody is None or speech is None or len(speech) < 8:
            return np.zeros(len(starts))
        index = np.minimum(starts[:, None] + np.arange(len(speech)), len(self._prosody) - 1)
        unlike = np.square(self._prosody[index] - speech).mean((1, 2)) / 2
        turns = self._turns[index]  # (S, t)
        meeting = turns @ closeness(speech_accents(speech[:, 0]), len(speech)) / np.maximum(turns.sum(1), 1)
        return self._config.prosody * unlike - self._config.accent * meeting

    def _with_drift(self, out: NDArray[np.float64]) -> NDArray[np.float64]:
        """A twice-smoothed Ornstein-Uhlenbeck process of unit variance, so that its velocity is smooth too."""
        share = self._config.drift
        rate = 2.0 / self._config.drift_frames
        noise = self._drift_rng.standard_normal(out.shape)
        drift = np.empty_like(out)
        for t in range(len(out)):
            self._pull += rate * (-self._pull) + np.sqrt(2 * rate) * noise[t]
            self._drift += rate * (self._pull - self._drift)
            drift[t] = self._drift
        # Two first-order lags of the same time constant halve the variance.
        drifting = self._spread > 0
        kept = np.where(drifting, np.sqrt(1 - share**2), 1.0)
        return out * kept + np.sqrt(2.0) * share * self._spread * drift


def _run_lengths(usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(T,) how many usable frames follow from here, this one included."""
    runs = np.zeros(len(usable), np.int64)
    count = 0
    for t in range(len(usable) - 1, -1, -1):
        count = count + 1 if usable[t] else 0
        runs[t] = count
    return runs


def limit_speed(pose: Array, limits: Array, last: Array | None = None) -> Array:
    """Keep every step of a (T, 6) pose deviation under the clip's own fastest.

    Args:
        pose: (T, 6) rotation deviation in radians, translation deviation in mm.
        limits: (2,) greatest length of a step in rotation and in translation.
        last: (6,) the frame before, when the motion goes on.

    Returns:
        (T, 6); where it was too fast it catches up as fast as it may.
    """
    out = pose.astype(np.float64).copy()
    before = out[0].copy() if last is None else last.astype(np.float64)
    for t in range(len(out)):
        for part, limit in ((slice(0, 3), limits[0]), (slice(3, 6), limits[1])):
            step = out[t, part] - before[part]
            length = float(np.sqrt((step**2).sum()))
            if length > limit:
                out[t, part] = before[part] + step * (limit / length)
        before = out[t]
    return out.astype(np.float32)
