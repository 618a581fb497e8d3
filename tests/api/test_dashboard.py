"""The dashboard, as a browser without JavaScript uses it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from api.app import create_app
from api.dashboard.render import STAGE_WORDS
from likeness.accounts import create_key, create_tenant
from likeness.database import Database
from likeness.requests import PLANS, create_person, record_or_refuse
from likeness.settings import Settings
from likeness.store import LocalStore
from tests.api.calls import person, train, upload
from workers.runner import Runner, StageContext, StageSpec

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
    job = client.get("/v1/trainings").json()["data"][0]["id"]
    assert f"{page}/videos/new" in client.get(f"/jobs/{job}").text, "where a training leads"
    source = re.search(r'<video[^>]*src="([^"]+)"', shown)
    assert source is not None
    assert b"soundstill" in client.get(source.group(1)).content
    refused = client.post(f"{page}/delete", data={"confirm": "ada"}, headers=PAGE)
    assert (refused.status_code, "type &#39;Ada&#39;" in refused.text) == (422, True)
    receipt = client.post(f"{page}/delete", data={"confirm": "Ada"})
    assert "/deletions/del_" in str(receipt.url)
    assert "Rows that went" in receipt.text
    assert "renderer.safetensors" in receipt.text
    assert list(store.keys()) == []
    assert "Nobody yet" in client.get("/").text


def test_a_verification_says_what_was_read(client: TestClient, runner: Runner) -> None:
    shown = {}
    for name, content in (("ours", b"film mark:0123456789ab"), ("other", b"film")):
        page = client.post("/verifications", files={"file": ("a.mp4", content)}).url.path
        runner.run_all()
        shown[name] = client.get(page).text
    assert "in the pixels, 90 % of it agrees" in shown["ours"]
    assert "not found in 8 frames" in shown["other"]
    assert "That does not prove that it is real" in shown["other"]
    assert all("none in this file" in text for text in shown.values())


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
    clip = upload(client, name=attack + ".mp4")
    consent = client.post("/consents", data={"subject_name": attack, "purposes": ["train", "dub"]}).url.path
    client.post("/settings/keys", data={"name": attack, "scopes": ["read"]})
    inspection = client.post("/inspections", data={"upload_id": clip}).url.path
    runner.run_all()
    paths = ("/", page, f"{page}/activity", f"{page}/videos/new", "/jobs", "/consents", consent, inspection)
    for path in (*paths, "/settings/keys", "/settings/audit", "/people/new"):
        answer = client.get(path)
        assert answer.status_code == 200
        text = answer.text
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


EVERY_PAGE = (
    *("/", "/people/new", "/jobs", "/inspections/new", "/verifications/new", "/consents", "/consents/new"),
    *("/settings/usage", "/settings/keys", "/settings/webhooks", "/settings/audit", "/settings/system"),
    *("/deletions", "/help/errors", "/sign-in", "/nowhere"),
)


def test_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in EVERY_PAGE:
        text = client.get(path, headers=PAGE).text
        assert text.count("<h1") == 1, path
        for link in re.findall(r'(?:src|href|action)="([^"]+)"', text):
            assert link.startswith(("/", "#", "?")), link
            if link.startswith("/static/"):
                assert client.get(link).status_code == 200
        assert not re.search(r"style=|<script>|<style|onclick=", text), path


def test_every_kind_of_error_is_explained(client: TestClient) -> None:
    text = client.get("/help/errors").text
    for slug in ("no_face", "consent_missing", "poisoned", "not_ready", "unknown_host", "out_of_disk"):
        assert f'id="{slug}"' in text


def test_the_vendored_script_has_its_licence_beside_it() -> None:
    static = Path(__file__).parents[2] / "api" / "dashboard" / "static"
    for script in static.glob("*.min.js"):
        assert "Zero-Clause BSD" in script.with_name(script.name.replace(".min.js", ".LICENSE")).read_text()


def test_an_upload_that_was_sent_before_is_named_by_its_id(client: TestClient, runner: Runner) -> None:
    clip = upload(client)
    form = {**FORM, "upload_id": clip}
    refused = client.post("/people", data={**form, "attested": ""}, headers=PAGE)
    assert refused.status_code == 403
    assert client.get(f"/v1/uploads/{clip}").status_code == 200, "it can be used once the form is right"
    page = client.post("/people", data=form, follow_redirects=False).headers["location"]
    runner.run_all()
    sound = upload(client, b"sound", "recording", "a.wav")
    asked = {"pose": "clip", "seed": "7", "head_strength": "0.5", "lip_strength": "1.2", "picture": "face"}
    wrong = client.post(f"{page}/videos", data={**asked, "upload_id": sound, "smoothing": "9"}, headers=PAGE)
    assert (wrong.status_code, "smoothing" in wrong.text) == (422, True)
    video = client.post(f"{page}/videos", data={**asked, "upload_id": sound})
    assert re.fullmatch(r"/jobs/job_\w+", video.url.path)
    runner.run_all()
    text = client.get(video.url.path).text
    assert "data-compare" in text
    assert "clip, strength 0.5" in text
    assert client.get(f"{page}/clip").content == b"a clip"
    empty = client.post("/people", data=FORM, headers=PAGE)
    assert (empty.status_code, "choose a file" in empty.text) == (422, True)


def test_a_motion_is_previewed_changed_and_made_a_video_of(client: TestClient, runner: Runner) -> None:
    page = learn(client)
    runner.run_all()
    form = client.get(f"{page}/videos/new").text
    assert f'<button formaction="{page}/motions" data-preview>Preview the motion</button>' in form
    asked = {"pose": "still", "seed": "5", "head_strength": "0.5", "lip_strength": "1.25", "smoothing": "0"}
    shown = client.post(f"{page}/motions", data=asked, files={"file": ("words.wav", b"sound")})
    motion = shown.url.path
    assert re.fullmatch(r"/jobs/job_\w+", motion)
    assert '<meta http-equiv="refresh"' in shown.text
    assert "Make the video like this" not in shown.text
    runner.run_all()
    text = client.get(motion).text
    assert "Motion preview of Ada" in text
    source = re.search(r'<video[^>]*src="([^"]+)"', text)
    assert source is not None
    assert client.get(source.group(1)).content == b"head soundstill"
    picture = re.search(r'<img class="wide" src="([^"]+)"', text)
    assert picture is not None
    assert client.get(picture.group(1)).content == b"curves"

    again = re.search(r'href="([^"]+)">Change something first', text)
    assert again is not None
    form = client.get(again.group(1)).text
    assert "words.wav is there already" in form
    assert re.search(r'value="still" checked', form)
    assert re.search(r'name="seed"[^>]*value="5"', form)
    kept = re.search(r'name="upload_id" value="(upl_\w+)"', form)
    assert kept is not None
    # As a browser sends it: the field of the file is there and empty.
    other = client.post(
        f"{page}/motions",
        data={**asked, "seed": "6", "upload_id": kept.group(1)},
        files={"file": ("", b"", "application/octet-stream")},
    )
    runner.run_all()
    text = client.get(other.url.path).text
    like = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))
    assert (like["upload_id"], like["pose"], like["seed"], like["head_strength"]) == (
        kept.group(1),
        "still",
        "6",
        "0.5",
    )
    video = client.post(f"{page}/videos", data={**like, "picture": "frame", "preset": ""})
    runner.run_all()
    assert "still, strength 0.5" in client.get(video.url.path).text
    made = client.get("/v1/videos").json()["data"][0]
    assert (made["audio_upload_id"], made["seed"]) == (kept.group(1), 6)
    assert len(client.get("/v1/uploads?purpose=recording").json()["data"]) == 1
    assert client.get("/jobs?kind=motion").text.count(">motion preview</a>") == 2
    client.post(f"{motion}/delete")
    assert client.get(motion, headers=PAGE).status_code == 404


def test_a_motion_is_shown_in_the_page_that_asked(client: TestClient, runner: Runner) -> None:
    page = learn(client)
    runner.run_all()
    sound = upload(client, b"sound", "recording")
    asked = client.post(f"{page}/motions", data={"upload_id": sound}, headers={"HX-Request": "true"})
    assert asked.status_code == 200
    assert "<html" not in asked.text
    poll = re.search(r'data-motion="queued" data-job="(job_\w+)" hx-get="([^"]+)"', asked.text)
    assert poll is not None
    runner.run_all()
    done = client.get(poll.group(2)).text
    assert 'data-motion="succeeded"' in done
    assert "hx-get" not in done
    assert f'src="/v1/motions/{poll.group(1)}/preview"' in done
    refused = client.post(
        f"{page}/motions", data={"upload_id": sound, "smoothing": "9"}, headers={"HX-Request": "true"}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameter")
    training = client.get("/v1/trainings").json()["data"][0]["id"]
    assert client.get(f"/jobs/{training}/motion", headers=PAGE).status_code == 404
    assert client.get(f"{page}/videos/new?motion={training}", headers=PAGE).status_code == 404


def test_the_head_of_another_video(client: TestClient, runner: Runner) -> None:
    page = learn(client)
    runner.run_all()
    two = {"file": ("words.wav", b"sound"), "pose_file": ("other.mp4", b"other")}
    asked = {"pose": "reference", "expressions": "yes", "head_strength": "1", "lip_strength": "1.0"}
    motion = client.post(f"{page}/motions", data=asked, files=two).url.path
    runner.run_all()
    (job,) = client.get("/v1/motions").json()["data"]
    other = job["pose"]["video_upload_id"]
    assert other == job["pose"]["expression_upload_id"]
    found = client.get(f"/v1/uploads/{other}").json()
    assert (found["filename"], found["purpose"]) == ("other.mp4", "video")
    text = client.get(motion).text
    assert f'name="pose_upload_id" value="{other}"' in text
    assert 'name="expressions" value="yes"' in text
    form = client.get(f"{page}/videos/new?motion={job['id']}").text
    assert "other.mp4 is there already" in form
    like = {"pose": "reference", "upload_id": job["audio_upload_id"], "pose_upload_id": other}
    video = client.post(f"{page}/videos", data=like).url.path
    runner.run_all()
    assert "reference, strength" in client.get(video).text

    count = len(client.get("/v1/uploads").json()["data"])
    for data, files, words in (
        ({"pose": "reference"}, {"file": ("a.wav", b"sound")}, "no video was chosen"),
        ({**asked, "lip_strength": "1.5"}, two, "lip strength can&#39;t be turned here"),
        (asked, {"pose_file": two["pose_file"]}, "choose a file"),
        (asked, {"file": two["file"], "pose_file": ("empty.mp4", b"")}, "the uploaded file is empty"),
    ):
        for what in ("motions", "videos"):
            refused = client.post(f"{page}/{what}", data=data, files=files, headers=PAGE)
            assert (refused.status_code, words in refused.text) == (422, True), refused.text
    assert len(client.get("/v1/uploads").json()["data"]) == count, "files of refused forms are not kept"
    client.post(f"{page}/videos", data={"pose": "clip"}, files=two)
    assert len(client.get("/v1/uploads").json()["data"]) == count + 1, "nor is a video that is not asked for"


def test_file_and_length_are_chosen_in_the_form(client: TestClient, runner: Runner) -> None:
    page = learn(client)
    runner.run_all()
    sound = {"file": ("words.wav", b"sound"), "pose_file": ("other.mp4", b"other")}
    chosen = {
        "pose": "reference", "length_mismatch": "silence", "face_x": "25", "face_y": "40.5", "picture": "alpha",
        "format": "mov", "height": "720", "fps": "50", "crf": "12",
    }  # fmt: skip
    motion = client.post(f"{page}/motions", data=chosen, files=sound).url.path
    video = client.post(f"{page}/videos", data=chosen, files=sound).url.path
    runner.run_all()
    (made,) = client.get("/v1/videos").json()["data"]
    assert made["output"] == {"picture": "alpha", "format": "mov", "height": 720, "fps": 50.0, "crf": 12}
    assert "alpha, mov, 720 lines, 50 frames a second" in client.get(video).text
    (asked,) = client.get("/v1/motions").json()["data"]
    assert asked["pose"]["length_mismatch"] == "silence"
    assert asked["pose"]["face"] == {"x": 0.25, "y": 0.405}
    text = client.get(motion).text
    assert 'name="length_mismatch" value="silence"' in text
    assert 'name="face_y" value="40.5"' in text
    form = client.get(f"{page}/videos/new?motion={asked['id']}").text
    assert '<option value="silence" selected>' in form
    assert 'name="face_x" type="number" min="0" max="100" step="1" value="25"' in form
    for wrong, words in (
        ({"face_y": ""}, "two numbers from 0 to 100"),
        ({"face_x": "130"}, "pose.face.x"),
        ({"picture": "alpha", "format": "mp4"}, "holds no transparency"),
        ({"height": "7"}, "output.height"),
    ):
        answer = client.post(f"{page}/videos", data={**chosen, **wrong}, files=sound, headers=PAGE)
        assert (answer.status_code, words in answer.text) == (422, True), answer.text
    # with motion that follows the sound there is no mismatch, and the field is hidden: what it says does not count
    client.post(f"{page}/videos", data={**chosen, "pose": "learned"}, files={"file": sound["file"]})
    assert client.get("/v1/videos").json()["data"][0]["pose_mode"] == "learned"


def test_an_error_leads_back_to_the_form(client: TestClient) -> None:
    there = {**PAGE, "Referer": "http://testserver/people/new"}
    assert 'href="/people/new">Back' in client.post("/people", data=FORM, headers=there).text
    elsewhere = {**PAGE, "Referer": "http://elsewhere.example/people/new"}
    assert ">Back to where" not in client.post("/people", data=FORM, headers=elsewhere).text


def test_versions_are_promoted_and_deleted(client: TestClient, runner: Runner) -> None:
    page = learn(client)
    runner.run_all()
    clip = client.get("/v1/uploads").json()["data"][0]["id"]
    client.post(f"{page}/trainings", data={"upload_id": clip, "preset": "standard"})
    runner.run_all()
    text = client.get(page).text
    assert text.index("Version 2") < text.index("in use") < text.index("Version 1")
    text = client.post(f"{page}/versions/1/promote").text
    assert text.index("Version 1") < text.index("in use")
    text = client.post(f"{page}/versions/2/delete").text
    assert "Version 2" not in text
    refused = client.post(f"{page}/versions/1/delete", headers=PAGE)
    assert (refused.status_code, "promote another first" in refused.text) == (409, True)


def test_jobs_are_filtered_and_paged(client: TestClient, runner: Runner) -> None:
    ada = learn(client).rsplit("/", 1)[1]
    bob = learn(client, b"no face", name="Bob").rsplit("/", 1)[1]
    for _ in range(26):
        client.post("/inspections", files={"file": ("a.mp4", b"x")}, follow_redirects=False)
    runner.run_all()

    def listed(query: str) -> list[str]:
        return re.findall(
            r'data-label="Job"><a href="/jobs/job_\w+">([\w ]+)</a>', client.get(f"/jobs?{query}").text
        )

    assert listed("kind=training") == ["training", "training"]
    assert listed("kind=&status=failed&person_id=") == ["training"]
    assert listed(f"person_id={ada}&status=succeeded") == ["training"]
    assert listed(f"person_id={bob}&status=succeeded") == []
    first = client.get("/jobs?kind=inspection").text
    older = re.search(r'href="(\?cursor=[^"]+)">Older', first)
    assert older is not None
    assert listed(older.group(1)[1:].replace("&amp;", "&")) == ["inspection"]


def test_findings_show_their_frames(client: TestClient, runner: Runner) -> None:
    runner.registry = {**runner.registry, "inspect": StageSpec(_inspect_with_pictures, "1", reads=("clip",))}
    job = client.post("/inspections", files={"file": ("a.mp4", b"a clip")}).url.path
    runner.run_all()
    text = client.get(job).text
    assert f'src="{job}/pictures/finding-dark-0.jpg"' in text
    assert f'src="{job}/pictures/overview.jpg"' in text
    assert "pictures/finding-gone-0.jpg" not in text, "a picture that is not there is not asked for"
    assert client.get(f"{job}/pictures/finding-dark-0.jpg").content == b"dark"
    assert client.get(f"{job}/pictures/report.txt").status_code == 404
    assert client.get(f"{job}/pictures/..%2Foverview.jpg").status_code == 404


def _inspect_with_pictures(context: StageContext) -> dict[str, Any]:
    (context.work / "finding-dark-0.jpg").write_bytes(b"dark")
    (context.work / "overview.jpg").write_bytes(b"all")
    (context.work / "report.txt").write_bytes(b"not a picture")
    found = {"severity": "warning", "message": "the face is dark", "remedy": "turn on a lamp", "frames": [3]}
    return {
        "trainable": True,
        "findings": [{**found, "pictures": ["finding-dark-0.jpg", "finding-gone-0.jpg"]}],
    }


def test_held_out_frames_are_shown_while_it_runs(
    client: TestClient, runner: Runner, store: LocalStore, tmp_path: Path
) -> None:
    page = learn(client)
    runner.run_once()
    job = client.get("/v1/jobs").json()["data"][0]["id"]
    (tmp_path / "picture").write_bytes(b"frames")
    name = "preview-200.jpg"
    store.put_file(f"people/{page.rsplit('/', 1)[1]}/previews/{job}/{name}", tmp_path / "picture")
    assert f'src="/jobs/{job}/previews/{name}"' in client.get(f"/jobs/{job}/card").text
    assert client.get(f"/jobs/{job}/previews/{name}").content == b"frames"
    assert client.get(f"/jobs/{job}/previews/preview-1.jpg").status_code == 404


def test_a_consent_from_its_statement_to_its_end(client: TestClient, runner: Runner) -> None:
    runner.registry = {**runner.registry, "consent": StageSpec(_consent, "1", reads=("consent",))}
    page = client.post(
        "/consents", data={"subject_name": "Ada Example", "purposes": ["train", "dub"]}
    ).url.path
    text = client.get(page).text
    assert "I am Ada Example" in text
    assert 'data-recorder="video"' in text
    shown = client.post(f"{page}/recording", files={"file": ("a.webm", b"silence")})
    assert (shown.url.path, "being checked" in shown.text) == (page, True)
    assert "hx-trigger" in client.get(f"{page}/standing").text
    runner.run_all()
    standing = client.get(f"{page}/standing")
    assert standing.headers["hx-refresh"] == "true"
    assert "switch the microphone on" in standing.text
    client.post(f"{page}/recording", data={"upload_id": upload(client, b"spoken", "consent")})
    runner.run_all()
    assert "verified" in client.get(page).text
    form = {"name": "Ada", "consent_id": page.rsplit("/", 1)[1], "preset": "preview"}
    person_page = client.post("/people", data=form, files={"file": ("a.mp4", b"a clip")}).url.path
    runner.run_all()
    assert "Make a video" in client.get(person_page).text
    client.post(f"{page}/revoke")
    text = client.get(person_page).text
    assert "The consent was taken back" in text
    assert "/videos/new" not in text


def test_an_inspected_clip_is_learned_on_a_recorded_consent(client: TestClient, runner: Runner) -> None:
    """Also where nobody may attest: the inspection's page offers the consents that allow training, and no others."""
    runner.registry = {**runner.registry, "consent": StageSpec(_consent, "1", reads=("consent",))}
    ours = {}
    for purposes in (["train", "dub"], ["dub"]):
        made = client.post("/consents", data={"subject_name": "Ada Example", "purposes": purposes}).url.path
        client.post(
            f"{made}/recording",
            data={"upload_id": upload(client, f"spoken for {purposes}".encode(), "consent")},
        )
        ours[purposes[0]] = made.rsplit("/", 1)[1]
    job = client.post("/inspections", files={"file": ("a.mp4", b"a clip")}).url.path
    runner.run_all()
    client.app.state.settings = client.app.state.settings.model_copy(update={"consent": "recorded"})  # type: ignore[attr-defined]
    for page in (job, "/people/new"):
        text = client.get(page).text
        assert "attest" not in text
        assert f'<option value="{ours["train"]}" data-moment=' in text
        assert ours["dub"] not in text
    form = {"name": "Ada", "consent_id": ours["train"], "preset": "instant"}
    person_page = client.post(f"{job.replace('/jobs/', '/inspections/')}/train", data=form).url.path
    runner.run_all()
    assert "ready" in client.get(person_page).text
    assert client.get("/v1/trainings").json()["data"][0]["preset"] == "instant"


def _consent(context: StageContext) -> dict[str, Any]:
    silent = b"silence" in context.inputs["consent"].read_bytes()
    found = {"severity": "error", "message": "no voice", "remedy": "switch the microphone on", "frames": []}
    return {"accepted": not silent, "findings": [found] if silent else []}


def test_keys_and_webhook_secrets_are_shown_once(client: TestClient) -> None:
    made = client.post("/settings/keys", data={"name": "ci", "scopes": ["read", "train"]})
    secret = re.search(r"lk_\w{40,}", made.text)
    assert secret is not None
    assert made.headers["cache-control"] == "no-store"
    assert secret.group() not in client.get("/settings/keys").text
    key = re.search(r"/settings/keys/(key_\w+)/revoke", made.text)
    assert key is not None
    assert "revoked" in client.post(f"/settings/keys/{key.group(1)}/revoke").text
    hook = client.post("/settings/webhooks", data={"url": "https://example.org/hook"})
    path = re.search(r"/settings/webhooks/whk_\w+", hook.text)
    assert path is not None
    assert "whsec_" in hook.text
    assert "whsec_" not in client.get(path.group()).text
    assert "webhook.test" in client.post(f"{path.group()}/test").text
    assert "whsec_" in client.post(f"{path.group()}/rotate").text
    delivery = re.search(
        r"deliveries/whd_\w+/redeliver|deliveries/\w+/redeliver", client.get(path.group()).text
    )
    assert delivery is not None
    assert client.post(f"{path.group()}/{delivery.group()}").status_code == 200
    moved = client.post(f"{path.group()}/address", data={"url": "https://example.org/moved"})
    assert '<h1 class="small">https://example.org/moved</h1>' in moved.text
    inside = client.post(f"{path.group()}/address", data={"url": "http://10.0.0.1/"}, headers=PAGE)
    assert inside.status_code == 422
    assert "Off" in client.post(f"{path.group()}/enabled", data={"enabled": "no"}).text
    assert "None yet" in client.post(f"{path.group()}/delete").text
    refused = client.post("/settings/webhooks", data={"url": "http://10.0.0.1/"}, headers=PAGE)
    assert refused.status_code in (400, 403, 422)


def test_what_was_used_and_done_is_told(client: TestClient, runner: Runner) -> None:
    learn(client)
    runner.run_all()
    assert "<rect" in client.get("/settings/usage").text
    assert "add person" in client.get("/settings/audit").text
    system = client.get("/settings/system").text
    assert "alive" in system
    assert "gpu" in system


def test_a_key_sees_its_own_tenant_and_what_it_may(settings: Settings, database: Database) -> None:
    guarded = settings.model_copy(update={"auth": "keys"})
    theirs = create_tenant(database, "theirs")
    _, reader = create_key(database, tenant_id=theirs, name="reader", scopes=["read"])
    ada = create_person(database, name="Ada Embedded", consent_subject="Ada", attested=True).id
    with TestClient(create_app(guarded)) as client:
        asked = client.get("/settings/keys", follow_redirects=False, headers=PAGE)
        assert asked.headers["location"].startswith("/sign-in?next=")
        assert client.post("/sign-in", data={"key": "lk_wrong"}).status_code == 401
        client.post("/sign-in", data={"key": reader})
        home = client.get("/", headers=PAGE).text
        assert "Nobody yet" in home
        assert "/sign-out" in home
        assert client.get(f"/people/{ada}", headers=PAGE).status_code == 404
        assert client.get(f"/people/{ada}/clip", headers=PAGE).status_code == 404
        assert client.get("/settings/keys", headers=PAGE).status_code == 403
        assert client.get("/people/new", headers=PAGE).status_code == 403
        assert client.post("/people", data=FORM, headers=PAGE).status_code == 403
        assert "/settings/keys" not in client.get("/settings/usage").text
        assert not re.search("/inspections/new|/verifications/new", client.get("/jobs").text)
        assert client.get("/verifications/new", headers=PAGE).status_code == 403
        client.post("/sign-out")
        assert client.get("/", follow_redirects=False).status_code == 303
        _, renderer = create_key(database, tenant_id=theirs, name="renderer", scopes=["read", "render"])
        client.post("/sign-in", data={"key": renderer})
        menu = client.get("/jobs").text
        assert ("/verifications/new" in menu, "/inspections/new" in menu) == (True, False)
        checked = client.post("/verifications", files={"file": ("v.mp4", b"a video")}, headers=PAGE)
        assert (checked.status_code, checked.url.path[:6]) == (200, "/jobs/")


def test_where_consents_are_recorded_nobody_attests(settings: Settings, database: Database) -> None:
    strict = settings.model_copy(update={"consent": "recorded"})
    with TestClient(create_app(strict)) as client:
        empty = client.get("/people/new").text
        assert "attest" not in empty
        assert "Record one first" in empty
        assert "consent_id" not in empty, "no choice among none"
        assert "Upload and train" not in empty
        refused = client.post("/people", data=FORM, files={"file": ("a.mp4", b"x")}, headers=PAGE)
        assert (refused.status_code, "record one" in refused.text) == (403, True)
        assert client.get("/v1/persons").json()["data"] == []


def test_pages_may_record_and_play_what_they_recorded(client: TestClient) -> None:
    headers = client.get("/").headers
    assert "camera=(self), microphone=(self)" in headers["permissions-policy"]
    assert "media-src 'self' blob:" in headers["content-security-policy"]
    assert "script-src 'self';" in headers["content-security-policy"]


def test_people_and_videos_are_known_by_their_pictures(client: TestClient, runner: Runner) -> None:
    page = learn(client)
    assert "/face" not in client.get("/").text, "nobody is shown before they are learned"
    assert client.get(f"/v1/persons/{page.rpartition('/')[2]}/portrait").status_code == 409
    runner.run_all()
    found = re.search(rf'src="({page}/face[^"]*)"', client.get("/").text)
    assert found is not None
    assert client.get(found[1]).content == b"a face"
    assert f'src="{page}/face' in client.get(page).text
    portrait = client.get("/v1/persons").json()["data"][0]["portrait"]
    assert client.get(portrait["url"]).content == b"a face"

    for title, file in (("Lesson 12", "take-3.wav"), ("", "the second.wav")):
        client.post(f"{page}/videos", data={"title": title}, files={"file": (file, b"sound")})
    runner.run_all()
    videos = client.get("/v1/videos").json()["data"]
    assert [video["title"] for video in videos] == ["the second", "Lesson 12"]
    for path in ("/", "/jobs", page, f"/jobs/{videos[1]['id']}"):
        text = client.get(path).text
        assert "Lesson 12" in text
        assert f"/jobs/{videos[1]['id']}/pictures/thumbnail.jpg" in text
    assert client.get(f"/jobs/{videos[1]['id']}/pictures/thumbnail.jpg").content == b"a small picture"
    assert client.get(videos[1]["thumbnail"]["url"]).headers["content-type"] == "image/jpeg"


def test_moments_can_be_shown_in_the_readers_own_time(client: TestClient, runner: Runner) -> None:
    page = learn(client)
    runner.run_all()
    client.post("/consents", data={"subject_name": "Ada", "purposes": ["train"]})
    for path in ("/", page, "/jobs", "/consents", "/settings/audit", "/settings/system"):
        text = client.get(path).text
        assert '<script src="/static/times.js"' in text
        marked = re.sub(r'<time datetime="[^"]+\+00:00">[^<]+ UTC</time>', "", text)
        told = re.sub(r'(aria-label="[^"]*"|<option.*?</option>)', "", marked)
        assert " UTC" not in told, path


def test_stages_and_presets_explain_themselves(client: TestClient, runner: Runner) -> None:
    stages = {stage for plan in PLANS.values() for stage in plan.stages}
    assert set(STAGE_WORDS) == stages
    form = client.get("/people/new").text
    assert "instant: about 2 min on two cores" in form
    assert "best: about 30 min on a GPU" in form
    page = learn(client)
    assert STAGE_WORDS["fit"] in client.get(page).text
    runner.run_all()
    assert re.search(r"preview: about \d+ s here; needs two cores", client.get("/people/new").text)
    job = client.get("/v1/trainings").json()["data"][0]["id"]
    assert STAGE_WORDS["render"] in client.get(f"/jobs/{job}").text


def test_every_cell_of_a_table_names_its_column_on_a_phone(repo: Path) -> None:
    """Where the heading is out of sight, each cell says what it is."""
    tables = 0
    for template in (repo / "api" / "dashboard" / "templates").glob("*.html"):
        text = template.read_text()
        for table in re.findall(r"(?s)<table.*?</table>", text):
            cells = re.findall(r"<td[^>]*>", table)
            assert all("data-label=" in cell or "colspan" in cell for cell in cells), template.name
            tables += 1
    assert tables >= 13


def _strange_lips(context: StageContext) -> Mapping[str, Any]:
    found = {"severity": "error", "code": "lips_strange", "message": "not this voice", "remedy": "again"}
    return {"trainable": False, "findings": [found]}


def test_a_clip_is_learned_as_it_was_inspected(
    client: TestClient, runner: Runner, database: Database
) -> None:
    """Turned, of the chosen sound track; and in spite of what whoever knows the clip knows better."""
    runner.registry = {**runner.registry, "inspect": StageSpec(_strange_lips, "1", reads=("clip",))}
    form = {"rotate": "180", "audio_track": "2"}
    page = client.post("/inspections", data=form, files={"file": ("a.mp4", b"a clip")}).url.path
    runner.run_all()
    text = client.get(page).text
    assert "I am sure that this is the voice" in text
    sent = {**FORM, "accept": "lips_strange"}
    person_page = client.post(f"{page.replace('/jobs/', '/inspections/')}/train", data=sent).url.path
    training = client.get("/v1/trainings").json()["data"][0]
    assert person_page.endswith(training["person_id"])
    with database.read() as session:
        params = record_or_refuse(session, training["id"]).params
    assert (params["rotate"], params["audio_track"], params["accept"]) == (180, 2, ["lips_strange"])


def test_only_what_may_be_accepted_is_offered(client: TestClient, runner: Runner) -> None:
    page = client.post("/inspections", files={"file": ("a.mp4", b"no face")}).url.path
    runner.run_all()
    assert "Learn this person" not in client.get(page).text
    for fields in ({"rotate": "45"}, {"rotate": "x"}, {"audio_track": "0"}, {"accept": "no_face"}):
        answer = client.post(
            "/people", data={**FORM, **fields}, files={"file": ("a.mp4", b"x")}, headers=PAGE
        )
        assert answer.status_code == 422, fields
    assert client.get("/v1/persons").json()["data"] == []


def test_the_audit_page_shows_what_was_and_what_is(client: TestClient, runner: Runner) -> None:
    page = learn(client)
    runner.run_all()
    clip = client.get("/v1/uploads").json()["data"][0]["id"]
    client.post(f"{page}/trainings", data={"upload_id": clip, "preset": "instant"})
    runner.run_all()
    client.post(f"{page}/versions/1/promote")
    text = client.get("/settings/audit").text
    assert re.search(r"before: version <code>2</code>.*?after: version <code>1</code>", text, re.DOTALL)
