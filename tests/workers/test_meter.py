from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from likeness.requests import PLANS
from training.progress import Tick
from workers.meter import Meter, expected, render_s
from workers.runner import STAGES


def readings(meter: Meter, *ticks: Tick) -> list[tuple[float, float | None]]:
    return [(reading["percent"], reading["eta_seconds"]) for reading in map(meter.read, ticks)]


def ten_seconds_each() -> Callable[[], float]:
    return itertools.count(0.0, 10.0).__next__


def test_it_guesses_what_is_left_of_the_whole_job() -> None:
    meter = Meter(({}, {"fit": 2}, {"render": 1}), 1, clock=ten_seconds_each())
    half = 10.0 + 20.0 / 2.0  # the other half of this stage, and a stage of half its length
    assert readings(meter, Tick("fit", 0, 10), Tick("fit", 5, 10)) == [(25.0, None), (50.0, half)]


def test_it_knows_the_parts_of_a_stage_and_never_falls() -> None:
    meter = Meter(({"a": 1, "b": 3},), 0, clock=ten_seconds_each())
    ticks = (
        Tick("a", 0, 9),
        Tick("a", 9, 9),
        Tick("b", 0, 5),
        Tick("other", 9, 9),
        Tick("a", 1, 9),
        Tick("b", 5, 5),
    )
    assert [percent for percent, _ in readings(meter, *ticks)] == [0.0, 25.0, 25.0, 25.0, 25.0, 100.0]


def test_a_tick_of_unknown_length_is_no_progress() -> None:
    meter = Meter(({},), 0, clock=ten_seconds_each())
    reading = meter.read(Tick("fit", 4, 0, message="looking", metrics={"loss": 1}))
    assert (reading["percent"], reading["message"], reading["metrics"]) == (0.0, "looking", {"loss": 1.0})


def test_a_resumed_stage_does_not_count_what_was_done_before_in_its_guess() -> None:
    meter = Meter(({},), 0, clock=ten_seconds_each())
    assert readings(meter, Tick("render", 80, 100), Tick("render", 90, 100)) == [(80.0, None), (90.0, 10.0)]


def test_without_a_network_rendering_is_a_small_part_of_a_training() -> None:
    """So its bar does not wait at a third and then jump to the end."""
    shares = {}
    for preset in ("instant", "preview"):
        plan = [
            sum(expected(STAGES[name].seconds, {"preset": preset}, ()).values()) or 1.0
            for name in PLANS["training"].stages
        ]
        shares[preset] = plan[PLANS["training"].stages.index("render")] / sum(plan)
    assert shares["instant"] < 0.15
    assert 0.5 < shares["preview"] < 0.75
    assert list(render_s({"preset": "instant"}, ())) == ["render.surroundings"]


@pytest.mark.parametrize("stage", ["speak", "dub"])
def test_a_video_that_leads_is_followed_first(stage: str) -> None:
    alone = expected(STAGES[stage].seconds, {}, {"person", "recording"})
    led = expected(STAGES[stage].seconds, {}, {"person", "recording", "pose_video"})
    assert list(led)[-len(alone) :] == list(alone)
    meter = Meter((led,), 0, clock=ten_seconds_each())
    percents = [
        percent
        for percent, _ in readings(
            meter, Tick("fit.landmarks", 50, 100), Tick("fit.frames", 100, 100), Tick(list(led)[-1], 1, 1)
        )
    ]
    assert percents == sorted(percents)
    assert 0 < percents[0] < percents[1] < 100
    assert percents[2] == 100
