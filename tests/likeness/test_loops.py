from __future__ import annotations

import logging
import threading

import pytest

from likeness.loops import Board, Loop, persist, troubles
from likeness.refusals import StoreUnavailable


class Work:
    """A turn that raises what it is told to, one after the other, and then goes well."""

    def __init__(self, *faults: Exception) -> None:
        self.faults, self.turns = list(faults), 0
        self.well = threading.Event()

    def __call__(self) -> None:
        self.turns += 1
        if self.faults:
            raise self.faults.pop(0)
        self.well.set()


def away() -> StoreUnavailable:
    return StoreUnavailable("the object store does not answer", remedy="wait")


@pytest.mark.parametrize("fault", [away(), RuntimeError("a bug"), OSError(5, "I/O error"), KeyError("x")])
def test_nothing_that_is_raised_ends_a_loop(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    work, board = Work(fault, fault), Board()
    with Loop("tidy", work, pause_s=0.001, board=board).beside() as thread:
        assert work.well.wait(20)
        assert thread.is_alive()
        assert troubles(board.read()) == []
    assert not thread.is_alive()
    assert board.read() == {}, "what was told to end is not missed"
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.exc_info is not None for record in told] == [True], "one traceback for one kind"


def test_each_kind_of_fault_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(away(), away(), ValueError("1"), away(), ValueError("2"))
    with Loop("tidy", work, pause_s=0.001, board=Board(), longest_pause_s=0.001).beside():
        assert work.well.wait(20)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 2
    assert "store_unavailable: the object store does not answer" in told[0]
    assert "ValueError" in told[1]


def test_a_failing_loop_is_named_with_its_fault_and_pauses_grow() -> None:
    board = Board()
    board.enter("tidy", 60.0)
    loop = Loop("tidy", Work(*(away() for _ in range(20))), pause_s=0.5, board=board, longest_pause_s=7.0)
    pauses = [loop.turn() for _ in range(12)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.5
    assert pauses[-1] == 7.0
    [trouble] = troubles(board.read())
    assert trouble.startswith("the loop tidy has failed for 0 s (store_unavailable")
    assert troubles(board.read(), bear_s=30.0) == []


def test_a_loop_whose_turn_hangs_stands_still() -> None:
    board, inside, release = Board(), threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        release.wait(20)

    with Loop("sweep", hang, pause_s=0.0, turn_s=0.0, board=board).beside():
        assert inside.wait(20)
        reading = board.read()
        reading["sweep"]["turned_s"] += 90.0  # a minute and a half later
        assert troubles(reading) == ["the loop sweep has stood still for 90 s"]
        release.set()


def test_a_loop_that_may_take_its_time_never_stands_still() -> None:
    board = Board()
    board.enter("stages", None)
    reading = board.read()
    reading["stages"]["turned_s"] = 1e6
    assert troubles(reading) == []


def test_a_thread_that_was_torn_down_is_missed() -> None:
    board = Board()

    def torn_down() -> None:
        raise SystemExit

    loop = Loop("hooks", torn_down, pause_s=0.0, turn_s=1.0, board=board)
    with pytest.raises(SystemExit):
        loop.run()
    reading = board.read()
    reading["hooks"]["turned_s"] = 5.0
    assert troubles(reading) == ["the loop hooks has stood still for 5 s"]


def test_what_has_to_go_well_once_is_waited_for() -> None:
    board, work = Board(), Work(away(), away())
    assert persist("store", work, stop=threading.Event(), board=board)
    assert work.turns == 3
    assert board.read() == {}


def test_waiting_ends_when_it_is_asked_to() -> None:
    board, stop, seen = Board(), threading.Event(), list[str]()

    def work() -> None:
        seen.extend(troubles(board.read()))
        if seen:
            stop.set()
        raise away()

    assert persist("store", work, stop=stop, board=board) is False
    assert "the loop store has failed" in seen[0]


def test_there_is_more_to_do_at_once_only_for_an_eager_loop() -> None:
    for eager, pause in ((True, 0.0), (False, 9.0)):
        assert Loop("dispatch", lambda: 3, pause_s=9.0, board=Board(), eager=eager).turn() == pause
    assert Loop("dispatch", lambda: 0, pause_s=9.0, board=Board(), eager=True).turn() == 9.0
