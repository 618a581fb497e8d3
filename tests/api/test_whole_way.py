"""The whole way of a new user with nothing made small: `likeness up`, Chromium, a person before the webcam.

Minutes each: run by ``./dev long``. ``PICTURES=FOLDER`` keeps what is seen, as the docs show it, and ``PRESET=preview``
learns the network, too. The browser's camera and microphone are fed from the first seconds of a video of the person, so
that the consent is recorded and checked as anybody's would be; the clip is the rest, since a clip is no consent.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

pytest.importorskip("playwright", reason="the browser's driver is not installed")

from playwright.sync_api import Locator, Page, expect

from media.audio import read_wav, write_wav
from media.decode import read_frames
from media.encode import VideoWriter
from media.normalise import normalise_recording
from media.probe import probe
from tests.api.browsing import browser, chromium
from tests.api.test_up import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SECONDS = 6
"""Of the video, that are before the webcam."""
MINUTES = 60_000
PRESET = os.environ.get("PRESET", "instant")


@dataclass(frozen=True)
class Person:
    """Somebody, and what is filmed of them."""

    name: str
    clip: Path
    recording: Path
    camera: Path
    microphone: Path
    gone: Path
    """The clip, but they walk out of the picture."""


@pytest.fixture(params=["sample", "real"])
def person(
    request: pytest.FixtureRequest, sample_clip: Path, sample_recording: Path, tmp_path: Path
) -> Person:
    chromium()
    filmed = sample_clip
    if request.param == "real":
        filmed = request.getfixturevalue("shared_clips") / "german_male_20s.mp4"
    found = Person(
        "Ada Example",
        tmp_path / "clip.mp4",
        tmp_path / "words.wav",
        tmp_path / "camera.y4m",
        tmp_path / "microphone.wav",
        tmp_path / "gone.mp4",
    )
    normalise_recording(sample_recording, tmp_path / "whole.wav")
    write_wav(found.recording, read_wav(tmp_path / "whole.wav")[: 4 * 16000])
    normalise_recording(filmed, tmp_path / "filmed.wav")
    sound = read_wav(tmp_path / "filmed.wav")
    write_wav(found.microphone, sound[: SECONDS * 16000])
    write_wav(tmp_path / "rest.wav", sound[SECONDS * 16000 :])
    before_the_camera(filmed, found.camera)
    film(filmed, tmp_path / "rest.wav", found.clip, away=False)
    film(filmed, tmp_path / "rest.wav", found.gone, away=True)
    return found


def before_the_camera(clip: Path, camera: Path) -> None:
    """The first seconds as YUV4MPEG2, which Chromium plays in the place of a webcam."""
    with open(camera, "wb") as out:
        for number, frame in enumerate(read_frames(clip)):
            if number == SECONDS * 25:
                break
            height, width = (2 * round(side * 480 / frame.shape[0] / 2) for side in frame.shape[:2])
            if number == 0:
                out.write(f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\n".encode())
            small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            out.write(b"FRAME\n" + cv2.cvtColor(small, cv2.COLOR_RGB2YUV_I420).tobytes())


def film(filmed: Path, sound: Path, out: Path, *, away: bool) -> None:
    """The rest of the video; ``away`` pans in its middle until the person is no longer in it, and back."""
    video = probe(filmed).video
    assert video is not None
    frames = list(islice(read_frames(filmed), SECONDS * 25, None))
    size = (video.width, video.height)
    with VideoWriter(out, *size, audio=sound) as writer:
        for number, frame in enumerate(frames):
            gone = (
                float(np.clip(2 - abs(number - len(frames) / 2) / (len(frames) / 7), 0, 1)) if away else 0.0
            )
            shift = np.array([[1, 0, -gone * video.width], [0, 1, 0]], np.float32)
            writer.write(cv2.warpAffine(frame, shift, size, borderMode=cv2.BORDER_REPLICATE))


@contextmanager
def new_user(url: str, person: Person) -> Iterator[Page]:
    """A browser nobody has signed in with, and this person before its webcam."""
    with browser(
        f"--use-file-for-fake-video-capture={person.camera}",
        f"--use-file-for-fake-audio-capture={person.microphone}",
    ) as chromium:
        page = chromium.new_page(base_url=url, viewport={"width": 1180, "height": 900})
        page.set_default_timeout(60_000)
        yield page


def look(page: Page, name: str, folder: Path) -> None:
    """Keep what is seen: in the test's folder, or where PICTURES says."""
    kept = Path(os.environ.get("PICTURES", folder))
    page.wait_for_timeout(1500)  # until players have come to rest
    page.screenshot(path=kept / f"{name}.png", full_page=True)


def choose(zone: Locator, file: Path) -> None:
    zone.locator("input[type=file]").set_input_files(file)
    expect(zone.locator("[data-state]")).to_contain_text("is there", timeout=2 * MINUTES)


def succeeded(page: Page, minutes: int) -> None:
    badge = page.locator("#job .badge").first
    expect(badge).to_have_text(re.compile("succeeded|failed|canceled"), timeout=minutes * MINUTES)
    assert badge.inner_text() == "succeeded", page.locator("#job").inner_text()


def admin_key(data: Path) -> str:
    command = ["keys", "create", "--scopes", "read,train,render,admin", "--data-dir", str(data), "--json"]
    answer = subprocess.run(
        [sys.executable, "-m", "cli", *command], capture_output=True, text=True, check=True
    )
    return str(json.loads(answer.stdout.splitlines()[-1])["key"])


def test_a_new_user(person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_AUTH", "keys")
    monkeypatch.setenv("LIKENESS_CONSENT", "recorded")
    with (
        running(tmp_path / "data", tmp_path / "log") as (_, url),
        new_user(url, person) as page,
    ):
        page.goto("/")
        page.wait_for_url("**/sign-in*")
        page.get_by_label("API key").fill(admin_key(tmp_path / "data"))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        look(page, "1-home", tmp_path)

        page.goto("/inspections/new")
        choose(page.locator("[data-upload]"), person.gone)
        page.get_by_role("button", name="Inspect").click()
        page.wait_for_url("**/jobs/*")
        refused = page.get_by_role("heading", name="This clip can't be used yet")
        expect(refused).to_be_visible(timeout=3 * MINUTES)
        expect(page.get_by_text("What to do:").first).to_be_visible()
        pictures = page.locator(".pictures img")
        assert pictures.count() >= 4
        for picture in pictures.all():
            picture.evaluate("each => each.decode()")
        look(page, "2-refused", tmp_path)

        page.goto("/consents/new")
        page.get_by_label("Full name of the person shown").fill(person.name)
        page.get_by_role("button", name="Continue").click()
        expect(page.locator(".statement")).to_contain_text(f"I am {person.name}")
        page.get_by_role("button", name="Record with the webcam").click()
        page.wait_for_timeout(1000 * SECONDS)
        look(page, "3-consent", tmp_path)
        page.get_by_role("button", name="Stop").click()
        expect(page.locator("[data-state]")).to_contain_text("is there")
        page.get_by_role("button", name="Hand it in").click()
        standing = page.locator("#standing")
        expect(standing.locator(".badge").first).to_have_text(
            re.compile("verified|rejected"), timeout=3 * MINUTES
        )
        assert "verified" in standing.inner_text(), standing.inner_text()
        page.reload()
        page.get_by_role("button", name="I heard them").click()
        expect(page.get_by_role("button", name="I heard them")).to_be_hidden()
        expect(page.get_by_text("Yes, says")).to_be_visible()
        look(page, "4-verified", tmp_path)

        page.get_by_role("link", name="Learn this person").click()
        page.get_by_label("Name", exact=True).fill("Ada")
        page.get_by_label("Preset").select_option(PRESET)
        choose(page.locator("[data-upload]"), person.clip)
        look(page, "5-learn", tmp_path)
        page.get_by_role("button", name="Upload and train").click()
        page.wait_for_url("**/people/per_*")
        ada = page.url
        page.locator("section a[href^='/jobs/']").first.click()
        running_stage = page.locator(".stages .running")
        expect(running_stage).to_contain_text("render", timeout=5 * MINUTES)
        page.wait_for_timeout(3000 if PRESET == "instant" else 90_000)
        look(page, "6-training", tmp_path)
        succeeded(page, 15)
        look(page, "7-trained", tmp_path)

        page.get_by_role("link", name="Make a video").click()
        choose(page.locator("[data-upload]").first, person.recording)
        expect(page.locator("[data-estimate-text]")).to_contain_text("of sound: ready in about")
        page.get_by_role("button", name="Preview the motion").click()
        expect(page.locator("[data-preview-text]")).to_have_text(
            "The preview is ready, below.", timeout=3 * MINUTES
        )
        look(page, "8-preview", tmp_path)
        page.get_by_role("button", name="Make the video").click()
        page.wait_for_url("**/jobs/job_*")
        succeeded(page, 5)
        page.get_by_role("button", name="Play both").click()
        page.wait_for_timeout(2000)
        look(page, "9-video", tmp_path)
        times = page.evaluate("[...document.querySelectorAll('video')].map((each) => each.currentTime)")
        assert len(times) == 2
        assert min(times) > 0.5
        source = page.locator("video").first.get_attribute("src")
        assert source is not None
        got = page.request.get(source)
        assert got.ok
        video = tmp_path / "video.mp4"
        video.write_bytes(got.body())
        shown = probe(video)
        assert shown.video is not None
        assert abs(shown.duration_s - 4) <= 0.05

        page.goto("/verifications/new")
        choose(page.locator("[data-upload]"), video)
        page.get_by_role("button", name="Verify").click()
        page.wait_for_url("**/jobs/*")
        succeeded(page, 3)
        expect(page.get_by_role("heading", name="This video was made here")).to_be_visible()
        expect(page.get_by_text("in the pixels")).to_be_visible()
        look(page, "10-verified", tmp_path)

        page.goto(ada)
        look(page, "11-person", tmp_path)
        page.get_by_text("Delete this person").click()
        page.get_by_label("Type the name to confirm").fill("Ada")
        page.get_by_role("button", name="Delete Ada for good").click()
        expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
        look(page, "12-receipt", tmp_path)
        assert httpx.get(f"{url}{source}").status_code in (401, 403, 404, 410)
        assert page.request.get(source).status in (404, 410)
