"""The walls of the house: which folder may import which, and that the folders are this checkout's."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


@pytest.mark.parametrize("name", PACKAGES)
def test_a_top_level_name_is_this_checkouts(name: str) -> None:
    # Distributions called `api` or `workers` exist on package indexes; one of them installed beside this application
    # must not be taken for it.
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin == str(ROOT / name / "__init__.py")


def test_every_package_of_the_checkout_is_listed() -> None:
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "migrations"}
    assert found == set(PACKAGES)
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == found
    assert set(PROJECT["tool"]["mypy"]["packages"]) == found


def test_every_package_stands_on_one_floor() -> None:
    floors = next(c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["id"] == "floors")["layers"]
    named = [name.strip() for floor in floors for name in floor.split("|")]
    assert sorted(named) == sorted(PACKAGES)


def test_the_floors_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_broken_wall_is_noticed(tmp_path: Path) -> None:
    # The contract file is only worth something if the linter fails on a wrong import: build a house of two floors
    # with our own contract and let the lower one look up.
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / "faces" / "__init__.py").write_text("import workers\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [linter, "--no-cache", "--contract", "floors"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
    )
    assert result.returncode == 1, result.stdout + result.stderr
    assert "faces -> workers" in result.stdout


def test_the_pins_cover_the_dependencies() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    versions = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in pins}
    # The same build of OpenCV without libGL; constraints.txt says why.
    versions["opencv-contrib-python"] = versions["opencv-contrib-python-headless"]
    project = PROJECT["project"]
    for wish in map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"]):
        version = versions.get(canonicalize_name(wish.name))
        assert version is not None, f"{wish.name} has no pin in constraints.txt"
        assert wish.specifier.contains(version), f"{wish} does not admit the pinned {version}"
