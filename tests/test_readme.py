"""What the README and ARCHITECTURE tell people to type or open exists."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from cli.main import app
from likeness.settings import Settings
from tests.likeness.service import settings  # noqa: F401
from tests.served import served
from tests.workers.tiny_stages import chain

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "studio/sample/README.md"]
TEXT = {name: (ROOT / name).read_text() for name in DOCUMENTS}


def shell_lines() -> list[str]:
    """Commands in the documents' ``sh`` blocks, continued lines joined, comments dropped."""
    lines = []
    for text in TEXT.values():
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = " ".join(shlex.split(line, comments=True))
                if command:
                    lines.append(line.split(" #")[0].strip())
    return lines


LIKENESS = [line for line in shell_lines() if line.startswith("likeness ")]
DEV = [line for line in shell_lines() if line.startswith("./dev ")]
CURL = [line for line in shell_lines() if "curl " in line]


@pytest.fixture
def typed(settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Runs lines of a shell in a folder with a clip and a recording, against a service with a worker on tiny stages."""
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    (tmp_path / "speech.wav").write_bytes(b"sound")
    with served(settings) as service:

        def run(script: str) -> str:
            script = script.replace("http://127.0.0.1:8000", service.url)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        yield run


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines use curl")
def test_the_lines_with_curl_make_a_video(typed: Callable[[str], str], tmp_path: Path) -> None:
    """As they stand: nothing that they name comes from elsewhere. Where they say "again until", it is done."""
    [block] = [
        each for each in re.findall(r"```sh\n(.*?)```", TEXT["README.md"], re.DOTALL) if "curl " in each
    ]
    again = r"^curl (\$BASE/v1/(?:trainings|videos)/\$\w+) +#.*$"
    assert len(re.findall(again, block, re.MULTILINE)) == 2
    ended = 'import json, sys; sys.exit(json.load(sys.stdin)["status"] not in ("succeeded", "failed"))'
    wait = rf"until curl -s \1 | python3 -c '{ended}'; do sleep 0.1; done"
    typed(re.sub(again, wait, block, flags=re.MULTILINE))
    assert (tmp_path / "out.mp4").read_bytes().startswith(chain(b"a clip", 0).encode() + b"sound")


@pytest.mark.parametrize("line", LIKENESS)
def test_a_likeness_command_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    # Parsing alone: an unknown option, a missing argument or a value outside its choices raises a usage error.
    group.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize("line", DEV)
def test_a_dev_command_exists(line: str) -> None:
    usage = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^\./dev {shlex.split(line)[1]}\b", usage, re.MULTILINE), usage


@pytest.mark.parametrize("line", CURL)
def test_a_curl_command_names_a_route(line: str) -> None:
    from api.app import create_app

    url = re.search(r"(?:(?:http://)?(?:127\.0\.0\.1|localhost):8000|\$BASE)(/[^\s'\"?]*)", line)
    assert url is not None, line
    method = re.search(r"-X\s*([A-Z]+)", line)
    sends = re.search(r"\s(-d|--data|-F|--json|--data-binary)\b", line)
    verb = method.group(1) if method else "PUT" if re.search(r"\s-T\b", line) else "POST" if sends else "GET"
    path = re.sub(r"\$\{?\w+\}?", "x", url.group(1))
    routes = create_app(Settings()).openapi()["paths"]
    patterns = {re.sub(r"\{[^}]*\}", r"[^/]+", route): methods for route, methods in routes.items()}
    matching = [methods for pattern, methods in patterns.items() if re.fullmatch(pattern, path)]
    assert any(verb.lower() in methods for methods in matching), f"{verb} {path}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", TEXT[name]):
        if "://" not in target:
            assert (ROOT / name).parent.joinpath(target).exists(), f"{name} links to {target}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_named_folders_exist(name: str) -> None:
    for folder in re.findall(r"`([a-z_]+(?:/[\w.-]+)*/?)`", TEXT[name]):
        if "/" in folder and not folder.startswith(("out/", "application/", "video/")):
            assert (ROOT / folder).exists(), f"{name} names {folder}"


def test_the_documents_show_the_commands() -> None:
    assert {"./dev demo", "./dev test"} <= {" ".join(line.split()[:2]) for line in DEV}
    shown = {line.split()[1] for line in LIKENESS}
    assert {"inspect", "personalize", "dub", "evaluate", "up"} <= shown
