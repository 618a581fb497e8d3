from __future__ import annotations

from itertools import pairwise

import numpy as np

from studio.babble import babble
from studio.gestures import VISEMES, viseme_of


def test_sounds_fill_the_time_without_gaps() -> None:
    sounds = babble(np.random.default_rng(1), 4.0)
    assert sounds[0].start_s == 0.0
    assert sounds[-1].end_s == 4.0
    assert all(a.end_s == b.start_s for a, b in pairwise(sounds))
    assert all(0.01 < s.end_s - s.start_s < 0.6 for s in sounds[:-1])


def test_every_sound_has_a_mouth_shape_and_the_seed_decides() -> None:
    sounds = babble(np.random.default_rng(2), 10.0)
    shown = {shape for s in sounds if s.ipa for shape in map(id, viseme_of(s.ipa))}
    assert id(VISEMES[""]) not in shown
    assert len(shown) > 8
    assert sounds == babble(np.random.default_rng(2), 10.0)
    assert sounds != babble(np.random.default_rng(3), 10.0)
