"""Recognisers: which words of a passcode were heard, what is missing, and a real one where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from likeness.consents import vocabulary
from likeness.settings import Settings
from media.audio import read_wav
from media.normalise import normalise_recording
from problems import InvalidParameter
from workers.hearing import RECOGNISERS, PocketSphinx, recogniser_of, words_missing


@pytest.mark.parametrize(
    ("heard", "missing"),
    [
        ("the words of today are falcon castle lemon dragon", ""),
        ("Falcon, castles; LEMON dragons".replace(",", "").replace(";", ""), ""),
        ("falcon um castle no lemon i mean dragon", ""),
        ("falcon castle dragon lemon", "dragon"),
        ("falcon castle lemon", "dragon"),
        ("falcon saddle lemon dragon", "castle"),
        ("rocket island doctor coffee", "falcon castle lemon dragon"),
        ("", "falcon castle lemon dragon"),
    ],
)
def test_what_was_heard_of_a_passcode(heard: str, missing: str) -> None:
    assert words_missing(heard.split(), "falcon castle lemon dragon") == missing.split()


def test_german_letters_are_one_letter() -> None:
    assert words_missing(["Lowe", "strasse"], "Löwe Straße") == []


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_word_of_the_list_is_taken_for_another(language: str) -> None:
    """The leniency of a letter in four must not make one passcode of another: Insel is no Pinsel."""
    words = vocabulary(language)
    for one in words:
        assert words_missing([one], one, words) == []
        for other in words:
            if other.lower() != one.lower():
                assert words_missing([one], other, words) == [other]


def test_without_one_a_person_listens() -> None:
    assert recogniser_of(Settings()) is None


@pytest.mark.parametrize("name", sorted(RECOGNISERS))
def test_a_library_or_a_model_that_is_not_there_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.load(recogniser=name, recogniser_model=tmp_path)
    with pytest.raises(InvalidParameter) as caught:
        recogniser_of(settings)
    field = caught.value.details["field"]
    assert field in ("LIKENESS_RECOGNISER", "LIKENESS_RECOGNISER_MODEL")
    assert name in caught.value.message
    make = RECOGNISERS[name][1]
    with pytest.raises(InvalidParameter, match="no model"):
        make(tmp_path)


def test_pocketsphinx_hears_words(sample_recording: Path, tmp_path: Path) -> None:
    """On the bundled recording, whose sentence is known: among all words that a consent may hold, and silence."""
    pytest.importorskip("pocketsphinx")
    hearing = PocketSphinx.of(None)
    normalise_recording(sample_recording, tmp_path / "sound.wav")
    sound = read_wav(tmp_path / "sound.wav")
    said = "now I say something new my mouth has never been seen with these words before".lower().split()
    heard = hearing.hear(sound, "en", sorted({*vocabulary("en"), *said}))
    assert words_missing(heard, "something mouth seen words", said) == []
    assert words_missing(heard, "something mouth falcon words", vocabulary("en")) == ["falcon"]
    assert len(words_missing(heard, "falcon castle lemon dragon", vocabulary("en"))) > 2
