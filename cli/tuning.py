"""What must stand before the first allocation: the command sets it and starts itself again, once.

This file imports nothing that takes time, since all that ran before is thrown away.
"""

from __future__ import annotations

import os
import sys

TUNED = "LIKENESS_PROCESS_TUNED"
MEBIBYTE = 2**20


def process_environment(cores: int) -> dict[str, str]:
    """Variables that must stand before the first allocation and before OpenMP starts.

    glibc maps and unmaps each block above 32 MiB afresh, which costs a page fault per 4 KiB and made a training step
    6-25 % slower; one OpenMP thread per *allowed* core keeps containers with a CPU quota from oversubscribing.
    """
    return {
        "MALLOC_MMAP_THRESHOLD_": str(256 * MEBIBYTE),
        "MALLOC_TRIM_THRESHOLD_": str(256 * MEBIBYTE),
        "MALLOC_TOP_PAD_": str(16 * MEBIBYTE),
        "OMP_NUM_THREADS": str(cores),
        "OPENBLAS_NUM_THREADS": str(cores),
        "NUMBA_NUM_THREADS": str(cores),
        # Spinning threads waste the cores of a shared machine: a loaded training step went from 886 to 507 ms, an idle
        # one from 284 to 301.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GLOG_minloglevel": "2",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def allowed_cores() -> int:
    """Cores this process may use: its affinity mask, cut by the cgroup v2 CPU quota.

    ``training.runtime.available_cores`` says the same and more, but importing it loads torch, before which this runs.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as stream:
            limit, period = stream.read().split()[:2]
        return cores if limit == "max" else max(1, min(cores, round(int(limit) / int(period))))
    except (OSError, ValueError):
        return cores


def tune_process() -> None:
    """Start this command again with :func:`process_environment`, once; variables the user has set are kept."""
    if TUNED in os.environ or not sys.platform.startswith("linux") or {"-h", "--help"} & set(sys.argv[1:]):
        return
    environment = {**process_environment(allowed_cores()), **os.environ, TUNED: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
