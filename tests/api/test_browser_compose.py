"""The services of docker-compose.yml as processes, started as compose would, and a browser that plays a video.

Every variable is the compose file's own. What is put in are the addresses of this machine's Postgres, Redis and S3,
since there is no engine that would give them names; the browser is denied that of S3, as it would not know the name.
``PICTURES=FOLDER`` keeps what is seen.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

pytest.importorskip("playwright", reason="the browser's driver is not installed")

from playwright.sync_api import Page, Request, expect

from benchmarks.job_stack import Processes, RedisServer
from benchmarks.s3_server import ACCESS_KEY, SECRET_KEY, RcloneServer, free_port
from likeness.settings import Settings
from tests.api.browsing import browser, chromium, film
from tests.api.test_browser import drop, until
from tests.likeness.service import postgres_url  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SECRET = "0123456789abcdef0123456789abcdef"


def environment(service: str, given: Mapping[str, str]) -> dict[str, str]:
    """What compose starts a service with, when the .env file says this."""
    spec = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]

    def filled(text: str) -> str:
        def value(match: re.Match[str]) -> str:
            name, kind, rest = match.groups()
            found = given.get(name, "")
            assert found or kind == "-", f"{name} is missing in .env"
            return found or rest

        return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", value, text)

    return {name: filled(str(text)) for name, text in spec["environment"].items()}


class Service(Processes):
    """One service's process with its own environment, and nothing of ours in it."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        super().__init__(folder, Settings())
        self._variables = variables

    def _environment(self) -> Mapping[str, str]:
        return {**self._variables, "PYTHONPATH": str(ROOT)}

    def done(self, *command: str) -> subprocess.CompletedProcess[str]:
        """The command's end, and what it said."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *command],
            env={**os.environ, **self._environment()},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )


@dataclass(frozen=True)
class Deployment:
    url: str
    store: str
    """Where the services reach the objects; no client is to be sent there."""
    key: str
    api: Service


@contextmanager
def deployment(folder: Path, postgres: str, **said: str) -> Iterator[Deployment]:
    """The services, with these lines in the .env file beside the secrets."""
    with ExitStack() as stack:
        redis = RedisServer(folder / "redis")
        redis.start()
        stack.callback(redis.stop)
        s3 = RcloneServer(folder / "s3")
        stack.callback(s3.close)
        given = {
            "LIKENESS_SECRET_KEY": SECRET,
            "POSTGRES_PASSWORD": SECRET,
            "REDIS_PASSWORD": SECRET,
            "LIKENESS_S3_ACCESS_KEY": ACCESS_KEY,
            "LIKENESS_S3_SECRET_KEY": SECRET_KEY,
            "LIKENESS_S3_ENDPOINT_URL": s3.url,
            "LIKENESS_CONSENT": "attested",
            **{name: value.replace("{s3}", s3.url) for name, value in said.items()},
        }
        here = {"LIKENESS_DATABASE_URL": postgres, "LIKENESS_BROKER_URL": redis.url}
        port = free_port()

        def service(name: str) -> Service:
            variables = {
                **environment(name, given),
                **here,
                "LIKENESS_DATA_DIR": str(folder / name),
                "LIKENESS_PORT": str(port),
            }
            made = Service(folder / name, variables)
            stack.callback(made.close)
            return made

        migrated = service("migrations").done("migrate")
        assert migrated.returncode == 0, migrated.stderr
        api = service("api")
        url = api.api(port)
        service("relay").start("-m", "cli", "relay")
        service("worker-cpu").start("-m", "tests.api.browsing_worker", "cpu", "gpu")
        made = api.done("keys", "create", "--tenant", "My company", "--name", "first", "--scopes", "admin")
        assert made.returncode == 0, made.stderr
        key = made.stdout.split()[-1]
        deadline = time.monotonic() + 60
        while httpx.get(f"{url}/readyz", headers={"Authorization": f"Bearer {key}"}).status_code != 200:
            assert time.monotonic() < deadline, "a worker and a relay have to be there"
            time.sleep(0.2)
        yield Deployment(url, s3.url, key, api)


def seen(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


WAYS: dict[str, dict[str, str]] = {
    "nothing else set": {},
    "a public name of the store": {"LIKENESS_S3_PUBLIC_URL": "{s3}"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_browser_on_the_host_plays_a_video(tmp_path: Path, postgres_url: str, way: str) -> None:
    chromium()
    with deployment(tmp_path, postgres_url, **WAYS[way]) as running, browser() as started:
        through_service = not WAYS[way]
        page = started.new_page(base_url=running.url)
        page.set_default_timeout(60_000)
        requests: list[Request] = []
        page.on("request", lambda request: requests.append(request))
        if through_service:
            page.route(
                lambda url: url.startswith(running.store), lambda route: route.abort("namenotresolved")
            )

        page.goto("/people")
        page.get_by_label("API key").fill(running.key)
        page.get_by_label("API key").press("Enter")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        form = {"name": "Ada", "subject_name": "Ada Example", "attested": "yes", "preset": "preview"}
        file = {"name": "ada.mp4", "mimeType": "video/mp4", "buffer": film()}
        ada = page.request.post("/people", multipart={**form, "file": file})
        assert ada.ok, ada.text()
        page.goto(ada.url)
        page.locator("section a[href^='/jobs/']").first.click()
        expect(page.locator("#job .badge").first).to_have_text("succeeded", timeout=120_000)

        if through_service:
            page.goto(f"{ada.url}/videos/new")
            drop(page, "words.mp4", film() + bytes(9 * 2**20))
            page.get_by_label("still").check()
            page.get_by_role("button", name="Make the video").click()
            page.wait_for_url("**/jobs/job_*")
            parts = [each for each in requests if each.method == "PUT"]
            assert len(parts) == 2, "9 MiB are two parts"
        else:
            words = {"name": "words.mp4", "mimeType": "video/mp4", "buffer": film()}
            made = page.request.post(f"{ada.url}/videos", multipart={"pose": "still", "file": words})
            assert made.ok, made.text()
            page.goto(made.url)
        expect(page.get_by_role("button", name="Play both")).to_be_visible(timeout=120_000)
        page.get_by_role("button", name="Play both").click()
        until(
            page,
            "document.querySelectorAll('video').length === 2 && [...document.querySelectorAll('video')]"
            ".every((each) => each.currentTime > 0.4 && each.readyState >= 3 && each.videoWidth > 0)",
        )
        page.evaluate("for (const each of document.querySelectorAll('video')) each.currentTime = 0.2")
        until(page, "[...document.querySelectorAll('video')].every((each) => !each.seeking)")
        seen(page, f"compose-{'service' if through_service else 'store'}")

        asked = {urlsplit(each.url).netloc for each in requests if each.url.startswith("http")}
        home, elsewhere = urlsplit(running.url).netloc, urlsplit(running.store).netloc
        assert asked == ({home} if through_service else {home, elsewhere})

        doctor = running.api.done("doctor", "--json")
        found: dict[str, Any] = {
            each["name"]: each for each in json.loads(doctor.stdout.splitlines()[-1])["checks"]
        }
        assert found["addresses"]["ok"], found
        if through_service:
            assert found["sending"]["ok"], found
            assert doctor.returncode == 0, doctor.stdout
        else:  # this server knows no CORS rules, so a page could not send to it
            assert "CORS" in found["sending"]["detail"], found
