from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack

import cv2
import numpy as np
import pytest
import torch

from problems import InvalidParameter
from training.runtime import (
    available_cores,
    limit_threads,
    one_thread_each,
    pick_device,
    seed_everything,
)


@pytest.fixture
def _threads_as_before() -> Iterator[None]:
    torch_threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    yield
    torch.set_num_threads(torch_threads)
    cv2.setNumThreads(cv_threads)


def _draws(seed: int) -> tuple[float, float, float, float]:
    generator = seed_everything(seed)
    own = float(torch.rand(1, generator=generator))
    return random.random(), float(np.random.rand()), float(torch.rand(1)), own


@pytest.mark.parametrize("seed", [0, 123, 2**40 + 5])
def test_a_seed_fixes_all_generators(seed: int) -> None:
    first = _draws(seed)
    assert _draws(seed) == first
    assert all(a != b for a, b in zip(first, _draws(seed + 1), strict=True))
    assert first[2] == first[3]


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device() == pick_device("auto")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:99", "mps", "meta"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        pick_device(name)
    assert caught.value.details == {"field": "device"}
    assert "cpu" in caught.value.remedy


def test_cores_are_counted_within_the_affinity() -> None:
    cores = available_cores()
    assert 1 <= cores <= len(os.sched_getaffinity(0))
    if cores > 1:
        all_of_them = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(all_of_them)})
        try:
            assert available_cores() == 1
        finally:
            os.sched_setaffinity(0, all_of_them)


@pytest.mark.usefixtures("_threads_as_before")
def test_threads_are_capped_for_torch_and_opencv() -> None:
    assert limit_threads(1) == 1
    assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    assert limit_threads() == available_cores()
    assert torch.get_num_threads() == available_cores()


@pytest.mark.usefixtures("_threads_as_before")
def test_threads_that_overlap_leave_as_many_threads_as_before() -> None:
    """The second begins when the first has turned the count down, and ends after it."""
    cv2.setNumThreads(3)
    first, second = ExitStack(), ExitStack()
    first.enter_context(one_thread_each())
    second.enter_context(one_thread_each())
    first.close()
    assert cv2.getNumThreads() == 1, "the second still works"
    second.close()
    assert cv2.getNumThreads() == 3
    with pytest.raises(KeyError), one_thread_each():
        raise KeyError
    assert cv2.getNumThreads() == 3
