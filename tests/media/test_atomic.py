"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from media.atomic import replacing
from problems import OutOfDisk


def test_a_clean_exit_replaces(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    for text in ("one", "two"):
        with replacing(path) as inside:
            inside.write_text(text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["a.txt"]


def test_an_error_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        with replacing(path) as inside:
            inside.write_text("half")
            inside.with_suffix(".part").write_text("left by a child")
            raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_writing_nothing_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path):
        pass
    assert path.read_text() == "old"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutOfDisk, match=r"a\.txt"):
        with replacing(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []
