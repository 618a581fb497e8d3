from __future__ import annotations

import pytest

from problems import Cancelled
from training.progress import Tick, silent, ticking


def test_items_pass_through_and_both_ends_are_reported() -> None:
    ticks: list[Tick] = []
    assert list(ticking("abcde", ticks.append, "fit", 5, every_s=1e9)) == list("abcde")
    assert [(t.stage, t.done, t.total) for t in ticks] == [("fit", 0, 5), ("fit", 5, 5)]


def test_every_item_is_reported_when_asked() -> None:
    ticks: list[Tick] = []
    assert sum(ticking(iter([1, 2, 3]), ticks.append, "s", 3, every_s=0.0)) == 6
    assert [t.done for t in ticks] == [0, 1, 2, 3, 3]


def test_unknown_totals_end_at_what_there_was() -> None:
    ticks: list[Tick] = []
    list(ticking([1, 2], ticks.append, "s", 0))
    assert (ticks[-1].done, ticks[-1].total) == (2, 2)
    list(ticking([], ticks.append, "s", 0))
    assert (ticks[-1].done, ticks[-1].total) == (0, 0)


def test_a_listener_may_stop_the_work() -> None:
    def stop(tick: Tick) -> None:
        if tick.done == 2:
            raise Cancelled("stopped", remedy="start again")

    seen = []
    with pytest.raises(Cancelled):
        for item in ticking(range(10), stop, "s", 10, every_s=0.0):
            seen.append(item)
    assert seen == [0, 1]


def test_silence_and_defaults() -> None:
    tick = Tick("s", 0, 1)
    silent(tick)
    assert (tick.message, dict(tick.metrics)) == ("", {})
