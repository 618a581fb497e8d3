"""Two requests at one moment, without chance: the second runs while the first stands before its commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import event, text

from likeness.database import Database


def overlap(database: Database, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
    """Run ``first`` up to its first commit; then ``second``, until it has ended or waits for a lock of the first; then
    the rest of both. Returns what each gave or raised. For Postgres, which lets two write at once.
    """
    reached, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    results: dict[str, Any] = {}
    held: list[int] = []

    def before_commit(_connection: Any) -> None:
        if threading.get_ident() in held:
            held.clear()
            reached.set()
            assert go_on.wait(60)

    def run(name: str, work: Callable[[], Any]) -> None:
        try:
            results[name] = work()
        except Exception as error:
            results[name] = error

    def run_first() -> None:
        held.append(threading.get_ident())
        run("first", first)
        reached.set()

    def run_second() -> None:
        run("second", second)
        ended.set()

    event.listen(database.engine, "commit", before_commit)
    threads = [threading.Thread(target=run_first), threading.Thread(target=run_second)]
    try:
        threads[0].start()
        assert reached.wait(60)
        threads[1].start()
        while not ended.wait(0.01) and not _somebody_waits(database):
            pass
        go_on.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "they wait for each other"
    finally:
        go_on.set()
        event.remove(database.engine, "commit", before_commit)
    return results["first"], results["second"]


def _somebody_waits(database: Database) -> bool:
    query = text(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    with database.engine.connect() as connection:
        waits = bool(connection.scalar(query))
        connection.rollback()
    time.sleep(0)
    return waits
