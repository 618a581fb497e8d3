"""The benchmark of the marks, small; its scenes; what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.provenance import ProvenanceBench, Tally, run
from benchmarks.scenes import KINDS, invented
from problems import NotFound
from provenance.watermark import Reading
from training.progress import Tick


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "person"])
def test_the_same_seed_gives_the_same_scene(kind: str) -> None:
    scene = np.stack(invented(kind, 3, (96, 64), 5))
    assert scene.shape == (3, 64, 96, 3)
    assert scene.dtype == np.uint8
    assert scene.std() > 1
    np.testing.assert_array_equal(scene, np.stack(invented(kind, 3, (96, 64), 5)))
    assert np.any(scene != np.stack(invented(kind, 3, (96, 64), 6)))


def test_only_the_whole_right_number_counts() -> None:
    tally = Tally()
    right = np.unpackbits(np.frombuffer((5).to_bytes(6, "big"), np.uint8))
    tally.add("a", Reading(5, 0.9, right, 8), 5)
    tally.add("b", Reading(None, 0.0, 1 - right, 8), 5)
    tally.add("c", Reading(4, 0.7, right, 8), 5)
    assert tally.figures() == {
        "runs": 3, "detected": 1, "bit_accuracy": 0.6667, "least_confidence": 0.9, "missed": ["b", "c"],
    }  # fmt: skip


def test_a_missing_clip_is_told_before_any_work(tmp_path: Path) -> None:
    ticks: list[Tick] = []
    with pytest.raises(NotFound):
        run(ProvenanceBench((tmp_path / "none.mp4",)), ticks.append)
    assert ticks == []


@pytest.mark.slow
def test_a_small_run_ends_with_its_figures() -> None:
    ticks: list[Tick] = []
    result = run(ProvenanceBench.quick(), ticks.append)
    json.dumps(result, allow_nan=False)
    assert result["filmed"] == {}
    assert result["invented"]["none"]["detected"] == result["invented"]["none"]["runs"] == 2
    assert set(result["invented"]) > {"crf 28", "half, crf 28", "5 % off each side, crf 28"}
    assert all(row["psnr_db"] > 45 for row in result["clips"].values())
    assert result["false_positives"]["found"] == 0
    assert result["false_positives"]["attempts"] > result["false_positives"]["windows"] >= 8
    assert result["manifest"]["valid"]
    assert not result["manifest"]["left_after_a_copy_of_the_streams"]
    assert (ticks[-1].done, ticks[-1].total) == (2, 2)
