"""Settings, compose files, the example environment and the documentation, each held against the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_core import PydanticUndefined

from likeness.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
MANY, EMBEDDED = "docker-compose.yml", "docker-compose.embedded.yml"
OURS = ("api", "relay", "migrations", "worker-cpu", "worker-beside-gpu", "worker-gpu", "likeness")
"""Services that run this code; the others are somebody else's."""

IN_THE_IMAGE = {
    "data_dir": "ENV of the image",
    "host": "an option of the command",
    "port": "published as another",
}
"""Settings that no operator sets in a container, and why."""
NOT_EMBEDDED = {"broker_url", "sweep_s", "orphan_grace_s", "checkpoint_every_s"}
"""Settings that mean something with a broker only, which makes it the other deployment."""
READERS = {
    "api": ("api/", "likeness/", "cli/up.py"),
    "relay": ("workers/relay.py", "workers/hooks.py", "likeness/", "cli/relay.py"),
    "migrations": ("likeness/database.py", "likeness/schema.py"),
    "worker-cpu": ("workers/", "likeness/", "cli/worker.py"),
    "likeness": ("api/", "workers/", "likeness/", "cli/up.py"),
}
READERS |= {"worker-gpu": READERS["worker-cpu"], "worker-beside-gpu": READERS["worker-cpu"]}
NOT_RUN_BY = {
    "relay": ("likeness/intake.py", "likeness/fetch.py", "likeness/upload_sessions.py"),
    "worker-cpu": (
        *("workers/relay.py", "workers/hooks.py"),
        *("likeness/upload_sessions.py", "likeness/fetch.py", "likeness/accounts.py"),
    ),
}
NOT_RUN_BY |= {"worker-gpu": NOT_RUN_BY["worker-cpu"], "worker-beside-gpu": NOT_RUN_BY["worker-cpu"]}


def environments(name: str) -> dict[str, dict[str, str]]:
    """What each of our services is started with, before compose fills in variables."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / name).read_text())["services"]
    return {
        service: {variable: str(value) for variable, value in spec.get("environment", {}).items()}
        for service, spec in found.items()
        if service in OURS
    }


ALL = [(name, service) for name in (MANY, EMBEDDED) for service in environments(name)]


def fields(variables: Any) -> set[str]:
    return {name.removeprefix("LIKENESS_").lower() for name in variables if name.startswith("LIKENESS_")}


def read_in(file: Path) -> set[str]:
    """The settings that a module asks for, by themselves or through what Settings makes of them."""
    source = (ROOT / "likeness" / "settings.py").read_text()
    made = dict(re.findall(r"    def (\w+)\(self\).*?\n((?:        .*\n|\n)+)", source))
    found: set[str] = set()
    asked = set(re.findall(r"\bsettings\.(\w+)", file.read_text()))
    while asked:
        name = asked.pop()
        if name in Settings.model_fields:
            found.add(name)
        elif name in made and name not in ("require_safe", "secret_values"):
            asked |= set(re.findall(r"\bself\.(\w+)", made.pop(name)))
    return found


@pytest.mark.parametrize(("name", "service"), ALL)
def test_every_variable_is_a_setting_that_is_handed_on_under_its_own_name(name: str, service: str) -> None:
    for variable, value in environments(name)[service].items():
        assert variable.startswith("LIKENESS_"), variable
        field = variable.removeprefix("LIKENESS_").lower()
        assert field in Settings.model_fields, variable
        assert field not in IN_THE_IMAGE, f"{variable} would be nothing where the image has a value"
        if value.startswith("${"):
            assert value.startswith("${" + variable + ":"), f"{variable} can't be set by its own name"


@pytest.mark.parametrize(("name", "service"), ALL)
def test_each_service_is_handed_what_it_reads(name: str, service: str) -> None:
    files = [
        path
        for prefix in READERS[service]
        for path in ([ROOT / prefix] if prefix.endswith(".py") else (ROOT / prefix).rglob("*.py"))
        if not str(path.relative_to(ROOT)).startswith(
            ("likeness/settings.py", "likeness/client/", *NOT_RUN_BY.get(service, ()))
        )
    ]
    assert files
    wanted = set().union(*(read_in(file) for file in files)) - set(IN_THE_IMAGE)
    if service != "api" and name == MANY:
        wanted -= {
            "max_upload_mb"
        }  # likeness/intake.py is there for its look at the disk; only the API takes files in
    if service == "likeness":
        wanted -= NOT_EMBEDDED
    missing = wanted - fields(environments(name)[service])
    assert not missing, f"{service} in {name} reads them and is not handed them"


@pytest.mark.parametrize(("name", "left_out"), [(MANY, set()), (EMBEDDED, NOT_EMBEDDED)])
def test_every_setting_can_be_set_in_a_deployment(name: str, left_out: set[str]) -> None:
    handed = {field for service in environments(name) for field in fields(environments(name)[service])}
    assert handed == set(Settings.model_fields) - set(IN_THE_IMAGE) - left_out


def test_every_setting_is_in_the_example_environment() -> None:
    example = (ROOT / ".env.example").read_text()
    named = fields(re.findall(r"^#?([A-Z0-9_]+)=", example, re.MULTILINE))
    # Compose's own: the published port, a folder, and limits of the embedded service.
    of_compose = {"port", "c2pa_dir", "cpus", "memory"}
    assert named - of_compose == set(Settings.model_fields) - set(IN_THE_IMAGE) - {"broker_url"}


def test_what_the_example_shows_can_be_used(tmp_path: Path) -> None:
    """Every value that is a comment there is one that the settings take."""
    lines = re.findall(r"^#(LIKENESS_[A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    known = {f"LIKENESS_{name.upper()}" for name in Settings.model_fields}
    given = {name: value for name, value in lines if name in known}
    assert len(given) > 30
    for name in ("LIKENESS_C2PA_CERTIFICATE", "LIKENESS_C2PA_KEY"):
        assert given[name].startswith("/etc/likeness/c2pa/")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**given, "LIKENESS_S3_SSE": ""}.items():
            patch.setenv(name, value)
        settings = Settings.load(data_dir=tmp_path)
    assert settings.public_url == "https://likeness.example.org"


def documented() -> dict[str, str]:
    """Variable and default of each row of the tables in docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text()
    section = text.split("\n## Settings\n")[1].split("\n## ")[0]
    found = {}
    for names, defaults in re.findall(r"^\| (`LIKENESS_[^|]+) \| ([^|]+) \|", section, re.MULTILINE):
        variables = re.findall(r"`(LIKENESS_[A-Z0-9_]+)`", names)
        values = [value.strip() for value in defaults.split(", ")] if len(variables) > 1 else [defaults]
        for number, variable in enumerate(variables):
            found[variable] = values[min(number, len(values) - 1)]
    return found


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert fields(documented()) == set(Settings.model_fields)


def test_documented_defaults_are_the_real_ones() -> None:
    told = 0
    for variable, default in documented().items():
        value = re.fullmatch(r"`(.*)`", default.strip())
        if value is None:
            continue  # said in words
        field = Settings.model_fields[variable.removeprefix("LIKENESS_").lower()]
        real = field.default
        assert real is not PydanticUndefined, variable
        if variable == "LIKENESS_DATA_DIR":
            assert value[1] == f"./{real}"
        elif isinstance(real, tuple):
            assert value[1] == "[" + ",".join(f'"{each}"' for each in real) + "]"
        elif isinstance(real, bool):
            assert value[1] == str(real).lower(), variable
        elif isinstance(real, int | float):
            assert float(value[1]) == real, variable
        else:
            assert value[1] == real, variable
        told += 1
    assert told > 25


def test_nothing_that_is_handed_on_as_nothing_hides_a_value_of_the_image() -> None:
    """An empty variable counts as unset, also where the image has ENV for it."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    set_there = {
        name for line in re.findall(r"^ENV (.*)$", dockerfile, re.MULTILINE) for name in line.split()
    }
    variables = {each.split("=")[0] for each in set_there if each.startswith("LIKENESS_")}
    assert "LIKENESS_DATA_DIR" in variables
    for name, service in ALL:
        for variable in variables & set(environments(name)[service]):
            assert not environments(name)[service][variable].endswith(":-}"), (service, variable)


# -- as compose itself reads the files -----------------------------------------------------------------------


def compose(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = shutil.which("docker-compose")
    if command is None:
        pytest.skip("there is no docker-compose on this machine")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIKENESS_")}
    return subprocess.run(
        [command, *arguments, "config"],
        cwd=folder,
        env={**environment, "COMPOSE_PROJECT_NAME": "likeness"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with the compose files and a fresh .env of the example."""
    for name in (MANY, EMBEDDED):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    return tmp_path


def filled_in(folder: Path) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    text = re.sub(
        r"^(\w+(?:KEY|PASSWORD))=$", rf"\1={secret}", (folder / ".env").read_text(), flags=re.MULTILINE
    )
    (folder / ".env").write_text(text)


def test_a_fresh_environment_is_refused_by_the_name_of_what_is_missing(fresh: Path) -> None:
    done = compose(fresh)
    assert done.returncode == 1
    assert re.search(r"set \w+ in \.env", done.stderr)


@pytest.mark.parametrize(
    ("file", "profile"), [(MANY, "cpu"), (MANY, "gpu"), (EMBEDDED, "")], ids=["cpu", "gpu", "embedded"]
)
def test_what_compose_hands_to_each_process_makes_settings(
    fresh: Path, file: str, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled_in(fresh)
    done = compose(fresh, "--file", file, *(("--profile", profile) if profile else ()))
    assert done.returncode == 0, done.stderr
    started = {name: spec for name, spec in yaml.safe_load(done.stdout)["services"].items() if name in OURS}
    assert {"api", "relay", "migrations", f"worker-{profile}"} <= set(started) or set(started) == {"likeness"}
    for name in os.environ:
        if name.startswith("LIKENESS_"):
            monkeypatch.delenv(name)
    for spec in started.values():
        with monkeypatch.context() as patch:
            for variable, value in spec["environment"].items():
                # compose doubles a dollar sign in what it prints
                patch.setenv(variable, "" if value is None else str(value).replace("$$", "$"))
            settings = Settings.load(data_dir=fresh / "data")
        if file == MANY:
            settings.require_safe()
            assert (settings.environment, settings.auth, settings.consent) == (
                "production",
                "keys",
                "recorded",
            )
            assert settings.lease_s == Settings.model_fields["lease_s"].default
        else:
            assert (settings.auth, settings.store) == ("local", "local")
        assert settings.public_url == ""
