"""Clips become examples to train the general renderer on; what can't be used is said, what is done is kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from problems import NotFound
from rendering.people import load_people
from studio.recorded_people.pictures import PicturesConfig, gather_invented, gather_recorded
from tests.studio.recorded_people.test_gathering import cut
from training.progress import Tick

CONFIG = PicturesConfig(size=64, frames=50, passes=2)


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One clip of the presenter that is long enough, and one that is too short."""
    clips, out = tmp_path_factory.mktemp("clips"), tmp_path_factory.mktemp("pictures")
    cut(clips / "robin.mp4", 1.0, 52)
    cut(clips / "short.mp4", 1.0, 20)
    result = gather_recorded(clips, out, config=CONFIG)
    assert result.people == 1
    return clips, out


@pytest.mark.slow
def test_examples_of_a_clip_are_drawn_and_a_short_one_is_named(gathered: tuple[Path, Path]) -> None:
    _, out = gathered
    people = load_people([out])
    assert len(people.held_out) == 1
    assert 40 < len(people) < 50
    batch = people.held_out
    face = batch.masks[:, :1]
    error = ((batch.composite - batch.target) * face).abs().mean() / face.mean()
    assert error < 0.15  # the composite is the presenter
    assert float(batch.target.std()) > 0.2
    skipped = json.loads((out / "skipped.json").read_text())
    assert len(skipped) == 1
    assert next(iter(skipped)).startswith("short")


@pytest.mark.slow
def test_finished_people_are_kept(gathered: tuple[Path, Path]) -> None:
    clips, out = gathered
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    before = (folder / "target.npy").stat().st_mtime_ns
    ticks: list[Tick] = []
    assert gather_recorded(clips, out, config=CONFIG, progress=ticks.append).people == 1
    assert (folder / "target.npy").stat().st_mtime_ns == before
    assert ticks[-1].done == ticks[-1].total == 2


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_text("not a video")
    with pytest.raises(NotFound, match="no clip could be used"):
        gather_recorded(tmp_path / "clips", tmp_path / "out", config=CONFIG)


@pytest.mark.slow
def test_invented_people_need_no_clips(tmp_path: Path) -> None:
    result = gather_invented(tmp_path, 2, first=5, config=CONFIG)
    assert result.people == 2
    people = load_people([tmp_path])
    targets = [people._people[n].target.mean((0, 1, 2)) for n in range(2)]
    assert np.abs(targets[0] - targets[1]).max() > 3  # two different people
