from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from rendering.recent import Recent


def test_what_was_asked_for_last_is_kept() -> None:
    made: list[int] = []

    def double(key: int) -> int:
        made.append(key)
        return 2 * key

    recent: Recent[int, int] = Recent(2)
    assert [recent.get(key, double) for key in (1, 2, 1, 3, 1, 2)] == [2, 4, 2, 6, 2, 4]
    assert made == [1, 2, 3, 2], "2 had to go when 3 came, since 1 was asked for later"
    assert len(recent) == 2


def test_a_value_that_is_pushed_out_at_once_is_still_handed_out() -> None:
    """Another thread fills the cache between this one's look and its answer."""
    recent: Recent[int, str] = Recent(1)

    def make(key: int) -> str:
        if key < 5:
            recent.get(key + 1, make)
        return f"value {key}"

    assert recent.get(0, make) == "value 0"
    assert len(recent) == 1


def test_two_that_make_the_same_get_one_and_the_same() -> None:
    recent: Recent[str, object] = Recent(3)
    both = threading.Barrier(2)

    def make(_key: str) -> object:
        both.wait(30)  # each has looked and found nothing
        return object()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: recent.get("key", make), range(2))
    assert first is second
