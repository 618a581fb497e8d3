"""Phoneme times to mouth coefficients in one person's manner: co-articulation, closures, a rest mouth.

Every sound pulls each articulator (:mod:`studio.speech_world.articulators`) towards its target; the pull falls off
exponentially from the sound's middle, slower before it than after it for the lips, and the articulator stands at the
weighted mean of all pulls (Cohen & Massaro 1993). A person's style scales the articulators, colours every sound's
targets a little, has its own tempo and lead, and its own division of labour among ARKit coefficients. Bilabials close
the lips and labiodentals bring them to the teeth whatever stands around, in every style.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motion.targets import MouthGeometry
from studio.gestures import FPS, sides, wander
from studio.speech import Phoneme
from studio.speech_world.articulators import (
    ARTICULATORS,
    BILABIALS,
    GESTURES,
    LABIODENTALS,
    VOWELS,
    gestures_of,
)

Floats = NDArray[np.float64]

_INDEX = {name: n for n, name in enumerate(ARTICULATORS)}
_SYMBOLS = tuple(GESTURES)
_ROW = {symbol: n for n, symbol in enumerate(_SYMBOLS)}
_TARGETS = np.array([[GESTURES[s].targets.get(a, 0.0) for a in ARTICULATORS] for s in _SYMBOLS])
_DOMINANCE = np.array(
    [[GESTURES[s].dominance.get(a, GESTURES[s].rest) for a in ARTICULATORS] for s in _SYMBOLS]
)

_AFTER_S = np.array([0.060, 0.070, 0.075, 0.070, 0.055, 0.055, 0.03, 0.03, 0.04])
"""Time in which an articulator's pull falls to 1/e after the sound's middle."""
_BEFORE_S = np.array([0.065, 0.080, 0.110, 0.100, 0.060, 0.060, 0.03, 0.03, 0.04])
"""The same before it: rounding is taken up well ahead of its vowel."""

_WORK: dict[str, tuple[tuple[str, float], ...]] = {
    "jaw": (("jawOpen", 0.42),),
    "spread": (("mouthStretchL", 0.22), ("mouthSmileL", 0.22), ("mouthDimpleL", 0.14)),
    "round": (("mouthPucker", 0.5), ("mouthFunnel", 0.15), ("mh:mouth-compression", 0.1)),
    "protrude": (("mouthFunnel", 0.32), ("mh:mouth-protusion", 0.14)),
    "upper": (("mouthUpperUpL", 0.36),),
    "lower": (("mouthLowerDownL", 0.42),),
    "close": (("mouthPressL", 0.2), ("mouthRollLower", 0.18), ("mouthRollUpper", 0.12)),
    "bite": (("mouthRollLower", 0.42), ("mouthUpperUpL", 0.1), ("mouthShrugLower", 0.08)),
    "tongue": (("tongueOut", 0.1),),
}
"""Coefficients that do an articulator's work, with their amount at 1 (``L`` stands for both sides)."""
_POSTURE = {
    "mouthSmileL": 0.12, "mouthPressL": 0.1, "mouthFrownL": 0.08, "mouthShrugUpper": 0.08, "mouthShrugLower": 0.05,
    "mouthRollLower": 0.1, "mouthRollUpper": 0.08, "mouthUpperUpL": 0.12, "mouthLeft": 0.05, "mouthRight": 0.05,
    "mouthDimpleL": 0.05, "mh:mouth-compression": 0.05, "mh:mouth-eversion": 0.05, "cheekPuff": 0.03,
}  # fmt: skip
"""Typical size of what a mouth holds all the time; every person has their own."""

BITE_OPENING = 0.02
"""Inner-lip opening of a labiodental at most, inter-ocular distances: the teeth show below the upper lip."""
CLOSED_OPENING = -0.004
"""Opening that closed lips are brought to: they touch and press a little."""


@dataclass(frozen=True)
class ArticulationStyle:
    """How one person's mouth speaks."""

    reach: Floats
    """(A,) factor on each articulator's targets, about 1."""
    colour: Floats
    """(S, A) factor on each sound's targets, about 1."""
    before_s: Floats
    """(A,) time constant ahead of a sound."""
    after_s: Floats
    """(A,) time constant behind it."""
    lead_s: float
    """How much the mouth is ahead of the sound, seconds."""
    work: Floats
    """(A, E) coefficients per unit of articulator."""
    posture: Floats
    """(E,) what the mouth holds all the time."""
    rest: Floats
    """(A,) articulators in a pause; the jaw and the lips are not always shut."""
    breath: float
    """Jaw opening added by an intake of breath before a phrase."""
    stress: float
    """Widening of stressed vowels, share."""
    effort: float
    """How much wider the mouth moves per unit of effort, share."""
    drift: float
    """Standard deviation of the posture's slow change, coefficients."""

    @classmethod
    def draw(cls, rng: np.random.Generator, names: tuple[str, ...]) -> ArticulationStyle:
        """A person's style for a head model with the expressions ``names``."""
        count = len(ARTICULATORS)
        size = np.exp(0.2 * rng.standard_normal())  # somebody who mumbles, somebody who recites
        tempo = np.exp(0.2 * rng.standard_normal())
        rest = np.zeros(count)
        if rng.random() < 0.7:  # an open rest mouth is commoner on camera than a shut one
            rest[_INDEX["jaw"]] = rng.uniform(0.05, 0.45)
            rest[_INDEX["upper"]], rest[_INDEX["lower"]] = rng.uniform(0.0, 0.3, 2)
        rest[_INDEX["spread"]] = rng.uniform(0, 0.3) * (rng.random() < 0.4)
        reach = size * np.exp(0.22 * rng.standard_normal(count))
        return cls(
            reach=reach,
            colour=np.exp(0.16 * rng.standard_normal((len(_SYMBOLS), count))),
            before_s=_BEFORE_S * tempo * np.exp(0.15 * rng.standard_normal(count)),
            after_s=_AFTER_S * tempo * np.exp(0.15 * rng.standard_normal(count)),
            lead_s=rng.uniform(-0.01, 0.045),
            work=_draw_work(rng, names),
            posture=_draw_posture(rng, names),
            rest=rest * size,
            breath=rng.uniform(0, 0.35) * (rng.random() < 0.6),
            stress=rng.uniform(0.05, 0.35),
            effort=rng.uniform(0.05, 0.3),
            drift=rng.uniform(0.0, 0.04),
        )


def _draw_work(rng: np.random.Generator, names: tuple[str, ...]) -> Floats:
    work = np.zeros((len(ARTICULATORS), len(names)))
    lopsided = np.exp(0.1 * rng.standard_normal())
    for articulator, parts in _WORK.items():
        for name, amount in parts:
            own = amount * np.exp(0.35 * rng.standard_normal()) if articulator != "jaw" else amount
            for full in sides(name):
                if full in names:
                    side = (
                        lopsided if full.endswith("Left") else 1 / lopsided if full.endswith("Right") else 1.0
                    )
                    work[_INDEX[articulator], names.index(full)] += own * side
    return work


def _draw_posture(rng: np.random.Generator, names: tuple[str, ...]) -> Floats:
    posture = np.zeros(len(names))
    for name, amount in _POSTURE.items():
        held = amount * abs(rng.standard_normal())
        for full in sides(name):
            if full in names:
                posture[names.index(full)] = held * np.exp(0.15 * rng.standard_normal())
    return posture


@dataclass(frozen=True)
class Articulation:
    """A mouth that speaks."""

    expression: Floats
    """(T, E) mouth coefficients in [0, 1]."""
    closure: Floats
    """(T,) 1 where the lips meet for a bilabial, 0 where no bilabial is near; between them while they move."""
    opening: Floats
    """(T,) inner-lip opening by the linear geometry, inter-ocular distances."""


def articulate(
    phonemes: tuple[Phoneme, ...],
    frames: int,
    style: ArticulationStyle,
    names: tuple[str, ...],
    geometry: MouthGeometry,
    effort: Floats,
    rng: np.random.Generator,
) -> Articulation:
    """The mouth for some sounds, at 25 fps; frame k shows the time (k + .5) / 25.

    Args:
        phonemes: sounds and pauses from 0 on, without gaps.
        frames: T.
        style: the person's.
        names: the E expressions.
        geometry: of a head with these expressions; its opening decides when lips meet.
        effort: (T,) of unit deviation, see :class:`studio.speech_world.utterances.Utterance`.
        rng: what cannot be heard: a little more effort, and the posture's drift.
    """
    times = (np.arange(frames) + 0.5) / FPS + style.lead_s
    articulators = _pull(times, _pulls(phonemes, style), style)  # (T, A)
    close, bite = _contacts(times, phonemes)
    articulators[:, _INDEX["close"]] = np.maximum(articulators[:, _INDEX["close"]] * 0.3, close)
    articulators[:, _INDEX["bite"]] = np.maximum(articulators[:, _INDEX["bite"]] * 0.3, bite)
    size = 1 + style.effort * effort + 0.05 * wander(rng, frames, 1.2)
    expression = np.clip(size, 0.4, 1.8)[:, None] * (articulators @ style.work)
    moving = np.flatnonzero(style.posture > 0)
    drift = (
        np.column_stack([wander(rng, frames, 4.0) for _ in moving]) if len(moving) else np.zeros((frames, 0))
    )
    expression += style.posture
    expression[:, moving] += style.drift * drift
    expression = np.clip(expression, 0, 1)
    expression = _meet(expression, close, CLOSED_OPENING, style, names, geometry)
    expression = _meet(expression, bite, BITE_OPENING, style, names, geometry)
    opening = expression @ geometry.opening + geometry.rest
    return Articulation(expression, close, opening)


def _pulls(phonemes: tuple[Phoneme, ...], style: ArticulationStyle) -> tuple[Floats, Floats, Floats]:
    """Middles (P,), targets (P, A) and dominances (P, A) of everything that pulls."""
    middles: list[float] = []
    targets: list[Floats] = []
    strengths: list[Floats] = []
    for phoneme in phonemes:
        symbols = gestures_of(phoneme.ipa)
        length = phoneme.end_s - phoneme.start_s
        if not symbols:
            # The longer a pause, the more of it belongs to the rest mouth; its edges belong to the speech.
            for middle in np.arange(phoneme.start_s + 0.09, phoneme.end_s - 0.05, 0.06):
                middles.append(float(middle))
                rest = style.rest.copy()
                if length > 0.35 and phoneme.end_s - middle < 0.3:
                    rest[_INDEX["jaw"]] += style.breath
                targets.append(rest)
                strengths.append(np.full(len(rest), 0.55))
            continue
        stressed = 1 + style.stress * (("ˈ" in phoneme.ipa) - 0.3)
        step = length / len(symbols)
        for n, symbol in enumerate(symbols):
            row = _ROW[symbol]
            target = _TARGETS[row] * style.reach * style.colour[row]
            dominance = _DOMINANCE[row]
            if symbol in VOWELS:
                # A short vowel is passed through, a long one is reached (Lindblom's undershoot, 1963).
                target = target * stressed
                dominance = dominance * np.clip(step / 0.08, 0.5, 2.0)
            middles.append(phoneme.start_s + (n + 0.5) * step)
            targets.append(target)
            strengths.append(dominance)
    if not middles:
        return np.zeros(1), style.rest[None], np.ones((1, len(style.rest)))
    return np.array(middles), np.stack(targets), np.stack(strengths)


def _pull(times: Floats, pulls: tuple[Floats, Floats, Floats], style: ArticulationStyle) -> Floats:
    """(T, A) articulators as the dominance-weighted mean of the targets; 30 s at a time to bound the memory."""
    middles, targets, strengths = pulls
    result = np.empty((len(times), targets.shape[1]))
    for start in range(0, len(times), 750):
        part = times[start : start + 750]
        near = slice(*np.searchsorted(middles, [part[0] - 0.8, part[-1] + 0.8]))
        away = part[:, None] - middles[near]  # (t, P)
        for a in range(targets.shape[1]):
            decay = np.exp(-np.abs(away) / np.where(away < 0, style.before_s[a], style.after_s[a]))
            weight = decay * strengths[near, a]
            # The rest mouth holds on weakly everywhere, so that a long silence is the rest mouth too.
            total = weight.sum(1) + 1e-4
            result[start : start + 750, a] = (weight @ targets[near, a] + 1e-4 * style.rest[a]) / total
    return result


def _contacts(times: Floats, phonemes: tuple[Phoneme, ...]) -> tuple[Floats, Floats]:
    """(T,) contact of the lips, and of lip and teeth, 0..1: shut through the sound, 45 ms to get there and away."""
    close, bite = np.zeros(len(times)), np.zeros(len(times))
    for phoneme in phonemes:
        symbols = gestures_of(phoneme.ipa)
        for n, symbol in enumerate(symbols):
            if symbol not in BILABIALS and symbol not in LABIODENTALS:
                continue
            contact = close if symbol in BILABIALS else bite
            step = (phoneme.end_s - phoneme.start_s) / len(symbols)
            begin = phoneme.start_s + n * step
            end = begin + max(0.7 * step, 0.03)
            near = slice(*np.searchsorted(times, [begin - 0.06, end + 0.06]))
            distance = np.maximum(np.maximum(begin - times[near], times[near] - end), 0)
            contact[near] = np.maximum(contact[near], np.clip(1 - distance / 0.045, 0, 1))
            # However short the sound, one frame shows the contact.
            middle = int(np.argmin(np.abs(times - (begin + end) / 2)))
            contact[middle] = 1.0
    return close, bite


def _meet(
    expression: Floats,
    contact: Floats,
    level: float,
    style: ArticulationStyle,
    names: tuple[str, ...],
    geometry: MouthGeometry,
) -> Floats:
    """Bring the opening down to ``level`` where there is contact, as a mouth does it.

    First the lips' own parting is given up, then ``mouthClose`` brings the lips together over an open jaw, and what is
    left the jaw closes.
    """
    result = expression.copy()
    parting = [
        names.index(n) for n in names if n.startswith(("mouthUpperUp", "mouthLowerDown", "mouthFunnel"))
    ]
    result[:, parting] *= 1 - 0.85 * contact[:, None]
    for name in ("mouthClose", "jawOpen"):
        index = names.index(name)
        slope = float(geometry.opening[index])
        if abs(slope) < 1e-4:
            continue
        over = np.maximum(result @ geometry.opening + geometry.rest - level, 0) * contact
        room = 0.6 if name == "mouthClose" else 1.0
        result[:, index] = np.clip(result[:, index] - over / slope, 0, max(room, 0.0))
    return result
