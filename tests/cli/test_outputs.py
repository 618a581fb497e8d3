from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

import pytest
import typer
from typer.models import ArgumentInfo, OptionInfo
from typer.testing import CliRunner

from cli.main import app
from cli.outputs import Output, reserved
from problems import Conflict, InvalidParameter

READS = {
    "clip", "clips", "person", "recording", "pose_video", "expression_video", "video", "trust", "file",
    "expressions", "prompts", "folder", "corpus", "examples", "general",
}  # fmt: skip
WRITES = {"out", "work"}
SERVICE = {"data_dir"}
"""Folders of a service, which has locks of its own."""
SUFFIX = {
    "dub": ".mp4",
    "personalize": ".likeness",
    "train motion": ".safetensors",
    "train renderer": ".safetensors",
}
DERIVED = {"fit": "clip.mp4", "motion": "track.safetensors", "evaluate": "clip.mp4"}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a command that takes a path."""

    name: str
    argument: bool


def _paths(command: Callable[..., None]) -> list[Parameter]:
    found = []
    for name, hint in get_type_hints(command, include_extras=True).items():
        kinds = [
            each for each in getattr(hint, "__metadata__", ()) if isinstance(each, ArgumentInfo | OptionInfo)
        ]
        if kinds and "Path" in str(hint.__origin__):
            found.append(Parameter(name, isinstance(kinds[0], ArgumentInfo)))
    return found


def _commands() -> Iterator[tuple[str, Callable[..., None]]]:
    def walk(name: str, group: typer.Typer) -> Iterator[tuple[str, Callable[..., None]]]:
        for each in group.registered_commands:
            assert each.callback is not None
            yield f"{name} {each.name}".strip(), each.callback
        for inner in group.registered_groups:
            assert inner.typer_instance is not None
            own = inner.name if isinstance(inner.name, str) else inner.typer_instance.info.name
            yield from walk(f"{name} {own}".strip(), inner.typer_instance)

    return walk("", app)


def _pairs() -> list[tuple[str, str, str]]:
    return [
        (name, written.name, read.name)
        for name, command in _commands()
        for written in _paths(command)
        if written.name in WRITES
        for read in _paths(command)
        if read.name in READS
    ]


def _arguments(name: str, values: dict[str, Path]) -> list[str]:
    """A command line with those values, and with files for whatever else must be given."""
    command = dict(_commands())[name]
    line = name.split()
    for each in _paths(command):
        value = values.get(each.name)
        if value is not None:
            option = f"--{each.name.replace('_', '-')}"
            line += [str(value)] if each.argument else [option, str(value)]
    return line


def test_every_path_of_every_command_is_known_as_read_or_written() -> None:
    names = {each.name for _, command in _commands() for each in _paths(command)}
    assert names <= READS | WRITES | SERVICE, (
        "say in this test whether it is read or written, and hand it to reserved"
    )
    assert len(_pairs()) >= 15


@pytest.mark.parametrize(("name", "written", "read"), _pairs())
@pytest.mark.parametrize("way", ["same", "symlink", "hard link", "dots"])
def test_no_command_overwrites_what_it_reads(
    name: str, written: str, read: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suffix = SUFFIX.get(name, ".mp4")
    takes_folder = written == "work" or name not in SUFFIX
    values: dict[str, Path] = {}
    for each in _paths(dict(_commands())[name]):
        if each.name in READS:
            values[each.name] = tmp_path / f"{each.name}{suffix}"
            values[each.name].write_bytes(b"filmed")
    if "out" in {each.name for each in _paths(dict(_commands())[name])}:
        values["out"] = tmp_path / f"made{suffix}"
    source = values[read]
    extra = ["--pose", "reference"] if "pose_video" in values else []
    target = tmp_path / f"elsewhere{suffix}"
    if takes_folder:
        # The input under the name of a file that the command makes in its folder.
        target = tmp_path / "results"
        target.mkdir()
        place = target / DERIVED.get(name, "clip.mp4")
    else:
        place = target
    if way == "same" and takes_folder:
        source.rename(place)
        values[read] = place
    elif way == "same":
        target = source
    elif way == "symlink":
        place.symlink_to(source)
    elif way == "hard link":
        os.link(source, place)
    else:
        (tmp_path / "x").mkdir()
        if takes_folder:
            source.rename(place)
            values[read] = Path("x/../results") / place.name
        else:
            target = Path("x") / ".." / source.name
    values[written] = target
    result = CliRunner().invoke(app, [*_arguments(name, values), *extra, "--json"])
    assert result.exit_code == 3, result.output
    error = json.loads(result.stdout.splitlines()[-1])["error"]
    assert "overwritten" in error["message"], error
    assert error["details"]["field"] == written
    assert values[read].read_bytes() == b"filmed"


@pytest.fixture
def read(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mov"
    path.write_bytes(b"filmed")
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "folder",
        "slash",
        "no folder",
        "dangling",
        "fifo",
        "null",
        "stdout",
        "long",
        "line",
        "surrogate",
        "protected",
    ],
)
def test_places_that_can_not_be_written_are_refused_before_work(
    kind: str, read: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.likeness"
    if kind == "folder":
        out.mkdir()
    elif kind == "slash":
        out = tmp_path / ".."
    elif kind == "no folder":
        out = read / "o.likeness"
    elif kind == "dangling":
        out.symlink_to(tmp_path / "nowhere")
    elif kind == "fifo":
        os.mkfifo(out)
    elif kind in ("null", "stdout"):
        out = Path("/dev") / kind
    elif kind == "long":
        out = tmp_path / ("a" * 246 + ".likeness")
    elif kind == "line":
        out = tmp_path / "a\nb.likeness"
    elif kind == "surrogate":
        out = tmp_path / "a\udcff.likeness"
    else:
        out.write_bytes(b"good")
        out.chmod(stat.S_IRUSR)
        if os.access(out, os.W_OK):
            pytest.skip("the user may write everything")
    with pytest.raises(InvalidParameter) as caught, reserved([Output(out)], [read]):
        pytest.fail("work began")
    assert caught.value.remedy
    assert read.read_bytes() == b"filmed"


@pytest.mark.parametrize("name", ["clip.mov", "person.mp4", "voice.wav"])
def test_a_person_is_not_written_into_a_file_of_another_kind(name: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["personalize", str(tmp_path / "c.mp4"), "-o", str(tmp_path / name)])
    assert result.exit_code == 3
    assert ".likeness" in result.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["inspect", "personalize", "verify", "dub"])
def test_a_pipe_is_refused_as_one(name: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    line = [name, str(pipe)]
    if name == "dub":
        line = [name, str(tmp_path / "p.likeness"), str(pipe), "-o", str(tmp_path / "o.mp4")]
    elif name == "personalize":
        line += ["-o", str(tmp_path / "o.likeness")]
    result = CliRunner().invoke(app, [*line, "--json"])
    assert result.exit_code == 3, result.output
    assert "pipe" in json.loads(result.stdout.splitlines()[-1])["error"]["message"]


def test_two_runs_do_not_write_one_place(tmp_path: Path) -> None:
    out = Output(tmp_path / "o.mp4")
    other = Output(tmp_path / "x" / ".." / "o.mp4")
    (tmp_path / "x").mkdir()
    with reserved([out]):
        with pytest.raises(Conflict, match="another run"), reserved([other]):
            pytest.fail("work began")
        with reserved([Output(tmp_path / "other.mp4")]):
            pass
    with reserved([other]):
        pass


def test_nothing_is_left_by_looking(tmp_path: Path, read: Path) -> None:
    with reserved([Output(tmp_path / "new" / "o.mp4"), Output(tmp_path / "work", folder=True)], [read]):
        assert [each.name for each in tmp_path.iterdir()] == ["clip.mov"]


def _run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_ascii_console_gets_every_message(tmp_path: Path) -> None:
    said = _run(
        "inspect",
        "Vidéo ü 日本.mp4",
        "--json",
        cwd=tmp_path,
        PYTHONIOENCODING="ascii",
        LC_ALL="C",
        TERM="dumb",
        COLUMNS="20",
    )
    assert said.returncode == 3, said.stderr
    assert "Vidéo ü 日本.mp4" in json.loads(said.stdout.splitlines()[-1])["error"]["message"]
    assert "UnicodeEncodeError" not in said.stderr
    help_text = _run("dub", "--help", cwd=tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C", COLUMNS="20")
    assert help_text.returncode == 0, help_text.stderr


def test_a_reader_that_goes_away_ends_nothing_loudly(tmp_path: Path) -> None:
    line = f"{sys.executable} -m cli models list | true; echo ${{PIPESTATUS[0]}}"
    said = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.stdout.strip() == "0", said.stderr
    assert "Broken" not in said.stderr


@pytest.mark.parametrize("line", [["keys", "list"], ["worker", "--once"], ["migrate"], ["up", "--port", "0"]])
def test_a_data_folder_that_can_not_be_made_is_no_fault_of_the_product(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, line, env={"LIKENESS_DATA_DIR": str(tmp_path / "file" / "data")})
    assert result.exit_code == 3, result.output
    assert "LIKENESS_DATA_DIR" in result.stderr


def test_the_folder_that_a_command_runs_in_need_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cli.dub import _mark

    monkeypatch.chdir("/proc")  # nobody can write it, not even root
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("LIKENESS_DATA_DIR", raising=False)
    assert _mark().credentials == _mark().credentials
    with reserved([Output(tmp_path / "o.mp4")]):
        pass
    result = CliRunner().invoke(app, ["fit", str(tmp_path / "c.mp4")])
    assert result.exit_code == 3
    assert "--out" in result.stderr
