"""Findings about sound, cuts and freezes, from signals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fitting.inspect import find_cuts, find_frozen
from fitting.inspect.clip import sound_findings
from media.limits import ClipLimits
from media.survey import Survey, survey_clip
from tests.fitting.inspected_clip import QUICK, clip_of, speech
from tests.fitting.moving_face import scenery


@pytest.mark.parametrize(
    ("code", "sound"),
    [
        ("", speech(3.6)),
        ("quiet_sound", speech(3.6, level=0.005, noise=0.00001)),
        ("clipped_sound", np.clip(speech(3.6, level=3.0), -1, 1)),
        ("noisy_sound", speech(3.6, level=0.1, noise=0.1)),
    ],
)
def test_sound(tmp_path: Path, code: str, sound: NDArray[np.float32]) -> None:
    clip = clip_of(tmp_path, lambda index: scenery(index, 64), sound=sound)
    *_, survey = survey_clip(clip, limits=ClipLimits(), samples=1, max_side=64)
    assert isinstance(survey, Survey)
    found = sound_findings(survey, QUICK)
    assert [finding.code for finding in found] == ([code] if code else [])
    assert all(finding.severity == "warning" and finding.remedy for finding in found)


def test_cuts_and_flashes() -> None:
    generator = np.random.default_rng(0)
    one, two = generator.integers(0, 255, (2, 54, 96)).astype(np.float64)
    shaky = np.stack([one] * 40 + [two] * 40) + generator.normal(0, 2, (80, 54, 96))
    assert find_cuts(np.clip(shaky, 0, 255).astype(np.uint8), QUICK) == (40,)
    flash = shaky[:40].copy()
    flash[20] += 80
    assert find_cuts(np.clip(flash, 0, 255).astype(np.uint8), QUICK) == ()


def test_frozen_runs() -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype(np.uint8)
    pictures[21:40] = pictures[20]
    pictures[51:55] = pictures[50]
    assert find_frozen(pictures, 13) == tuple(range(21, 40))
