"""HDR to BT.709 by numbers from the standards."""

from __future__ import annotations

import numpy as np
import pytest

from media.hdr import BT2020, HLG, P3_D65, PQ, map_to_sdr, needs_mapping


@pytest.mark.parametrize(
    ("transfer", "signal", "nits"),
    [(PQ, 0.5806, 203.0), (PQ, 0.5081, 100.0), (HLG, 0.75, 203.0), (HLG, 0.5, 50.7)],
)
def test_levels(transfer: int, signal: float, nits: float) -> None:
    """BT.2408 table 1 and BT.2100: below the knee, the output's light is nits / 203; white is nearly full."""
    seen = map_to_sdr(np.full((1, 3), signal), transfer, BT2020)[0]
    assert np.ptp(seen) < 1e-3
    light = float(seen[0] ** 2.4)
    if nits / 203 < 0.8:
        assert light == pytest.approx(nits / 203, rel=0.01)
    else:
        assert light > 0.9


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_brighter_in_is_not_darker_out(transfer: int) -> None:
    ramp = np.repeat(np.linspace(0, 1, 200)[:, None], 3, 1)
    seen = map_to_sdr(ramp, transfer, BT2020)[:, 0]
    assert (np.diff(seen) >= -1e-9).all()
    assert seen[0] == pytest.approx(0, abs=1e-3)
    assert seen[-1] == pytest.approx(1, abs=0.01)


def test_wide_gamut_greys_stay_and_colours_grow() -> None:
    grey = np.full((1, 3), 0.5)
    np.testing.assert_allclose(map_to_sdr(grey, 1, P3_D65), grey, atol=1e-4)
    red = map_to_sdr(np.array([[0.6, 0.3, 0.3]]), 1, P3_D65)[0]
    assert red[0] > 0.6
    assert red[1] < 0.3


def test_ordinary_video_is_left_alone() -> None:
    assert not needs_mapping(1, 1)
    assert not needs_mapping(2, 2)
    assert not needs_mapping(6, 6)
    assert needs_mapping(HLG, BT2020)
    assert needs_mapping(1, P3_D65)
