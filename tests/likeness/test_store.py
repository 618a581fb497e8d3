"""The local object store."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from likeness.store import LocalStore
from problems import InternalProblem, InvalidParameter, NotFound


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"bytes" * 1000)
    return path


def test_what_is_put_is_fetched(store: LocalStore, source: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    stored = store.put_file("people/per_1/a.bin", source)
    assert (stored.size, stored.sha256) == (5000, digest)
    store.fetch("people/per_1/a.bin", tmp_path / "deep" / "copy", sha256=digest)
    assert (tmp_path / "deep" / "copy").read_bytes() == source.read_bytes()
    assert list(store.keys("people")) == ["people/per_1/a.bin"]
    assert store.exists("people/per_1/a.bin")


def test_moving_consumes_the_source(store: LocalStore, source: Path) -> None:
    store.put_file("a", source, move=True)
    assert not source.exists()
    assert store.local_path("a").read_bytes() == b"bytes" * 1000


def test_a_damaged_object_is_refused_and_leaves_no_copy(
    store: LocalStore, source: Path, tmp_path: Path
) -> None:
    stored = store.put_file("a", source)
    store.local_path("a").write_bytes(b"other")
    target = tmp_path / "target" / "copy"
    with pytest.raises(InternalProblem, match="damaged"):
        store.fetch("a", target, sha256=stored.sha256)
    assert list(target.parent.iterdir()) == []


def test_a_source_that_can_not_be_read_leaves_nothing(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file("a/b", tmp_path / "missing")
    assert list(store.keys()) == []
    assert not [path for path in store.root.rglob("*") if path.is_file()]


def test_a_missing_object(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.local_path("a")
    with pytest.raises(NotFound):
        store.fetch("a", tmp_path / "copy", sha256="00")
    assert not store.exists("a")
    assert store.delete_prefix("a") == 0


def test_deleting_a_prefix_keeps_its_neighbours(store: LocalStore, source: Path) -> None:
    for key in ("people/per_1/a", "people/per_1/b/c", "people/per_10/a"):
        store.put_file(key, source)
    assert store.delete_prefix("people/per_1") == 2
    assert list(store.keys()) == ["people/per_10/a"]


def test_two_may_delete_the_same_at_once(store: LocalStore, source: Path) -> None:
    for number in range(200):
        store.put_file(f"people/per_1/{number % 10}/{number}", source)
    counts: list[int] = []
    start = threading.Barrier(4)

    def delete() -> None:
        start.wait()
        counts.append(store.delete_prefix("people/per_1"))

    threads = [threading.Thread(target=delete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [0, 0, 0, 200]
    assert not [path for path in store.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "key",
    ["", "/etc/passwd", "..", "a/../../b", "a//b", "./a", ".incoming/a", "a/.hidden", "a\\b", "a\0b", "a/"],
)
def test_keys_that_lead_elsewhere_are_refused(store: LocalStore, source: Path, key: str) -> None:
    with pytest.raises(InvalidParameter):
        store.put_file(key, source)
    with pytest.raises(InvalidParameter):
        store.delete_prefix(key)


@settings(max_examples=50, deadline=None)
@given(key=st.text(max_size=30))
def test_no_key_reaches_outside(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    root = tmp_path_factory.getbasetemp() / "objects"
    store = LocalStore(root)
    try:
        path = store._path(key)
    except InvalidParameter:
        return
    assert path.resolve().is_relative_to(root.resolve())
    assert path != root


def test_a_symbolic_link_leads_nowhere(store: LocalStore, source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (store.root / "people").symlink_to(outside)
    (store.root / "link").symlink_to(outside / "secret")
    for key in ("people/secret", "link"):
        with pytest.raises(InvalidParameter):
            store.local_path(key)
    with pytest.raises(InvalidParameter):
        store.put_file("people/new", source)
    assert [path.name for path in outside.iterdir()] == ["secret"]
