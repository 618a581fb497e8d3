from __future__ import annotations

from contextlib import ExitStack

import pytest

from likeness.fetch_turns import FetchTurns
from likeness.refusals import NotReady


def test_one_tenants_fetches_leave_room_for_others() -> None:
    turns = FetchTurns()
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(turns.take("ten_a"))
        with pytest.raises(NotReady, match="for you") as refused, turns.take("ten_a"):
            pass
        assert refused.value.details == {"retry_after_s": 5}
        assert refused.value.retryable
        for tenant in ("ten_b", "ten_c", "ten_d", "ten_e"):
            held.enter_context(turns.take(tenant))
    with turns.take("ten_a"), turns.take("ten_a"):
        pass


def test_all_together_are_bounded_and_a_failed_fetch_gives_its_turn_back() -> None:
    turns = FetchTurns(together=2, tenant=2)
    with pytest.raises(ZeroDivisionError), turns.take("ten_a"), turns.take("ten_b"):
        raise ZeroDivisionError
    with (
        turns.take("ten_a"),
        turns.take("ten_b"),
        pytest.raises(NotReady, match="many files"),
        turns.take("ten_c"),
    ):
        pass
