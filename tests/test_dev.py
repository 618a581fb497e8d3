"""The `./dev` script: what it says and refuses before it installs anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def dev(*arguments: str, root: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(root / "dev"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_help_names_every_command() -> None:
    result = dev("help")
    assert result.returncode == 0
    named = {line.split()[1] for line in result.stdout.splitlines()}
    assert named == {"demo", "test", "long", "fmt", "setup"}


def test_an_unknown_command_is_refused_with_the_known_ones() -> None:
    result = dev("fly")
    assert result.returncode == 1
    assert "unknown command fly" in result.stderr
    assert "./dev demo" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "clip.mp4"], "without a recording"),
        (["demo", "none.mp4", "none.wav"], "none.mp4 is not a file"),
        (["demo", "a", "b", "c"], "too many files: c"),
        (["demo", "-x"], "unknown option -x"),
        (["demo", "-o"], "-o needs a file name"),
        (["demo", __file__, __file__, "-o", __file__], "would overwrite"),
        (["demo", "-o", "out.avi"], "ends in none of"),
    ],
)
def test_a_demo_that_cannot_work_is_refused_at_once(arguments: list[str], said: str) -> None:
    result = dev(*arguments)
    assert result.returncode == 1
    assert said in result.stderr
    assert "What to do:" in result.stderr


@pytest.fixture
def without_python(tmp_path: Path) -> str:
    """A PATH with a few POSIX tools and a Python of another version."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("dirname", "cat", "cksum", "sed", "grep", "rm"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    (tools / "python3").symlink_to("/bin/false")  # answers the question for its version with a no
    return str(tools)


def test_a_machine_without_python_311_is_told_what_to_install(tmp_path: Path, without_python: str) -> None:
    for name in ("dev", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    result = dev("setup", root=tmp_path, PATH=without_python)
    assert result.returncode == 1
    assert "Python 3.11 was not found" in result.stderr
    assert "PYTHON=" in result.stderr
    assert not (tmp_path / ".venv").exists()


def test_nothing_is_installed_again_when_nothing_changed(tmp_path: Path, without_python: str) -> None:
    # An environment whose stamp fits is used as it is: its python is asked for nothing.
    for name in ("dev", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 99\n")
    python.chmod(0o755)
    pins = (tmp_path / "pyproject.toml").read_bytes() + (tmp_path / "constraints.txt").read_bytes()
    checksum = subprocess.run(["cksum"], input=pins, capture_output=True, check=True).stdout.decode().strip()
    (tmp_path / ".venv" / "stamp").write_text(f"{tmp_path} {checksum}\n")
    assert dev("setup", root=tmp_path, PATH=without_python).returncode == 0
    (tmp_path / "constraints.txt").write_text("# changed\n")
    assert "Python 3.11 was not found" in dev("setup", root=tmp_path, PATH=without_python).stderr
