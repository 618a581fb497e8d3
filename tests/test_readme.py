"""What the README and ARCHITECTURE tell people to type or open exists."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from cli.main import app

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
    from likeness.settings import Settings

    url = re.search(r"(?:http://)?(?:127\.0\.0\.1|localhost):8000(/[^\s'\"?]*)", line)
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
