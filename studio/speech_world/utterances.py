"""Utterances: what one voice says in ten to thirty seconds, as it was recorded, with the time of every sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from studio.gestures import FPS, wander
from studio.speech import Phoneme, speak
from studio.speech_world.perturb import RATE, perturb
from studio.speech_world.prompts import Prompt, Prompts
from studio.speech_world.voices import Split, Voice, draw_text, draw_voice

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Utterance:
    """Speech with known sounds."""

    samples: Array
    """(N,) at 16 kHz in [-1, 1]."""
    phonemes: tuple[Phoneme, ...]
    """Sounds and pauses from 0 to the end, without gaps."""
    language: str
    """espeak-ng's name of it."""
    voice: str
    """Who speaks."""
    effort: NDArray[np.float64]
    """(T,) at 25 fps: how hard the speaker tries, of unit deviation; heard as loudness, seen as wider movement."""


class _Speaker(Protocol):
    language: str
    name: str

    def says(self, rng: np.random.Generator) -> tuple[Array, list[Phoneme]]:
        """Something: (N,) samples at 16 kHz and its sounds and pauses from 0 to the end."""


class _Synthetic:
    def __init__(self, voice: Voice) -> None:
        self.voice, self.language, self.name = voice, voice.language, voice.name

    def says(self, rng: np.random.Generator) -> tuple[Array, list[Phoneme]]:
        said = speak(
            draw_text(rng, self.language),
            voice=self.name,
            words_per_minute=self.voice.words_per_minute,
            pitch=self.voice.pitch,
        )
        return np.asarray(soxr.resample(said.samples, said.sample_rate, RATE), np.float32), list(
            said.phonemes
        )


class _Real:
    def __init__(self, prompts: list[Prompt]) -> None:
        self.prompts, self.language, self.name = prompts, prompts[0].language, prompts[0].speaker

    def says(self, rng: np.random.Generator) -> tuple[Array, list[Phoneme]]:
        prompt = self.prompts[int(rng.integers(len(self.prompts)))]
        return prompt.samples(), list(prompt.phonemes)


def draw_utterance(
    rng: np.random.Generator,
    split: Split = "train",
    seconds: tuple[float, float] = (10.0, 30.0),
    prompts: Prompts | None = None,
    share: float = 0.3,
) -> Utterance:
    """Somebody says some sentences into some microphone.

    Args:
        rng: source of chance; the same state gives the same utterance.
        split: whose voices and languages.
        seconds: shortest and longest.
        prompts: real recordings, or None.
        share: how many of the utterances they make, 0..1.
    """
    speaker = _draw_speaker(rng, split, prompts, share)
    wanted = rng.uniform(*seconds)
    sounds: list[Array] = []
    phonemes: list[Phoneme] = []
    end = 0.0

    def pause(length: float) -> None:
        nonlocal end
        sounds.append(np.zeros(int(length * RATE), np.float32))
        phonemes.append(Phoneme("", end, end + len(sounds[-1]) / RATE))
        end = phonemes[-1].end_s

    pause(rng.uniform(0.05, 0.7))
    while end < wanted:
        samples, said = speaker.says(rng)
        sounds.append(samples)
        phonemes += [Phoneme(p.ipa, p.start_s + end, p.end_s + end) for p in said]
        end += len(samples) / RATE
        # Breath between phrases is mostly short; now and then somebody thinks, or lets the other speak.
        pause(rng.uniform(0.05, 0.6) if rng.random() < 0.8 else rng.uniform(0.6, 2.5))
    clean = np.concatenate(sounds)
    effort = wander(rng, int(np.ceil(end * FPS)) + 1, rng.uniform(0.5, 2.0))
    # Vocal effort raises the level by some decibels and opens the mouth (Schulman 1989 on loud speech).
    decibels = rng.uniform(1.5, 5.0) * np.interp(
        np.arange(len(clean)) / RATE * FPS, np.arange(len(effort)), effort
    )
    samples, factor = perturb((clean * 10 ** (decibels / 20)).astype(np.float32), rng)
    frames = -(-len(samples) // 640)
    heard = np.interp((np.arange(frames) + 0.5) / factor, np.arange(len(effort)), effort)
    return Utterance(
        samples, joined(phonemes, factor, len(samples) / RATE), speaker.language, speaker.name, heard
    )


def _draw_speaker(rng: np.random.Generator, split: Split, prompts: Prompts | None, share: float) -> _Speaker:
    if prompts is not None and rng.random() < share:
        speakers = prompts.of(split)
        return _Real(speakers[sorted(speakers)[int(rng.integers(len(speakers)))]])
    return _Synthetic(draw_voice(rng, split))


def joined(phonemes: list[Phoneme], factor: float, seconds: float) -> tuple[Phoneme, ...]:
    """Times scaled by ``factor``, neighbouring pauses made one, without gaps from 0 to ``seconds``."""
    result: list[Phoneme] = []
    at = 0.0
    for phoneme in phonemes:
        end = min(phoneme.end_s * factor, seconds)
        if end <= at:
            continue
        if result and not result[-1].ipa and not phoneme.ipa:
            result[-1] = Phoneme("", result[-1].start_s, end)
        else:
            result.append(Phoneme(phoneme.ipa, at, end))
        at = end
    if result and result[-1].end_s < seconds:
        result[-1] = Phoneme(result[-1].ipa, result[-1].start_s, seconds)
    return tuple(result)
