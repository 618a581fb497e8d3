"""Rows go by one clock, whichever machine writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from likeness import clock
from likeness.database import Database

HOURS = 5


class Wrong(datetime):
    """A machine's clock that is hours ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(hours=HOURS)


@pytest.fixture(autouse=True)
def _unfollowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_followed", None)


def ahead_s() -> float:
    return (clock.now() - datetime.now(UTC)).total_seconds()


def test_a_shared_database_says_what_time_it_is(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "datetime", Wrong)
    assert ahead_s() > 3600 * HOURS - 5
    with postgres_database.read():
        assert abs(ahead_s()) < 5
    with postgres_database.write():
        assert abs(ahead_s()) < 5
    assert (clock.own_time() - datetime.now(UTC)).total_seconds() > 3600 * HOURS - 5


def test_a_clock_that_is_set_meanwhile_changes_nothing(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_database.write():
        before = clock.now()
    monkeypatch.setattr(clock, "datetime", Wrong)
    assert timedelta() <= clock.now() - before < timedelta(seconds=5)


def test_it_is_asked_once_a_minute(postgres_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    follow = clock.follow
    monkeypatch.setattr(clock, "follow", lambda moment: (asked.append(moment), follow(moment)))
    for _ in range(3):
        with postgres_database.read():
            pass
    assert len(asked) == 1
    ticks = clock._ticks
    monkeypatch.setattr(clock, "_ticks", lambda: ticks() + clock.FOLLOWED_FOR_S + 1)
    with postgres_database.write():
        pass
    assert len(asked) == 2


def test_a_database_of_one_machine_goes_by_its_clock(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "datetime", Wrong)
    with database.read():
        assert ahead_s() > 3600 * HOURS - 5
