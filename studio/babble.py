"""Speech-like phoneme times without a voice: syllables of random sounds, gathered into words with pauses between.

For faces that must move as in speech where nobody needs to hear it, so no speech synthesiser is needed.
"""

from __future__ import annotations

import numpy as np

from studio.speech import Phoneme

ONSETS = ("p", "b", "m", "f", "v", "θ", "ð", "t", "d", "n", "l", "s", "z", "ʃ", "k", "ɡ", "h", "j", "ɹ", "w")
"""Consonants; labials come as often as in English, about one in four."""
NUCLEI = ("i", "ɪ", "eɪ", "ɛ", "æ", "ɑ", "ɔ", "oʊ", "u", "ʊ", "ʌ", "ə", "ə", "aɪ", "aʊ", "ɜ")
"""Vowels and diphthongs."""


def babble(rng: np.random.Generator, seconds: float, rate: float = 4.5) -> tuple[Phoneme, ...]:
    """Sounds and pauses that fill ``seconds``, from 0 on without gaps.

    Args:
        rng: source of chance.
        seconds: length.
        rate: syllables a second while speaking, 3..6.
    """
    sounds: list[tuple[str, float]] = [("", rng.uniform(0.1, 0.4))]
    while sum(length for _, length in sounds) < seconds:
        for syllable in range(rng.integers(1, 4)):
            stretch = rng.uniform(0.75, 1.3) / rate
            stress = "ˈ" if syllable == 0 and rng.random() < 0.5 else ""
            sounds.append((str(rng.choice(ONSETS)), 0.38 * stretch))
            sounds.append((stress + str(rng.choice(NUCLEI)), 0.62 * stretch))
            if rng.random() < 0.35:
                sounds.append((str(rng.choice(ONSETS[:-4])), 0.3 * stretch))
        if rng.random() < 0.25:
            sounds.append(("", rng.uniform(0.12, 0.5)))
    ends = np.minimum(np.cumsum([length for _, length in sounds]), seconds)
    starts = np.concatenate([[0.0], ends[:-1]])
    return tuple(
        Phoneme(ipa, float(a), float(b)) for (ipa, _), a, b in zip(sounds, starts, ends, strict=True) if b > a
    )
