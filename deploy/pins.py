"""Writes which pinned packages each image installs: ``deploy/service.txt`` and ``deploy/worker.txt``.

    .venv/bin/python deploy/pins.py

The roots are in ``pyproject.toml``: ``[tool.likeness.images]`` names those of the service (API, relay, migrations); the
worker's are the project's dependencies. What they need in turn is read from the metadata of the packages in this
environment; ``constraints.txt`` says which versions, and what is not in it (see its head) is left out. The images then
install the lists with ``--no-deps``, as ``./dev`` does, so an image holds what the tests ran with. A test says when the
lists are out of date.

torch is in no list: the image's builder takes it, with its dependencies, from the index for the CPU or for CUDA.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# constraints.txt has the headless build of the same version in its place.
STANDS_FOR = {"opencv-contrib-python": "opencv-contrib-python-headless"}
# The project's entry point reads its own metadata; face_recognition_models asks setuptools where its files are.
BUILDERS = (
    "hatchling",
    "packaging",
    "pathspec",
    "pluggy",
    "setuptools",
    "tomlkit",
    "trove-classifiers",
    "wheel",
)


def pins() -> dict[str, str]:
    """Each line of ``constraints.txt`` by its package's canonical name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(line.split("==")[0]): line for line in kept}


def closure(roots: Iterable[str]) -> set[str]:
    """Canonical names of the pinned packages that ``roots`` (requirements) need, themselves included."""
    known, found = pins(), set()
    waiting = [Requirement(root) for root in roots]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        name = canonicalize_name(STANDS_FOR.get(name, name))
        if (name, frozenset(wanted.extras)) in seen or name not in known or name == "torch":
            continue
        seen.add((name, frozenset(wanted.extras)))
        found.add(name)
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            raise SystemExit(f"{name} is not installed here; run ./dev setup first") from None
        for need in map(Requirement, needs):
            extras = wanted.extras or {""}
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(need)
    return found


def lists() -> dict[str, str]:
    """Content of each list by its file's name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    roots = {
        "service.txt": project["tool"]["likeness"]["images"]["service"],
        "worker.txt": project["project"]["dependencies"],
    }
    known = pins()
    made = {}
    for name, needed in roots.items():
        packages = sorted(closure(needed) | {canonicalize_name(each) for each in BUILDERS})
        head = (
            f"# Made by deploy/pins.py from pyproject.toml and constraints.txt; {len(packages)} packages.\n"
        )
        made[name] = head + "".join(f"{known[package]}\n" for package in packages)
    return made


if __name__ == "__main__":
    for name, content in lists().items():
        (ROOT / "deploy" / name).write_text(content)
        print(f"deploy/{name}: {content.count('==')} packages")
