"""Frames of a clip at hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from media.frames import FrameStore
from media.normalise import normalise_clip
from problems import TooShort
from tests.media.generated import number_of, numbered, quadrants, write_media


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    source = write_media(folder / "source.mp4", numbered, 40)
    normalise_clip(source, folder / "clip.mp4", folder / "audio.wav")
    return folder / "clip.mp4"


@pytest.mark.parametrize("memory_mb", [768, 0])
def test_any_frame_in_any_order(clip: Path, memory_mb: int) -> None:
    store = FrameStore.from_clip(clip, memory_mb=memory_mb)
    assert len(store) == 40
    assert store.size == (96, 64)
    order = np.random.default_rng(0).permutation(40)
    assert [number_of(store[int(index)]) for index in order] == order.tolist()
    assert number_of(store[-1]) == 39
    assert [number_of(image) for image in store] == list(range(40))
    assert store[3].shape == (64, 96, 3)
    for index in (40, -41):
        with pytest.raises(IndexError):
            store[index]


def test_a_part_of_the_clip(clip: Path) -> None:
    store = FrameStore.from_clip(clip, start=10, stop=15)
    assert [number_of(image) for image in store] == [10, 11, 12, 13, 14]


def test_frames_are_close_to_what_went_in_and_shared_read_only() -> None:
    smooth = np.clip(np.random.default_rng(0).normal(128, 30, (8, 12, 3)), 0, 255)
    image = np.kron(smooth, np.ones((8, 8, 1))).astype(np.uint8)
    store = FrameStore([image, quadrants()])
    error = store[0].astype(float) - image
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 40
    with pytest.raises(ValueError, match="read-only"):
        store[0][:] = 0


def test_threads_may_share_it() -> None:
    store = FrameStore([numbered(index) for index in range(60)], memory_mb=0, decoded=3)
    wanted = np.random.default_rng(0).integers(0, 60, 600).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda index: number_of(store[index]), wanted)) == wanted


def test_no_frames() -> None:
    with pytest.raises(TooShort):
        FrameStore([])
