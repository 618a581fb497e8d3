"""A day of many jobs on many workers, simulated: how long jobs wait, and what runs out first.

``python -m benchmarks.day_of_jobs [--jobs 50000] [--gpus 200] [--cpus 200]``. Stage times are those measured on this
project's machines where there are some, and otherwise the aims that the product is built for; the table says which.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

DAY_S = 86_400.0


@dataclass(frozen=True)
class Day:
    """What happens in the simulated day."""

    jobs: int = 50_000
    gpus: int = 200
    """Workers of the queue gpu."""
    cpus: int = 200
    """Workers of the queue cpu, two cores each."""
    trainings: float = 0.2
    """Share of the jobs that learn a person; the rest are videos."""
    tenants: int = 500
    """Owners; a fifth of them have four fifths of the jobs."""
    peak: float = 2.5
    """Load of the busiest hour over the day's mean."""
    seed: int = 0
    seconds: dict[str, tuple[str, float]] = field(
        default_factory=lambda: {
            "validate": ("cpu", 12.0),
            "fit": ("cpu", 30.0),
            "motion": ("cpu", 20.0),
            "render": ("gpu", 90.0),
            "publish": ("cpu", 1.0),
            "dub": ("cpu", 45.0),
        }
    )
    """Queue and mean seconds of each stage; each run varies by a quarter."""


@dataclass
class _Job:
    owner: int
    arrived: float
    stages: tuple[str, ...]
    next: int = 0
    waited: float = 0.0
    queued: float = 0.0


TRAINING = ("validate", "fit", "motion", "render", "publish")
VIDEO = ("dub",)


def simulate(day: Day) -> dict[str, Any]:
    """Run the day; tenants take turns as ``LeaseRepository.claim`` has it.

    Returns:
        ``wait_s`` (p50, p99, max by kind of job: in queues, all stages together), ``busy`` (share of each queue's
        workers at work in the busiest hour), ``claims_per_s`` in the busiest second.
    """
    rng = random.Random(day.seed)
    free = {"cpu": day.cpus, "gpu": day.gpus}
    queues: dict[str, dict[int, deque[_Job]]] = {"cpu": {}, "gpu": {}}
    running: dict[int, int] = {}
    served: dict[int, float] = {}
    busy = {"cpu": np.zeros(24), "gpu": np.zeros(24)}
    claims: dict[int, int] = {}
    events: list[tuple[float, int, str, Any]] = []
    for number in range(day.jobs):
        stages = TRAINING if rng.random() < day.trainings else VIDEO
        crowd = max(1, day.tenants // 5)
        owner = rng.randrange(crowd) if rng.random() < 0.8 else rng.randrange(day.tenants)
        arrived = _arrival(rng, day.peak)
        events.append((arrived, number, "arrive", _Job(owner, arrived, stages, queued=arrived)))
    heapq.heapify(events)
    done: list[_Job] = []
    number = day.jobs
    while events:
        moment, _, kind, job = heapq.heappop(events)
        if kind == "end":
            queue = day.seconds[job.stages[job.next]][0]
            free[queue] += 1
            running[job.owner] -= 1
            job.next += 1
            job.queued = moment
        else:
            queue = day.seconds[job.stages[0]][0]
        if job.next == len(job.stages):
            done.append(job)
        else:
            wanted = day.seconds[job.stages[job.next]][0]
            queues[wanted].setdefault(job.owner, deque()).append(job)
        for name in ("cpu", "gpu"):
            while free[name] and queues[name]:
                turn = min(queues[name], key=lambda owner: (running.get(owner, 0), served.get(owner, -1.0)))
                taken = queues[name][turn].popleft()
                if not queues[name][turn]:
                    del queues[name][turn]
                seconds = day.seconds[taken.stages[taken.next]][1] * rng.uniform(0.75, 1.25)
                taken.waited += moment - taken.queued
                free[name] -= 1
                running[turn] = running.get(turn, 0) + 1
                served[turn] = moment
                claims[int(moment)] = claims.get(int(moment), 0) + 1
                _spend(busy[name], moment, seconds)
                number += 1
                heapq.heappush(events, (moment + seconds, number, "end", taken))
    waits = {
        kind: [job.waited for job in done if (job.stages == TRAINING) == (kind == "training")]
        for kind in ("training", "video")
    }
    return {
        "wait_s": {
            kind: {
                "p50": round(float(np.percentile(values, 50)), 1),
                "p99": round(float(np.percentile(values, 99)), 1),
                "max": round(max(values), 1),
            }
            for kind, values in waits.items()
            if values
        },
        "busy": {
            name: round(float(busy[name][:-1].max()) / (3600 * workers), 3)
            for name, workers in (("cpu", day.cpus), ("gpu", day.gpus))
        },
        "claims_per_s": max(claims.values()),
    }


def _spend(hours: NDArray[np.float64], moment: float, seconds: float) -> None:
    """Add the work to the hours in which it is done; what is left after the day's end counts to its last hour."""
    while seconds > 0:
        hour = min(int(moment / 3600), len(hours) - 1)
        part = min(seconds, (hour + 1) * 3600 - moment) if hour < len(hours) - 1 else seconds
        hours[hour] += part
        moment, seconds = moment + part, seconds - part


def _arrival(rng: random.Random, peak: float) -> float:
    """A moment of the day: a cosine over 24 h whose top is ``peak`` times the mean, cut off below at a fifth."""
    while True:
        moment = rng.uniform(0, DAY_S)
        level = max(0.2, 1 - (peak - 1) * np.cos(2 * np.pi * moment / DAY_S))
        if rng.uniform(0, peak) < level:
            return moment


def main() -> None:
    """The command: the day as it is, and with more and more load until something gives way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day_of_jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=Day.jobs)
    parser.add_argument("--gpus", type=int, default=Day.gpus)
    parser.add_argument("--cpus", type=int, default=Day.cpus)
    asked = parser.parse_args()
    for factor in (1, 2, 3, 4):
        day = Day(jobs=asked.jobs * factor, gpus=asked.gpus, cpus=asked.cpus)
        print(json.dumps({"jobs": day.jobs, "gpus": day.gpus, "cpus": day.cpus, **simulate(day)}))


if __name__ == "__main__":
    main()
