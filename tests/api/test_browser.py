"""The dashboard in a real browser: what its scripts add, and whether everybody can use it."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser's driver is not installed")

from playwright.sync_api import Page, Route, expect

from likeness.accounts import create_key
from likeness.tables import EMBEDDED
from tests.api.browsing import AXE, Service, browser, film, service

DROP = """(zone, [name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const list = new DataTransfer();
  list.items.add(new File([bytes], name, { type: "video/mp4", lastModified: 1 }));
  zone.dispatchEvent(new DragEvent("drop", { dataTransfer: list, bubbles: true, cancelable: true }));
}"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Service]:
    with service(tmp_path / "data") as running:
        yield running


@pytest.fixture
def page(running: Service) -> Iterator[Page]:
    """A page of the service; whatever its scripts complain of fails the test."""
    with browser() as chromium:
        page = chromium.new_page(base_url=running.url)
        page.set_default_timeout(20_000)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda said: complaints.append(said.text) if "Security Policy" in said.text else None
        )
        yield page
        assert complaints == []


def until(page: Page, truth: str) -> None:
    """Wait until an expression is true; the page's policy forbids Playwright's own way of it."""
    deadline = time.monotonic() + 20
    while not page.evaluate(truth):
        assert time.monotonic() < deadline, truth
        page.wait_for_timeout(50)


def drop(page: Page, name: str, content: bytes, zone: str = "[data-upload]") -> None:
    page.locator(zone).first.evaluate(DROP, [name, base64.b64encode(content).decode()])


def test_a_dropped_clip_is_sent_in_parts_and_refused_with_pictures(page: Page) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    page.goto("/inspections/new")
    drop(page, "<b>a.mp4", film() + b"no face" + bytes(9 * 2**20))
    expect(page.locator("[data-state]")).to_have_text("<b>a.mp4 is there.")
    page.get_by_role("button", name="Inspect").click()
    page.wait_for_url("**/jobs/*")
    expect(page.get_by_role("heading", name="This clip can't be used yet")).to_be_visible()
    expect(page.get_by_text("What to do: film again with both hands down")).to_be_visible()
    assert (
        page.locator(".pictures img").first.evaluate("each => each.decode().then(() => each.naturalWidth)")
        > 0
    )
    parts = [line for line in sent if line.startswith("PUT")]
    assert len(parts) == 2, "9 MiB are two parts"
    assert not any("/inspections" in line and "multipart" in line for line in sent)


@pytest.mark.slow
def test_an_upload_goes_on_after_a_reload_and_through_a_bad_line(page: Page) -> None:
    content, tries = film() + bytes(17 * 2**20), list[str]()

    def lose(route: Route) -> None:
        part = re.search(r"part=(\d+)", route.request.url)
        number = part.group(1) if part else "?"
        tries.append(number)
        if number == "3":
            route.abort()
        else:
            route.continue_()

    page.route(re.compile(r"/v1/objects/"), lose)
    page.goto("/inspections/new")
    drop(page, "a.mp4", content)
    until(page, "document.querySelector('[data-bar] progress').value >= 60")
    while "3" not in tries:  # the other two are whole, and the browser knows
        page.wait_for_timeout(50)
    page.reload()
    expect(page.locator("[data-state]")).to_contain_text("was interrupted")
    page.unroute(re.compile(r"/v1/objects/"))
    again: list[str] = []
    page.on("request", lambda request: again.append(request.url) if request.method == "PUT" else None)
    drop(page, "a.mp4", content)
    expect(page.locator("[data-state]")).to_have_text("a.mp4 is there.")
    assert len(again) == 1, "only the part that had not come"
    assert {"1", "2", "3"} <= set(tries)


@pytest.mark.slow
def test_the_whole_way(page: Page) -> None:
    page.goto("/consents/new")
    page.get_by_label("Full name of the person shown").fill("Ada Example")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".statement")).to_contain_text("I am Ada Example")
    page.get_by_role("button", name="Record with the webcam").click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("[data-state]")).to_contain_text("is there")
    page.get_by_role("button", name="Hand it in").click()
    expect(page.get_by_text("verified").first).to_be_visible()

    page.get_by_role("link", name="Learn this person").click()
    page.get_by_label("Name", exact=True).fill("Ada")
    drop(page, "ada.mp4", film())
    page.get_by_role("button", name="Upload and train").click()  # the form follows when the file is there
    page.wait_for_url("**/people/per_*")
    person = page.url
    page.locator("section a[href^='/jobs/']").first.click()
    until(page, "document.querySelector('[data-percent]')?.value > 40")
    expect(page.locator(".plot svg").first).to_be_visible()
    expect(page.locator(".plot svg[aria-label*='from 0.']").first).to_be_visible()
    expect(page.locator("#job .badge").first).to_have_text("succeeded", timeout=40_000)

    page.goto(person)
    page.get_by_role("link", name="Make a video").click()
    page.get_by_role("button", name="Record with the microphone").click()
    page.wait_for_timeout(1200)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("[data-estimate-text]")).to_contain_text("of sound: ready in about")
    page.get_by_label("still").check()
    page.get_by_label("Head strength").fill("0.5")
    page.get_by_role("button", name="Make the video").click()
    page.wait_for_url("**/jobs/job_*")
    both = page.get_by_role("button", name="Play both")
    expect(both).to_be_visible()
    both.click()
    until(page, "[...document.querySelectorAll('video')].every((each) => each.currentTime > 0.4)")
    apart = page.evaluate(
        "(() => { const [a, b] = document.querySelectorAll('video');"
        " return Math.abs(a.currentTime % b.duration - b.currentTime); })()"
    )
    assert apart < 0.3

    page.goto(person)
    page.get_by_text("Delete this person").click()
    page.get_by_label("Type the name to confirm").fill("Ada")
    page.get_by_role("button", name="Delete Ada for good").click()
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    expect(page.get_by_text("Files that went")).to_be_visible()


@pytest.mark.slow
def test_a_motion_is_previewed_in_the_page(page: Page) -> None:
    ada = learned(page)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    page.goto(f"{ada}/videos/new")
    said, preview = page.locator("[data-preview-text]"), page.get_by_role("button", name="Preview the motion")
    drop(page, "words.mp4", film())
    preview.click()  # the form follows when the file is there, and to where this button leads
    expect(said).to_have_text("The preview is ready, below.")
    expect(preview).to_be_focused()
    assert page.url.endswith("/videos/new")
    head = page.locator("#preview video")
    head.evaluate("each => each.play()")
    until(page, "document.querySelector('#preview video').currentTime > 0.3")
    drawn = "each => each.decode().then(() => each.naturalWidth)"
    assert page.locator("#preview img").evaluate(drawn) == 600
    first = head.get_attribute("src")

    page.get_by_label("Seed").fill("7")
    page.get_by_label("Head strength").fill("0.5")
    preview.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#preview")).to_contain_text("strength 0.5")
    expect(said).to_have_text("The preview is ready, below.")
    assert page.locator("#preview video").get_attribute("src") != first
    assert len([line for line in sent if line.startswith("PUT")]) == 1, "the sound went up once"

    page.get_by_label("as in another video").check()
    preview.click()
    expect(said).to_contain_text("no video was chosen to take the head movement from")
    drop(page, "other.mp4", film(), "[data-field=pose_upload_id]")
    page.get_by_label("Head strength").fill("1")
    page.get_by_label("Take its expressions too").check()
    preview.click()
    expect(page.locator("#preview .facts")).to_contain_text("as in another video")
    page.get_by_label("learned").check()
    expect(page.get_by_label("Video whose head movement is taken")).to_be_hidden()
    page.get_by_role("button", name="Make the video").click()
    page.wait_for_url("**/jobs/job_*")
    expect(page.get_by_role("button", name="Play both")).to_be_visible()
    video = page.request.get("/v1/videos").json()["data"][0]
    assert (video["pose_mode"], video["seed"]) == ("learned", 7)


@pytest.mark.slow
def test_signing_in_by_key(tmp_path: Path) -> None:
    with service(tmp_path / "data", auth="keys") as running, browser() as chromium:
        _, secret = create_key(running.database, tenant_id=EMBEDDED, name="me", scopes=["admin"])
        page = chromium.new_page(base_url=running.url)
        page.goto("/jobs")
        page.get_by_label("API key").fill(secret)
        page.get_by_label("API key").press("Enter")
        page.wait_for_url("**/jobs")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        drop_page = "/inspections/new"
        page.goto(drop_page)
        drop(page, "a.mp4", film())
        expect(page.locator("[data-state]")).to_have_text("a.mp4 is there.")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")


@pytest.mark.slow
def test_axe_finds_nothing_on_any_page(page: Page) -> None:
    source, faults = AXE.read_text(), list[str]()
    for path in fill(page):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": 360 if scheme == "dark" else 1280, "height": 800})
            page.goto(path)
            page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
            page.evaluate("document.querySelector('[name=pose][value=reference]')?.click()")
            page.evaluate(source)
            found = page.evaluate("axe.run()")
            for each in found["violations"]:
                faults += [f"{path} {scheme} {each['id']}: {node['html'][:150]}" for node in each["nodes"]]
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 0:
                faults.append(f"{path} is {wide} px too wide")
            cut = "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth + 1)"
            faults += [
                f"{path} cuts the table {name}"
                for name in page.evaluate(f"{cut}.map((each) => each.ariaLabel)")
            ]
    assert faults == []


def learned(page: Page) -> str:
    """Have a person learned; returns the address of their page."""
    form = {"name": "Ada", "subject_name": "Ada Example", "attested": "yes", "preset": "preview"}
    file = {"name": "ada.mp4", "mimeType": "video/mp4", "buffer": film()}
    ada = page.request.post("/people", multipart={**form, "file": file}).url
    page.goto(ada)
    page.locator("section a[href^='/jobs/']").first.click()
    expect(page.locator("#job .badge").first).to_have_text("succeeded", timeout=60_000)
    return ada


def fill(page: Page) -> list[str]:
    """Make one of everything; returns the address of each page."""

    def made(path: str, form: dict[str, str], file: tuple[str, bytes] | None = None) -> str:
        extra = {"file": {"name": file[0], "mimeType": "video/mp4", "buffer": file[1]}} if file else {}
        answer = (
            page.request.post(path, multipart={**form, **extra})
            if file
            else page.request.post(path, form=form)
        )
        assert answer.ok, answer.text()
        return answer.url

    def ended(url: str) -> str:
        page.goto(url)
        expect(page.locator("#job .badge").first).to_have_text(re.compile("succeeded|failed"), timeout=60_000)
        return url

    form = {"subject_name": "Ada Example", "attested": "yes", "preset": "preview"}
    ada = made("/people", {**form, "name": "Ada Example"}, ("ada.mp4", film()))
    bob = made("/people", {**form, "name": "Bob Sample"}, ("bob.mp4", b"no face"))
    page.goto(ada)
    training = page.locator("section a[href^='/jobs/']").first.get_attribute("href") or ""
    ended(training)
    motion = ended(made(f"{ada}/motions", {"pose": "learned"}, ("speech.wav", b"sound")))
    video = ended(made(f"{ada}/videos", {"pose": "learned"}, ("speech.wav", b"sound")))
    inspection = ended(made("/inspections", {}, ("hand.mp4", film() + b"no face")))
    checked = ended(made("/verifications", {}, ("video.mp4", film())))
    consent = made("/consents", {"subject_name": "Cleo Person", "purposes": "train"})
    made("/settings/webhooks", {"url": "https://example.org/hooks/likeness"})
    hook = page.request.get("/v1/webhook-endpoints").json()["data"][0]["id"]
    made(f"/settings/webhooks/{hook}/test", {})
    receipt = made(f"{bob}/delete", {"confirm": "Bob Sample"})
    bad = made("/people", {**form, "name": "Bob Sample"}, ("bob.mp4", b"no face"))
    return [
        *("/", "/people/new", ada, f"{ada}/videos/new", bad, training, motion, video),
        *(f"{ada}/videos/new?motion={motion.rsplit('/', 1)[1]}", inspection, checked),
        *("/inspections/new", "/verifications/new", "/consents", "/consents/new", consent, "/jobs", receipt),
        *(
            "/deletions",
            "/settings/usage",
            "/settings/keys",
            "/settings/webhooks",
            f"/settings/webhooks/{hook}",
        ),
        *("/settings/audit", "/settings/system", "/help/errors", "/sign-in", "/nowhere"),
    ]
