"""What the lips and the jaw do for each sound of the IPA, as targets for a handful of articulators.

Values are in units of a typical speaker's range. They follow phonetic descriptions of the sounds (International
Phonetic Association 1999; jaw heights after Lindblom & Sundberg 1971; rounding and spreading after Ladefoged &
Johnson 2014), not measurements of anybody. Each articulator has its own dominance (Cohen & Massaro 1993, "Modeling
coarticulation in synthetic visual speech"): the lips insist on a bilabial and leave the jaw to the vowels beside it, a
sibilant insists on the jaw and leaves the lips alone.
"""

from __future__ import annotations

from dataclasses import dataclass

ARTICULATORS = ("jaw", "spread", "round", "protrude", "upper", "lower", "close", "bite", "tongue")
"""jaw: opening; spread: lip corners apart; round: corners together; protrude: lips forward; upper and lower: the lips
away from each other by their own muscles; close: lips pressed together; bite: lower lip at the upper teeth; tongue:
between the teeth. 0 is the neutral closed mouth, 1 is about the most that speech does."""


@dataclass(frozen=True)
class Gesture:
    """What a sound asks of the articulators."""

    targets: dict[str, float]
    """Target by articulator, 0..1; those not named are asked for 0 with the weak ``rest`` dominance."""
    dominance: dict[str, float]
    """How much it insists, by articulator; 1 is a vowel's hold on the jaw."""
    rest: float = 0.35
    """Dominance on the articulators that ``dominance`` does not name."""


def _vowel(
    jaw: float, *, spread: float = 0.0, round_: float = 0.0, open_: float = 0.3, hold: float = 1.0
) -> Gesture:
    """A vowel: ``open_`` is how far the lips part by themselves."""
    return Gesture(
        {
            "jaw": jaw,
            "spread": spread,
            "round": round_,
            "protrude": 0.6 * round_,
            "upper": open_ * (1 - 0.5 * round_),
            "lower": open_ * (1 - 0.4 * round_),
        },
        {
            "jaw": hold,
            "spread": 0.9 * hold,
            "round": (0.5 + round_) * hold,
            "upper": 0.7 * hold,
            "lower": 0.7 * hold,
        },
        rest=0.4 * hold,
    )


_BILABIAL = Gesture(
    {"close": 1.0, "jaw": 0.12}, {"close": 9.0, "upper": 4.0, "lower": 4.0, "jaw": 0.45}, 0.15
)
_LABIODENTAL = Gesture(
    {"bite": 1.0, "jaw": 0.12, "upper": 0.25}, {"bite": 6.0, "jaw": 0.9, "upper": 1.5, "lower": 2.0}, 0.2
)
_APPROXIMANT = Gesture({"bite": 0.5, "jaw": 0.15, "upper": 0.2}, {"bite": 3.0, "jaw": 0.6}, 0.2)
_DENTAL = Gesture(
    {"jaw": 0.16, "lower": 0.35, "upper": 0.2, "tongue": 0.8}, {"jaw": 0.9, "lower": 0.9, "tongue": 3.0}
)
_ALVEOLAR = Gesture(
    {"jaw": 0.16, "lower": 0.3, "upper": 0.18}, {"jaw": 0.55, "lower": 0.5, "upper": 0.4}, 0.15
)
_LATERAL = Gesture(
    {"jaw": 0.25, "lower": 0.3, "upper": 0.18}, {"jaw": 0.5, "lower": 0.45, "upper": 0.35}, 0.15
)
_SIBILANT = Gesture(
    {"jaw": 0.05, "lower": 0.45, "upper": 0.25, "spread": 0.3},
    {"jaw": 1.8, "lower": 1.0, "upper": 0.7, "spread": 0.6},
    0.25,
)
_POSTALVEOLAR = Gesture(
    {"jaw": 0.08, "lower": 0.45, "upper": 0.35, "round": 0.35, "protrude": 0.75},
    {"jaw": 1.6, "lower": 1.0, "upper": 0.9, "round": 0.9, "protrude": 2.0},
    0.25,
)
_PALATAL = Gesture(
    {"jaw": 0.12, "spread": 0.4, "lower": 0.28, "upper": 0.2}, {"jaw": 0.7, "spread": 0.7}, 0.3
)
_VELAR = Gesture({"jaw": 0.22, "lower": 0.25, "upper": 0.15}, {"jaw": 0.4}, 0.12)
_UVULAR = Gesture({"jaw": 0.32, "lower": 0.25, "upper": 0.15}, {"jaw": 0.45}, 0.12)
_GLOTTAL = Gesture({"jaw": 0.3}, {"jaw": 0.12}, 0.05)  # the mouth is already where the next vowel wants it
_RHOTIC = Gesture(
    {"jaw": 0.18, "round": 0.35, "protrude": 0.45, "lower": 0.3},
    {"jaw": 0.6, "round": 0.9, "protrude": 1.0},
    0.25,
)
_LABIOVELAR = Gesture(
    {"jaw": 0.12, "round": 1.0, "protrude": 0.7, "upper": 0.08, "lower": 0.08},
    {"jaw": 0.8, "round": 3.0, "protrude": 1.6, "upper": 1.5, "lower": 1.5},
    0.25,
)
_BILABIAL_FRICATIVE = Gesture(
    {"close": 0.75, "jaw": 0.12}, {"close": 4.0, "upper": 2.0, "lower": 2.0, "jaw": 0.45}, 0.15
)

_GROUPS: dict[str, Gesture] = {
    "pbmɓʙ": _BILABIAL,
    "ɸβ": _BILABIAL_FRICATIVE,
    "fvɱ": _LABIODENTAL,
    "ʋⱱ": _APPROXIMANT,
    "θð": _DENTAL,
    "tdnɾrɗʈɖɳɽ": _ALVEOLAR,
    "lɫɭɬɮɺ": _LATERAL,
    "sz": _SIBILANT,
    "ʃʒɕʑʂʐɧ": _POSTALVEOLAR,
    "jcɟɲʎçʝɥʄ": _PALATAL,
    "kɡgŋxɣɠʟɰ": _VELAR,
    "qɢχʁɴʀħʕ": _UVULAR,
    "hɦʔʡ": _GLOTTAL,
    "ɹɻ": _RHOTIC,
    "wʍ": _LABIOVELAR,
    "i": _vowel(0.14, spread=0.75, open_=0.35),
    "ɪ": _vowel(0.22, spread=0.45, open_=0.3, hold=0.85),
    "e": _vowel(0.32, spread=0.5, open_=0.4),
    "ɛ": _vowel(0.46, spread=0.4, open_=0.4),
    "æ": _vowel(0.66, spread=0.45, open_=0.45),
    "a": _vowel(0.74, spread=0.2, open_=0.4),
    "ɑ": _vowel(0.76, open_=0.35),
    "ɒ": _vowel(0.66, round_=0.3, open_=0.3),
    "ɐ": _vowel(0.56, open_=0.3, hold=0.85),
    "ʌ": _vowel(0.58, open_=0.3, hold=0.9),
    "ə": _vowel(0.32, open_=0.25, hold=0.5),
    "ɘɨᵻ": _vowel(0.22, spread=0.2, open_=0.25, hold=0.6),
    "ɜɝɚɞ": _vowel(0.36, round_=0.25, open_=0.3, hold=0.8),
    "ɔ": _vowel(0.52, round_=0.5, open_=0.35),
    "o": _vowel(0.4, round_=0.7, open_=0.3),
    "ɤ": _vowel(0.38, open_=0.25, hold=0.8),
    "u": _vowel(0.16, round_=1.0, open_=0.15),
    "ʊ": _vowel(0.24, round_=0.65, open_=0.2, hold=0.85),
    "ʉ": _vowel(0.18, round_=0.8, open_=0.18),
    "ɯ": _vowel(0.18, spread=0.15, open_=0.2, hold=0.9),
    "y": _vowel(0.15, round_=0.95, open_=0.2),
    "ʏ": _vowel(0.23, round_=0.65, open_=0.22, hold=0.85),
    "øɵ": _vowel(0.34, round_=0.75, open_=0.28),
    "œɶ": _vowel(0.48, round_=0.55, open_=0.35),
}
GESTURES = {symbol: gesture for symbols, gesture in _GROUPS.items() for symbol in symbols}
"""Gesture by IPA symbol."""
BILABIALS = frozenset("pbmɓʙ")
"""Sounds for which the lips meet."""
LABIODENTALS = frozenset("fvɱ")
"""Sounds for which the lower lip meets the upper teeth."""
VOWELS = frozenset("iɪeɛæaɑɒɐʌəɘɨᵻɜɝɚɞɔoɤuʊʉɯyʏøɵœɶ")
"""Sounds that stress widens."""


def gestures_of(ipa: str) -> tuple[str, ...]:
    """The symbols of a phoneme that have a gesture, in order (a diphthong and an affricate have two)."""
    return tuple(symbol for symbol in ipa if symbol in GESTURES)
