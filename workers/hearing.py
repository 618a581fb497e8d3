"""Which words are said in a recording? Recognisers that the operator brings; nothing is ever downloaded here.

A recogniser may confirm that the words of a consent were said. What it does not hear is left to a person: it refuses
nobody. A new one is a class with the methods of :class:`Recogniser` and a line in ``RECOGNISERS``.
"""

from __future__ import annotations

import importlib.util
import math
import re
import tempfile
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from likeness.settings import Settings
from problems import InvalidParameter

SAMPLE_RATE = 16000


class Recogniser(Protocol):
    """Hears words."""

    @property
    def name(self) -> str:
        """What it is called in reports."""

    @property
    def languages(self) -> Collection[str]:
        """Which it understands, such as ``en``."""

    def hear(self, samples: NDArray[np.float32], language: str, vocabulary: Sequence[str]) -> list[str]:
        """The words that are said, in order.

        Args:
            samples: (N,) at 16 kHz, in [-1, 1].
            language: one of ``languages``.
            vocabulary: the words that may be said; a recogniser may hear others, too.
        """


def recogniser_of(settings: Settings) -> Recogniser | None:
    """The one that the deployment names; None where a person listens.

    Raises:
        InvalidParameter: its library is not installed, or its model is not there.
    """
    if not settings.recogniser:
        return None
    library, make = RECOGNISERS[settings.recogniser]
    if importlib.util.find_spec(library.split("==")[0].replace("-", "_")) is None:
        raise InvalidParameter(
            f"the recogniser {settings.recogniser} is named, but its library is not installed",
            remedy=f"pip install {library} where the workers run, or unset LIKENESS_RECOGNISER: then a person listens",
            details={"field": "LIKENESS_RECOGNISER"},
        )
    return make(settings.recogniser_model)


def words_missing(heard: Sequence[str], passcode: str, vocabulary: Collection[str] = ()) -> list[str]:
    """Those words of a passcode that were not heard, in the passcode's order; empty when all were.

    A word counts when it was heard up to a letter in four (an accent, a plural), after the words before it; but another
    word of the ``vocabulary`` is that other word.
    """
    missing, at = [], 0
    whole = {_plain(word) for word in vocabulary}
    spoken = [_plain(word) for word in heard]
    for word in passcode.split():
        wanted = _plain(word)
        found = next((k for k in range(at, len(spoken)) if _alike(spoken[k], wanted, whole)), None)
        if found is None:
            missing.append(word)
        else:
            at = found + 1
    return missing


def _plain(word: str) -> str:
    folded = unicodedata.normalize("NFKD", word.casefold().replace("ß", "ss"))
    return re.sub(r"[^a-z0-9]", "", folded)


def _alike(spoken: str, wanted: str, whole: Collection[str]) -> bool:
    if spoken == wanted or spoken in whole:
        return spoken == wanted
    return _edits(spoken, wanted) <= len(wanted) // 4


def _edits(one: str, other: str) -> int:
    """Letters to put in, take out or change."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (letter != wanted))
    return row[-1]


def _folder(model: Path | None, name: str, *parts: str) -> Path:
    missing = [part for part in parts if model is None or not (model / part).exists()]
    if model is None or missing:
        where = "none is named" if model is None else f"{model} has no {' and no '.join(missing)}"
        raise InvalidParameter(
            f"the recogniser {name} has no model: {where}",
            remedy="put its model on this machine and name the folder in LIKENESS_RECOGNISER_MODEL",
            details={"field": "LIKENESS_RECOGNISER_MODEL"},
        )
    return model


# -- PocketSphinx --------------------------------------------------------------------------------------------


@dataclass
class PocketSphinx:
    """English; with the model that comes in its package, or one of the same layout (``en-us/`` and
    ``cmudict-en-us.dict``). It is asked which words of the vocabulary are said, any as likely as another, in any
    order: the wanted ones have no advantage."""

    model: Path
    name: str = "pocketsphinx"
    languages: Collection[str] = ("en",)

    @classmethod
    def of(cls, model: Path | None) -> PocketSphinx:
        """With the operator's model, or the package's own."""
        if model is None:
            import pocketsphinx

            model = Path(pocketsphinx.get_model_path()) / "en-us"
        return cls(_folder(model, "pocketsphinx", "en-us", "cmudict-en-us.dict"))

    def hear(self, samples: NDArray[np.float32], language: str, vocabulary: Sequence[str]) -> list[str]:
        """See :class:`Recogniser`."""
        import pocketsphinx

        known = self._pronunciations({word.lower() for word in vocabulary})
        with tempfile.TemporaryDirectory(prefix="likeness-hearing-") as name:
            words, grammar = Path(name) / "words.dict", Path(name) / "words.lm"
            words.write_text("".join(line for lines in known.values() for line in lines))
            grammar.write_text(_any_order(sorted(known)))
            decoder = pocketsphinx.Decoder(
                pocketsphinx.Config(
                    hmm=str(self.model / "en-us"), dict=str(words), lm=str(grammar), loglevel="FATAL"
                )
            )
        decoder.start_utt()
        pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        found: Any = decoder.hyp()
        return found.hypstr.lower().split() if found is not None else []

    def _pronunciations(self, vocabulary: Collection[str]) -> dict[str, list[str]]:
        known: dict[str, list[str]] = {}
        with (self.model / "cmudict-en-us.dict").open(encoding="utf-8") as lines:
            for line in lines:
                word = line.split(maxsplit=1)[0].split("(")[0]
                if word in vocabulary:
                    known.setdefault(word, []).append(line)
        return known


def _any_order(words: Sequence[str]) -> str:
    """A language model in ARPA's format in which each word is as likely as another, whatever was said before."""
    each = math.log10(1 / (len(words) + 1))
    grams = [f"{each:.4f} </s>", "-99 <s>", *(f"{each:.4f} {word}" for word in words)]
    return "\n".join(["\\data\\", f"ngram 1={len(grams)}", "", "\\1-grams:", *grams, "", "\\end\\", ""])


# -- faster-whisper ------------------------------------------------------------------------------------------


@dataclass
class FasterWhisper:
    """English and German, with a Whisper model in CTranslate2's format that the operator has put there."""

    model: Path
    name: str = "faster-whisper"
    languages: Collection[str] = ("en", "de")

    @classmethod
    def of(cls, model: Path | None) -> FasterWhisper:
        """With the operator's model; there is no other."""
        return cls(_folder(model, "faster-whisper", "model.bin", "config.json"))

    def hear(self, samples: NDArray[np.float32], language: str, vocabulary: Sequence[str]) -> list[str]:
        """See :class:`Recogniser`. It hears freely: the vocabulary is not told, so that it can't be led."""
        import faster_whisper

        model = faster_whisper.WhisperModel(
            str(self.model), device="cpu", compute_type="int8", local_files_only=True
        )
        segments, _ = model.transcribe(
            samples, language=language, beam_size=5, condition_on_previous_text=False
        )
        return re.findall(r"\w+", " ".join(segment.text for segment in segments))


RECOGNISERS: Mapping[str, tuple[str, Callable[[Path | None], Recogniser]]] = {
    "pocketsphinx": ("pocketsphinx==5.0.4", PocketSphinx.of),
    "faster-whisper": ("faster-whisper", FasterWhisper.of),
}
"""By their name in ``LIKENESS_RECOGNISER``: what to install, and how to make it of the model's folder."""
