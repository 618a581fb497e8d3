"""The walls of the house: which folder may import which, and that the folders are this checkout's."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def pinned_versions() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    versions = {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in pins}
    # The same build of OpenCV without libGL; constraints.txt says why.
    return {**versions, "opencv-contrib-python": versions["opencv-contrib-python-headless"]}


def test_the_pins_are_complete() -> None:
    # ./dev installs with --no-deps, so a package that a pinned one needs and nobody pinned would be missing.
    left_out = {"jax", "jaxlib", "sentencepiece", "sounddevice"}  # constraints.txt says why
    versions = pinned_versions()
    missing = set()
    for name in versions:
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # built in another way in this environment: its OpenCV, its installers
        for wish in map(Requirement, requirements):
            wanted = wish.marker is None or wish.marker.evaluate({"extra": ""})
            if wanted and canonicalize_name(wish.name) not in versions:
                missing.add((name, wish.name))
    assert {wish for _, wish in missing} <= left_out | cuda_parts(), missing


def cuda_parts() -> set[str]:
    """What a CUDA build of torch brings along; ./dev installs torch with its dependencies."""
    wishes = map(Requirement, importlib.metadata.requires("torch") or [])
    return {wish.name for wish in wishes if wish.name.startswith(("nvidia-", "cuda-", "triton"))}


def test_the_pins_cover_the_dependencies() -> None:
    versions = pinned_versions()
    project = PROJECT["project"]
    for wish in map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"]):
        version = versions.get(canonicalize_name(wish.name))
        assert version is not None, f"{wish.name} has no pin in constraints.txt"
        assert wish.specifier.contains(version), f"{wish} does not admit the pinned {version}"
