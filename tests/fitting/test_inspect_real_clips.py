"""Verdicts on real recordings, where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fitting.inspect import InspectConfig, inspect_clip
from media.limits import ClipLimits
from tests.fitting.inspected_clip import codes


@pytest.mark.parametrize("name", ["english_female_24s", "english_male_10s", "german_male_20s"])
def test_real_clips_are_trainable(shared_clips: Path, name: str) -> None:
    inspection = inspect_clip(
        shared_clips / f"{name}.mp4", config=InspectConfig(samples=30), limits=ClipLimits(max_seconds=9.9)
    )
    assert inspection.trainable
    assert not codes(inspection, "warning") - {"trimmed"}
    face = inspection.face
    assert face is not None
    assert face.share == 1.0
    assert set(face.counts) == {1}
    assert 120 < face.iod_px < 220
    assert face.mouth_range > 0.05
    assert inspection.cuts == ()
