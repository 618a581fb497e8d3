from __future__ import annotations

from dataclasses import replace

import numpy as np

from studio.complexion import Complexion, Noise, hair_cover, paint_skin

NOISE = Noise(3)


def shades(look: Complexion, points: list[list[float]]) -> np.ndarray:
    at = np.array(points)
    return paint_skin(look, NOISE, at, np.zeros(len(at))).mean(1)


def test_brows_follow_their_curve() -> None:
    look = replace(Complexion(), brow_curve=((12.0, 10.0, 2.0), (50.0, 16.0, 2.0)))
    brow, above, below = shades(look, [[30.0, 12.8, 90.0], [30.0, 20.0, 90.0], [30.0, 5.0, 90.0]])
    assert brow < 0.75 * above
    assert brow < 0.75 * below


def test_lashes_are_dark_along_their_line() -> None:
    line = ((20.0, 3.0, 88.0), (40.0, 3.0, 88.0))
    on, off = shades(replace(Complexion(), lashes=(line,)), [[30.0, 3.0, 88.0], [30.0, 7.0, 88.0]])
    assert on < 0.4 * off


def test_stubble_and_wrinkles_darken_their_places_only() -> None:
    chin, forehead = [0.0, -85.0, 90.0], [0.0, 35.0, 95.0]
    plain = shades(Complexion(), [chin, forehead])
    bearded = shades(replace(Complexion(), stubble=1.0), [chin, forehead])
    assert bearded[0] < 0.8 * plain[0]
    assert bearded[1] == plain[1]


def test_a_high_hairline_leaves_more_forehead() -> None:
    at = np.array([[0.0, 70.0, 90.0]])
    assert hair_cover(at)[0] > hair_cover(at, 14.0)[0]
