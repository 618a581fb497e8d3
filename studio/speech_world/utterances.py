"""Utterances: what one voice says in ten to thirty seconds, as it was recorded, with the time of every sound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from studio.gestures import FPS, wander
from studio.speech import Phoneme, speak
from studio.speech_world.perturb import RATE, perturb
from studio.speech_world.voices import Split, draw_text, draw_voice

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


def draw_utterance(
    rng: np.random.Generator, split: Split = "train", seconds: tuple[float, float] = (10.0, 30.0)
) -> Utterance:
    """Somebody says some sentences into some microphone.

    Args:
        rng: source of chance; the same state gives the same utterance.
        split: whose voices and languages.
        seconds: shortest and longest.
    """
    voice = draw_voice(rng, split)
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
        said = speak(
            draw_text(rng, voice.language),
            voice=voice.name,
            words_per_minute=voice.words_per_minute,
            pitch=voice.pitch,
        )
        samples = np.asarray(soxr.resample(said.samples, said.sample_rate, RATE), np.float32)
        sounds.append(samples)
        phonemes += [Phoneme(p.ipa, p.start_s + end, p.end_s + end) for p in said.phonemes]
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
        samples, joined(phonemes, factor, len(samples) / RATE), voice.language, voice.name, heard
    )


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
