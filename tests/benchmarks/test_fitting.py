from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.alternatives import Attempt
from benchmarks.fit_errors import fit_errors
from benchmarks.fitting import FittingBench, _compared, _mean_split, _means, exact_landmarks, run
from problems import NotFound
from tests.benchmarks.exact_clip import exact_clip


def test_exact_landmarks_are_the_truth() -> None:
    clip = exact_clip()
    landmarks = exact_landmarks(clip)
    assert landmarks.found.all()
    np.testing.assert_array_equal(landmarks.points, clip.landmarks)


def test_ways_are_compared_with_the_products() -> None:
    errors = fit_errors(exact_clip().track(), exact_clip())
    row = {
        "ours_without_offsets": Attempt(errors, 2.0, 10.0),
        "other": Attempt(errors, 4.0, 12.0),
        "ours": Attempt(errors, 3.0, None),
    }
    result = _compared([row, row])
    assert result["other"]["cost_ratio"] == pytest.approx(1.2)
    assert result["other"]["cpu_s"] == 4.0
    assert result["ours"]["cost_ratio"] is None
    assert set(result["ours"]["rotation_deg"]) == {"p50", "p95"}


def test_means_over_clips() -> None:
    assert _means([], ("a",)) is None
    assert _means([{"a": 1.0}, {"a": 2.0}], ("a",)) == {"a": 1.5}
    split = _mean_split([{"x": {"wall_s": 1.0, "cpu_s": 2.0}}, {"x": {"wall_s": 3.0, "cpu_s": 2.0}}])
    assert split == {"x": {"wall_s": 2.0, "cpu_s": 2.0}}


def test_a_missing_clip_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no file"):
        run(FittingBench(people=2, clips=(tmp_path / "none.mp4",)))


@pytest.mark.slow
def test_the_whole_benchmark_on_one_person() -> None:
    result = run(FittingBench(people=1, frames=25, compared=1, clip_frames=60))
    json.dumps(result, allow_nan=False)
    for part in ("synthetic", "synthetic_unknown_focal", "synthetic_exact_landmarks"):
        for key in ("rotation_deg", "translation_pct", "mesh_mm", "lip_gap_mm", "gaze_deg"):
            assert 0 <= result[part][key]["p50"] <= result[part][key]["p95"]
    assert result["synthetic_exact_landmarks"]["mesh_mm"]["p50"] < 2.0
    assert result["synthetic"]["frames"] > 20
    assert result["synthetic"]["rotation_deg"]["p50"] < 10
    assert result["real"] is None
    assert result["clips"][0]["synthetic"]
    assert result["clips"][0]["render_psnr"] > 15
    assert result["peak_rss_mb"] > 100
    assert "fit.landmarks" in result["split"]
