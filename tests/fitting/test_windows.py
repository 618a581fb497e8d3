from __future__ import annotations

import numpy as np
import pytest

from faces.morphable import MorphableModel
from fitting.windows import expression_sigma, fill_gaps, observe, spread, stable_scale, windows
from tests.generated_clip import FRAMES, choreography, true_track


@pytest.mark.parametrize("total", [1, 30, 40, 41, 95, 200])
def test_windows_cover_every_frame_and_end(total: int) -> None:
    kept = np.zeros(total, int)
    for part, keep in windows(total, 40, 10):
        assert 0 <= part.start < part.stop <= total
        assert part.stop - part.start <= 40
        kept[np.arange(part.start, part.stop)[keep]] += 1
    assert kept.min() >= 1


def test_spread_holds_both_ends_and_no_frame_twice() -> None:
    assert spread(5, 10).tolist() == [0, 1, 2, 3, 4]
    some = spread(1000, 7)
    assert (some[0], some[-1], len(set(some.tolist()))) == (0, 999, 7)


def test_gaps_are_bridged_by_straight_lines() -> None:
    values = np.array([[0.0], [3.0], [5.0]])
    np.testing.assert_allclose(fill_gaps(values, np.array([1, 4, 5]), 7)[:, 0], [0, 0, 1, 2, 3, 5, 5])


def test_the_longest_prefix_says_how_loose_an_expression_is() -> None:
    assert expression_sigma("jawOpen") > expression_sigma("jawForward") > 0
    assert expression_sigma("tongueOut") == 0
    assert expression_sigma("mh:nose-compression") == 0 < expression_sigma("mh:mouth-parling")


def test_a_turned_head_does_not_shrink_the_unit() -> None:
    """The eye corners come nearer as the head turns; the noise in pixels does not."""
    track = true_track(choreography(FRAMES, MorphableModel.load()))
    index = np.arange(FRAMES)
    scale = stable_scale(track.landmarks, index)
    apart = np.linalg.norm(track.landmarks[:, 33] - track.landmarks[:, 263], axis=-1)
    assert (scale >= apart - 1e-3).all()
    assert np.ptp(scale) < np.ptp(apart)


def test_uncoupled_frames_hardly_pull_on_each_other() -> None:
    track = true_track(choreography(FRAMES, MorphableModel.load()))
    index = np.array([0, 2, 9])
    assert observe(track.landmarks, index, coupled=True).gaps.tolist() == [2.0, 7.0]
    assert observe(track.landmarks, index, coupled=False).gaps.min() >= 1e5
