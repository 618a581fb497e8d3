"""The client as a package of its own: built from this checkout, used where nothing else of it is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from likeness import VERSION
from tests.served import Service

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import likeness_client

client = likeness_client.Client(sys.argv[2])
assert client.health().version == sys.argv[3]
upload = client.uploads.create(sys.argv[4], "clip")
assert client.uploads.get(upload.id).status == "ready"
try:
    client.uploads.get("upl_none")
except likeness_client.ApiProblem as problem:
    print(problem.code)
others = {name.partition(".")[0] for name in sys.modules} & {"likeness", "problems", "pydantic", "httpx"}
assert not others, others
"""


@pytest.fixture(scope="module")
def wheel(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run(
        [*command, "-w", str(folder), str(repo / "clients" / "python")], check=True, capture_output=True
    )
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_works_where_the_service_is_not_installed(
    wheel: Path, service: Service, clip: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    # -I and -S: neither this checkout nor the environment's packages can be imported.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPT, str(tmp_path / "site"), service.url, VERSION, str(clip)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "not_found"), done.stderr


def test_the_wheel_says_its_version_and_that_it_is_typed(wheel: Path) -> None:
    assert f"-{VERSION}-" in wheel.name
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"likeness_client"}
    assert {"likeness_client/py.typed", "likeness_client/LICENSE"} <= set(names)
