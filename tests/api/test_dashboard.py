"""The dashboard, as a browser without JavaScript uses it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from likeness.store import LocalStore
from tests.api.calls import person, train, upload
from workers.runner import Runner

FORM = {"name": "Ada", "subject_name": "Ada Example", "attested": "yes", "preset": "preview"}
PAGE = {"Accept": "text/html"}


def learn(client: TestClient, content: bytes = b"a clip", **changes: str) -> str:
    answer = client.post(
        "/people", data={**FORM, **changes}, files={"file": ("a.mp4", content)}, follow_redirects=False
    )
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_from_the_form_to_the_video(client: TestClient, runner: Runner, store: LocalStore) -> None:
    assert "Nobody yet" in client.get("/").text
    page = learn(client)
    shown = client.get(page).text
    assert '<meta http-equiv="refresh"' in shown
    assert "Make a video" not in shown
    runner.run_all()
    shown = client.get(page).text
    assert '<meta http-equiv="refresh"' not in shown
    assert "Make a video" in shown
    client.post(f"{page}/videos", data={"pose": "still", "seed": "2"}, files={"file": ("a.wav", b"sound")})
    runner.run_all()
    shown = client.get(page).text
    source = re.search(r'<video[^>]*src="([^"]+)"', shown)
    assert source is not None
    assert b"soundstill" in client.get(source.group(1)).content
    client.post(f"{page}/delete")
    assert list(store.keys()) == []
    assert "Nobody yet" in client.get("/").text


def test_a_refused_form_is_a_page_that_says_what_to_do(client: TestClient, store: LocalStore) -> None:
    answer = client.post(
        "/people", data={**FORM, "attested": ""}, files={"file": ("a.mp4", b"x")}, headers=PAGE
    )
    assert answer.status_code == 403
    assert "There is no consent" in answer.text
    assert "consent_missing" in answer.text
    assert list(store.keys()) == [], "the clip of a refused form is not kept"
    answer = client.post("/people", data={**FORM, "preset": "x"}, files={"file": b"x"}, headers=PAGE)
    assert answer.status_code == 422
    assert client.get("/v1/persons").json()["data"] == []


def test_names_are_shown_and_never_run(client: TestClient, runner: Runner) -> None:
    attack = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    page = learn(client, name=attack, subject_name=attack)
    runner.run_all()
    for path in ("/", page, f"{page}/activity", "/jobs"):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    assert "&lt;script&gt;" in client.get(page).text


def test_a_failed_job_explains_itself_and_can_be_tried_again(client: TestClient, runner: Runner) -> None:
    page = learn(client, b"no face")
    runner.run_all()
    text = client.get(page).text
    assert "no face in frames 0-299" in text
    assert "film again" in text
    job = client.get("/v1/jobs").json()["data"][0]["id"]
    answer = client.post(f"/jobs/{job}/retry", follow_redirects=False)
    assert answer.headers["location"] == f"/jobs/{job}"
    assert client.get(f"/v1/jobs/{job}").json()["status"] == "queued"
    client.post(f"/jobs/{job}/cancel")
    assert "canceled" in client.get(f"/jobs/{job}").text
    client.post(f"/jobs/{job}/delete")
    assert client.get(f"/jobs/{job}", headers=PAGE).status_code == 404


def test_an_inspection_leads_to_a_training(client: TestClient, runner: Runner) -> None:
    answer = client.post("/inspections", files={"file": ("a.mp4", b"a clip")})
    job = str(answer.url).rsplit("/", 1)[1]
    runner.run_all()
    text = client.get(f"/jobs/{job}").text
    assert "can be learned from" in text
    form = {key: FORM[key] for key in ("name", "subject_name", "attested")}
    page = client.post(f"/inspections/{job}/train", data=form, follow_redirects=False).headers["location"]
    runner.run_all()
    assert "ready" in client.get(page).text


def test_fragments_end_their_own_polling(client: TestClient, runner: Runner) -> None:
    ada = person(client)
    job = train(client, ada, upload(client))
    assert "hx-trigger" in client.get(f"/people/{ada}/activity").text
    runner.run_all()
    for path in (f"/people/{ada}/activity", f"/jobs/{job}/card"):
        answer = client.get(path)
        assert "hx-trigger" not in answer.text
        assert answer.headers["hx-refresh"] == "true"


@pytest.mark.parametrize("path", ["/", "/jobs", "/help/errors", "/nowhere"])
def test_pages_load_nothing_from_elsewhere(client: TestClient, path: str) -> None:
    text = client.get(path, headers=PAGE).text
    assert "<h1" in text
    for link in re.findall(r'(?:src|href|action)="([^"]+)"', text):
        assert link.startswith(("/", "#")), link
        if link.startswith("/static/"):
            assert client.get(link).status_code == 200
    assert "style=" not in text


def test_every_kind_of_error_is_explained(client: TestClient) -> None:
    text = client.get("/help/errors").text
    for slug in ("no_face", "consent_missing", "poisoned", "not_ready", "unknown_host", "out_of_disk"):
        assert f'id="{slug}"' in text


def test_the_vendored_script_has_its_licence_beside_it() -> None:
    static = Path(__file__).parents[2] / "api" / "dashboard" / "static"
    for script in static.glob("*.min.js"):
        assert "Zero-Clause BSD" in script.with_name(script.name.replace(".min.js", ".LICENSE")).read_text()
