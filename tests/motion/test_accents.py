"""Turns of a head and accents of speech are found where they are, and sampled heads bring the two together."""

from __future__ import annotations

import itertools

import numpy as np

from evaluation.beats import beat_alignment
from motion.accents import closeness, head_turns, speech_accents
from motion.sway import SwaySampler


def test_turns_and_accents_are_found() -> None:
    time = np.arange(200)
    nod = np.column_stack([0.1 * np.cos(2 * np.pi * time / 40), np.zeros(200), np.zeros(200)])
    turns = head_turns(nod)
    assert np.abs((turns + 10) % 20 - 10).max() <= 1  # at every end of the nod
    loudness = np.zeros(200)
    for frame in (30, 90, 150):
        loudness += 1.5 * np.exp(-0.5 * ((time - frame) / 3) ** 2)
    loudness += 0.2 * np.exp(-0.5 * ((time - 60) / 3) ** 2)  # too faint to stand out
    np.testing.assert_array_equal(speech_accents(loudness), [30, 90, 150])
    near = closeness(np.array([30, 90, 150]), 200)
    assert near[90] == 1
    assert near[92] < 0.5
    assert not closeness(np.zeros(0, np.int64), 5).any()
    assert not len(head_turns(nod[:4]))


def test_pieces_are_laid_where_turns_meet_accents() -> None:
    """A sampler that hears the speech meets its accents more often than one that does not, with the same seeds."""
    rng = np.random.default_rng(0)
    beats = np.cumsum(rng.integers(8, 22, 40))
    residual = np.zeros((600, 8), np.float32)
    level = 0.0
    edges = [0, *beats[beats < 600], 600]
    for start, stop in itertools.pairwise(edges):
        target = rng.normal(0, 0.05)
        ease = 0.5 - 0.5 * np.cos(np.pi * np.arange(stop - start) / (stop - start))
        residual[start:stop, 0] = level + (target - level) * ease
        level = target
    spoken = np.zeros((1500, 2), np.float32)
    accents = np.cumsum(rng.integers(8, 22, 90))
    accents = accents[accents < 1490]
    for frame in accents:
        spoken[:, 0] += 1.5 * np.exp(-0.5 * ((np.arange(1500) - frame) / 2) ** 2)
    weights = np.array([20.0, *[0.0] * 7], np.float32)
    scores = []
    for heard in (spoken, None):
        drawn = [
            SwaySampler(
                residual, np.ones(600, bool), weights, np.zeros(8, bool), np.zeros((600, 2), np.float32), seed
            ).next(1400, heard)
            for seed in range(6)
        ]
        scores.append(np.mean([beat_alignment(head_turns(part[:, :3]), accents) for part in drawn]))
    assert scores[0] > scores[1] + 0.04
