"""Heads: accents answered, blinks at the person's rate, never frozen."""

from __future__ import annotations

import numpy as np

from studio.babble import babble
from studio.speech_world.carriage import NECK_MM, CarriageStyle, carry


def test_heads_are_alive_and_plausible() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        moved = carry(rng, CarriageStyle.draw(rng), babble(rng, 40.0), 1000)
        assert np.abs(moved.pose.mean(0)).max() < 1e-6
        speed = np.linalg.norm(np.diff(np.degrees(moved.pose[:, :3]), axis=0), axis=1) * 25
        assert speed.min() > 0
        assert 0.5 < np.median(speed) < 40
        assert np.percentile(speed, 99.5) < 200
        assert np.linalg.norm(np.diff(moved.gaze, axis=0), axis=1).max() > 0.01
        for curve in (moved.blink, moved.brow_raise, moved.brow_frown, moved.squint):
            assert curve.min() >= 0
            assert curve.max() <= 1


def test_accents_are_answered() -> None:
    """With the sway off, the head is away from rest where accents are, and at rest elsewhere."""
    rng = np.random.default_rng(3)
    drawn = CarriageStyle.draw(rng)
    still = np.zeros(3)
    manner = CarriageStyle(
        **{
            **drawn.__dict__,
            "sway_deg": still,
            "posture_deg": still,
            "beat_deg": np.array([3.0, 0, 0]),
            "sway_mm": 0.0,
        }
    )
    moved = carry(rng, manner, babble(rng, 30.0), 750)
    away = np.degrees(moved.pose[:, 0] - np.median(moved.pose[:, 0]))
    accented = np.flatnonzero(moved.accents)
    assert len(accented) > 10
    assert away[accented].mean() > away.mean() + 0.8
    # The head turns about the neck: a nod moves it forwards.
    nod = moved.pose[:, 0] - moved.pose[:, 0].mean()
    expected = np.cross(np.array([1.0, 0, 0]), -np.array(NECK_MM))
    slope = (nod @ (moved.pose[:, 5] - moved.pose[:, 5].mean())) / (nod @ nod)
    assert abs(slope - expected[2]) < 5


def test_blinks_come_at_the_persons_rate() -> None:
    counts = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        manner = CarriageStyle(**{**CarriageStyle.draw(rng).__dict__, "blinks_per_minute": 20.0})
        shut = carry(rng, manner, babble(rng, 60.0), 1500).blink > 0.8
        counts.append(int((shut[1:] & ~shut[:-1]).sum()))
    assert 14 < np.mean(counts) < 24
