"""The border between the product and the decoders."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media.isolate import _decode, run_isolated, stream_isolated
from media.limits import DecodeBudget
from problems import Cancelled, DecodeTimeout, InternalProblem, MediaTooLarge, NoFace, UnreadableMedia

BUDGET = {"memory_mb": 1024, "cpu_s": 20, "wall_s": 30}


def arrays(size: int) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "nested": [np.arange(size, dtype=np.float32), {"image": np.eye(3, dtype=np.uint8)}],
    }


def refuse(frames: list[int]) -> None:
    raise NoFace("no face in it", remedy="look up", details={"frames": frames})


def count(total: int, progress: Any) -> int:
    for done in range(total):
        progress(done, total)
    return total


def count_forever(progress: Any) -> None:
    done = 0
    while True:
        progress(done, 0)
        done += 1


def crash() -> None:
    ctypes.string_at(0)


def crash_once(marker: str) -> str:
    """Crashes unless it did before."""
    place = Path(marker)
    if not place.exists():
        place.touch()
        crash()
    return "answered"


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(60)


def hoard() -> int:
    return len(bytearray(4 << 30))


def fill(path: str) -> None:
    with open(path, "wb") as file:
        while True:
            file.write(bytes(1 << 20))


def environment() -> dict[str, str]:
    return dict(os.environ)


def stumble() -> None:
    raise KeyError("left")


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(3)


def naturals(folder: str) -> Iterator[dict[str, Any]]:
    index = 0
    while True:
        Path(folder, str(index)).touch()
        yield {"index": index, "image": np.full((300, 300, 3), index % 256, np.uint8)}
        index += 1


def test_results_come_back_from_another_process_with_their_arrays() -> None:
    result = run_isolated(arrays, 5, **BUDGET)
    assert result["pid"] != os.getpid()
    np.testing.assert_array_equal(result["nested"][0], np.arange(5, dtype=np.float32))
    np.testing.assert_array_equal(result["nested"][1]["image"], np.eye(3, dtype=np.uint8))
    assert result["nested"][1]["image"].dtype == np.uint8


def test_problems_cross_the_border_whole() -> None:
    with pytest.raises(NoFace, match="no face in it") as caught:
        run_isolated(refuse, [3, 4], **BUDGET)
    assert caught.value.remedy == "look up"
    assert caught.value.details == {"frames": [3, 4]}


def test_progress_crosses_the_border() -> None:
    seen: list[tuple[int, int]] = []
    assert run_isolated(count, 4, **BUDGET, progress=lambda done, total: seen.append((done, total))) == 4
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_a_listener_that_cancels_ends_the_child() -> None:
    def cancel(done: int, total: int) -> None:
        if done > 3:
            raise Cancelled("stopped", remedy="start again")

    with pytest.raises(Cancelled):
        run_isolated(count_forever, **BUDGET, progress=cancel)
    _no_children()


@pytest.mark.parametrize(
    ("fn", "limits", "kind"),
    [
        (crash, {}, UnreadableMedia),
        (spin, {"cpu_s": 1}, DecodeTimeout),
        (sleep, {"wall_s": 1}, DecodeTimeout),
        (hoard, {}, MediaTooLarge),
        (stumble, {}, InternalProblem),
        (leave, {}, InternalProblem),
    ],
)
def test_whatever_the_child_does_the_caller_gets_a_problem(
    fn: Any, limits: dict[str, float], kind: type
) -> None:
    with pytest.raises(kind) as caught:
        run_isolated(fn, **{**BUDGET, **limits})
    assert caught.value.remedy
    _no_children()


def test_one_crash_is_not_held_against_the_file(tmp_path: Path) -> None:
    assert run_isolated(crash_once, str(tmp_path / "crashed"), **BUDGET) == "answered"
    assert (tmp_path / "crashed").exists()


def test_a_child_killed_by_the_system_is_worth_another_try() -> None:
    from problems import OutOfMemory

    with pytest.raises(OutOfMemory) as caught:
        run_isolated(killed, **BUDGET)
    assert caught.value.retryable


def test_the_child_can_not_fill_the_disk(tmp_path: Path) -> None:
    with pytest.raises(MediaTooLarge, match="4 MB"):
        run_isolated(fill, str(tmp_path / "big"), **BUDGET, file_mb=4)
    assert (tmp_path / "big").stat().st_size <= 4 << 20


def test_the_child_does_not_see_the_callers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    assert "AWS_SECRET_ACCESS_KEY" not in run_isolated(environment, **BUDGET)


def test_a_stream_waits_for_its_reader_and_stops_with_it(tmp_path: Path) -> None:
    stream = stream_isolated(
        naturals, str(tmp_path), budget=DecodeBudget(memory_mb=1024, cpu_s=20, wall_s=30)
    )
    for expected in range(5):
        item = next(stream)
        assert item["index"] == expected
        assert item["image"].shape == (300, 300, 3)
        assert (item["image"] == expected).all()
    time.sleep(0.3)
    # 270 kB an item: the pipe and the reader's last gulp hold a few at most.
    assert len(list(tmp_path.iterdir())) < 15
    stream.close()  # type: ignore[attr-defined]
    _no_children()


@pytest.mark.parametrize(
    "answer",
    [
        b"not json",
        b'["result", {"__array__": 3}, []]',
        b'["result", {"__array__": 0}, [["|u1", [99]]]]',
        b'["result", {"__array__": 0}, [["|O8", [1]]]]',
        b'["result", {"__array__": 0}, [["<f4", [-1]]]]',
    ],
)
def test_a_forged_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(UnreadableMedia):
        _decode(answer, bytes(8))


def _no_children() -> None:
    import psutil

    running = [child for child in psutil.Process().children() if "media.isolate" in " ".join(child.cmdline())]
    assert not running
