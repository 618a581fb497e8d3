"""Seeds, device and threads, set once at the start of a process or a stage."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from problems import InvalidParameter

Result = TypeVar("Result")


def seed_everything(seed: int) -> torch.Generator:
    """Seed python, numpy and torch, and return a CPU generator with the same seed."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes the first CUDA device, else the CPU.

    Raises:
        InvalidParameter: the device is unknown or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidParameter(
            f"device {name!r} is not known to torch",
            remedy="use auto, cpu, or cuda:N",
            details={"field": "device"},
        ) from error
    if device.type not in ("cpu", "cuda"):
        raise InvalidParameter(
            f"device {name!r} is not supported",
            remedy="use auto, cpu, or cuda:N",
            details={"field": "device"},
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidParameter(
            f"device {name!r} asks for a GPU and torch finds {torch.cuda.device_count()}",
            remedy="use --device cpu or auto, or install a CUDA build of torch",
            details={"field": "device"},
        )
    return device


def in_threads(work: Callable[[slice], Result], count: int) -> list[Result]:
    """Run ``work`` on slices of ``range(count)``, one a core, for code that releases the GIL (numba, OpenCV).

    Returns what it gave for each slice, in order.
    """
    cores = available_cores()
    step = max(-(-count // cores), 1)
    with ThreadPoolExecutor(cores) as pool:
        return list(pool.map(work, [slice(n, min(n + step, count)) for n in range(0, count, step)]))


class ThreadCount:
    """How many threads a library uses, where that is one number for the whole process (torch has one for each thread).

    Several threads may want it to be one for a while. The first of them turns it down and the last turns it back up:
    if each put back what it had found, one that came in between would leave it turned down for good.
    """

    def __init__(self, read: Callable[[], int], write: Callable[[int], object]) -> None:
        self._read, self._write = read, write
        self._lock, self._inside, self._before = threading.Lock(), 0, 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """One thread while anybody's block runs."""
        with self._lock:
            if self._inside == 0:
                self._before = self._read()
            self._inside += 1
            self._write(1)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._write(self._before)


_OPENCV = ThreadCount(cv2.getNumThreads, cv2.setNumThreads)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """OpenCV and BLAS work on the calling thread alone, for work that is itself spread over threads."""
    with _OPENCV.one(), threadpool_limits(1, user_api="blas"):
        yield


def available_cores() -> int:
    """Cores this process may use: the affinity mask, cut by the cgroup's CPU quota (v2, then v1)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(cores, int(quota + 0.5))) if quota else cores


def _cgroup_quota() -> float | None:
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
        return None if limit_us <= 0 else limit_us / period_us
    except (OSError, ValueError):
        return None


def limit_threads(threads: int | None = None) -> int:
    """Cap torch, OpenMP and OpenCV at the cores there are: oversubscription costs more than it gives."""
    count = threads or available_cores()
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    return count
