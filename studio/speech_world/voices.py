"""What is said and who says it: sentences in many languages, espeak-ng voices, and which of them stay unheard."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

Split = Literal["train", "held-out"]

SENTENCES = Path(__file__).with_name("sentences.toml")
HELD_OUT_LANGUAGES = ("pl", "sv", "tr", "el")
"""Languages that no training clip is in."""
VARIANTS = (
    "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "klatt", "klatt2", "klatt4",
    "croak", "whisper", "Alex", "Alicia", "Andrea", "Annie", "Denis", "Gene", "Hugo", "Jacky", "Lee", "Mario",
    "Michael", "Reed", "adam", "anika", "antonio", "belinda", "boris", "david", "ed", "linda", "marcelo", "paul",
)  # fmt: skip
"""Voices of the training clips, in any of their languages."""
HELD_OUT_VARIANTS = (
    "Andy",
    "Diogo",
    "Marco",
    "Mr serious",
    "klatt3",
    "max",
    "miguel",
    "steph",
    "victor",
    "zac",
)
"""Voices that no training clip has."""


@dataclass(frozen=True)
class Voice:
    """A speaker for espeak-ng."""

    language: str
    """espeak-ng's name of the language."""
    variant: str
    """espeak-ng's name of the voice."""
    words_per_minute: int
    """110..220."""
    pitch: int
    """0..100."""

    @property
    def name(self) -> str:
        """What espeak-ng calls it, e.g. ``de+f3``."""
        return f"{self.language}+{self.variant}"


@cache
def sentences() -> dict[str, tuple[str, ...]]:
    """Sentences by language."""
    with SENTENCES.open("rb") as file:
        return {language: tuple(texts) for language, texts in tomllib.load(file).items()}


def draw_voice(rng: np.random.Generator, split: Split) -> Voice:
    """A voice at random.

    Held-out voices are never heard in training; half of them speak a language that is not either.
    """
    trained = [language for language in sentences() if language not in HELD_OUT_LANGUAGES]
    new_language = split == "held-out" and rng.random() < 0.5
    return Voice(
        language=str(rng.choice(HELD_OUT_LANGUAGES if new_language else trained)),
        variant=str(rng.choice(VARIANTS if split == "train" else HELD_OUT_VARIANTS)),
        words_per_minute=int(np.clip(rng.normal(160, 24), 110, 220)),
        pitch=int(rng.integers(15, 86)),
    )


def draw_text(rng: np.random.Generator, language: str) -> str:
    """A sentence now and then; mostly invented words that are spelt, and so pronounced, like the language's own.

    A few sentences said a thousand times teach a network the sentences. Invented words teach it the sounds.
    """
    texts = sentences()[language]
    if rng.random() < 0.2:
        return str(rng.choice(texts))
    count = int(rng.integers(3, 12))
    if language in _WITHOUT_SPACES:
        letters = [letter for text in texts for letter in text if letter.isalpha()]
        return "".join(rng.choice(letters, size=2 * count))
    spelling = _spelling(language)
    words = " ".join(_invented_word(rng, spelling) for _ in range(count))
    return words + str(rng.choice([".", "?", "!", ",", "."]))


_WITHOUT_SPACES = ("cmn",)
_END = "$"


@cache
def _spelling(language: str) -> dict[str, str]:
    """What may follow each pair of letters in the language's words, as often as it does (a Markov chain)."""
    follows: dict[str, str] = {}
    for text in sentences()[language]:
        for word in text.lower().split():
            letters = "^^" + word.strip(".,;:?!¿¡") + _END
            for at in range(2, len(letters)):
                pair = letters[at - 2 : at]
                follows[pair] = follows.get(pair, "") + letters[at]
    return follows


def _invented_word(rng: np.random.Generator, spelling: dict[str, str]) -> str:
    word = "^^"
    while len(word) < 14:
        options = spelling[word[-2:]]
        letter = options[int(rng.integers(len(options)))]
        if letter == _END:
            break
        word += letter
    return word[2:]
