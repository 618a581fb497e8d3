from __future__ import annotations

import time

from benchmarks.stopwatch import Stopwatch
from training.progress import Tick


def test_time_goes_to_the_stage_that_reports() -> None:
    heard: list[Tick] = []
    watch = Stopwatch(heard.append)
    time.sleep(0.05)
    watch(Tick("one", 1, 2))
    watch(Tick("one", 2, 2))
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    watch.lap("two")
    split = watch.split
    assert list(split) == ["one", "two"]
    assert split["one"]["wall_s"] >= 0.05 > split["one"]["cpu_s"]
    assert split["two"]["cpu_s"] >= 0.05
    assert len(heard) == 2
