"""Installed prompts become aligned speech of real voices, and held-out ones are never trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("espeakng_loader")

from problems import InvalidParameter
from studio.speech import speak
from studio.speech_world import prompts as module
from studio.speech_world.prompts import SOUNDS, Prompts, load_prompts, transcript
from studio.speech_world.utterances import draw_utterance

SAID = {
    "vm-options": "Press one for your new messages.",
    "agent-pass": "Please enter your password, followed by the pound key.",
    "digits/4": "Four.",
    "beep": "[beep]",
    "wrong": "The weather was rather pleasant for most of the autumn.",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers as Debian's packages lay them out, the second in the held-out language."""
    root = tmp_path_factory.mktemp("asterisk")
    for folder, language, voice in (
        ("en_US_f_Ann", "en", "en-us+f2"),
        ("ru_RU_f_Ira", "ru", "ru+f2"),
    ):
        said = SAID if language == "en" else {"hello": "Введите пароль и нажмите решётку."}
        lines = [f"{name}: {text}" for name, text in said.items()]
        (root / "doc" / folder).mkdir(parents=True)
        (root / "doc" / folder / f"core-sounds-{language}.txt").write_text("; a comment\n" + "\n".join(lines))
        for name, text in said.items():
            spoken = speak("Nobody knows, nobody sees." if name == "wrong" else text, voice=voice)
            file = root / "sounds" / folder / f"{name}.wav"
            file.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(file, spoken.samples, spoken.sample_rate)
    (root / "sounds" / "en").symlink_to(root / "sounds" / "en_US_f_Ann")
    return root


@pytest.fixture(scope="module")
def loaded(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prompts, Path]:
    cache = tmp_path_factory.mktemp("cache")
    return load_prompts(cache, installed / "sounds", installed / "doc"), cache


def test_usable_prompts_are_kept(loaded: tuple[Prompts, Path]) -> None:
    prompts, cache = loaded
    assert {(p.speaker, p.path.stem) for p in prompts.prompts} == {
        ("en_US_f_Ann", "agent-pass"),
        ("en_US_f_Ann", "vm-options"),
        ("ru_RU_f_Ira", "hello"),
    }  # a digit, a beep and other words than the transcript's are not
    assert json.loads((cache / "en_US_f_Ann.json").read_text())["tried"] == 4
    for prompt in prompts.prompts:
        assert prompt.phonemes[-1].end_s == pytest.approx(len(prompt.samples()) / 16_000, abs=0.01)
        assert sum(bool(p.ipa) for p in prompt.phonemes) > 15


def test_alignments_are_made_once(
    loaded: tuple[Prompts, Path], installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("aligned again")

    monkeypatch.setattr(module, "_align_speaker", never)
    assert load_prompts(loaded[1], installed / "sounds", installed / "doc") == loaded[0]


def test_held_out_prompts_are_never_trained_on(loaded: tuple[Prompts, Path]) -> None:
    prompts = loaded[0]
    train = {p.path for own in prompts.of("train").values() for p in own}
    held_out = {p.path for own in prompts.of("held-out").values() for p in own}
    assert not train & held_out
    assert train | held_out == {p.path for p in prompts.prompts}
    assert "ru_RU_f_Ira" not in prompts.of("train")


def test_an_utterance_of_prompts(loaded: tuple[Prompts, Path]) -> None:
    prompts = loaded[0]
    said = draw_utterance(np.random.default_rng(0), "train", (8.0, 10.0), prompts, share=1.0)
    assert (said.voice, said.language) == ("en_US_f_Ann", "en-us")
    assert said.phonemes[-1].end_s == pytest.approx(len(said.samples) / 16_000, abs=1e-6)
    ends = [p.end_s for p in said.phonemes]
    np.testing.assert_allclose([p.start_s for p in said.phonemes[1:]], ends[:-1])
    again = draw_utterance(np.random.default_rng(0), "train", (8.0, 10.0), prompts, share=1.0)
    np.testing.assert_array_equal(said.samples, again.samples)


def test_a_machine_without_prompts_is_told_what_to_install(installed: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="no prompts") as refused:
        load_prompts(tmp_path, tmp_path / "nothing")
    assert "apt-get install" in refused.value.remedy
    with pytest.raises(InvalidParameter, match="no transcript core-sounds-fr"):
        transcript("fr", installed / "doc")


@pytest.mark.slow
@pytest.mark.skipif(not SOUNDS.is_dir(), reason="Debian's asterisk-core-sounds are not installed")
@pytest.mark.timeout(900)
def test_real_prompts_close_where_they_should(tmp_path: Path) -> None:
    """At the stops that were found, the real recordings are quieter than before and after them."""
    prompts = load_prompts(tmp_path).prompts
    assert len(prompts) > 200
    shifts = np.arange(-6, 7)
    levels: list[list[float]] = [[] for _ in shifts]
    for prompt in prompts[::8]:
        samples = prompt.samples()
        power = np.convolve(samples**2, np.ones(160) / 160, "same")[::160]
        for phoneme in prompt.phonemes:
            if phoneme.ipa.strip("ˈˌː") in tuple("ptkbdɡ"):
                middle = phoneme.start_s + 0.35 * (phoneme.end_s - phoneme.start_s)
                for row, shift in zip(levels, shifts, strict=True):
                    at = int((middle + 0.02 * shift) * 100)
                    if 0 <= at < len(power):
                        row.append(10 * np.log10(power[at] + 1e-8))
    mean = np.array([np.mean(row) for row in levels])
    # espeak-ng's own stops are quietest 20 ms before this place as well.
    assert abs(shifts[mean.argmin()] + 1) <= 1
    assert mean.min() < min(mean[0], mean[-1]) - 8
