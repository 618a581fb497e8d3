"""The whole way over REST, with the worker's turn taken in between."""

from __future__ import annotations

import hashlib
import zipfile
from io import BytesIO

import pytest
from fastapi.testclient import TestClient

from likeness.ids import mark_of
from likeness.store import LocalStore
from tests.api.calls import CONSENT, person, problem, train, upload
from tests.workers.tiny_stages import chain
from workers.runner import Runner


def test_from_clip_to_video(client: TestClient, runner: Runner) -> None:
    clip = upload(client)
    ada = person(client)
    assert client.get(f"/v1/persons/{ada}").json()["status"] == "untrained"
    started = client.post(f"/v1/persons/{ada}/trainings", json={"upload_id": clip, "seed": 3})
    assert started.status_code == 202
    job = started.json()
    where = started.headers["location"]
    assert where == f"/v1/trainings/{job['id']}"
    assert (job["status"], job["stage"], job["queue_position"]) == ("queued", "validate", 0)
    assert job["progress"]["percent"] == 0

    runner.run_once()
    polled = client.get(where)
    assert polled.headers["retry-after"] == "2"
    assert (polled.json()["status"], polled.json()["stage"]) == ("running", "fit")
    assert client.get(f"/v1/persons/{ada}").json()["status"] == "training"
    runner.run_all()
    done = client.get(where)
    assert "retry-after" not in done.headers
    assert (done.json()["status"], done.json()["progress"]["percent"]) == ("succeeded", 100.0)
    assert done.json()["result"] == {"metrics": {"psnr_face": 25.0}}
    assert [stage["status"] for stage in done.json()["stages"]] == ["succeeded"] * 5
    assert client.get(f"/v1/persons/{ada}").json()["status"] == "ready"

    sound = upload(client, b"sound", "recording", "a.wav")
    asked = client.post(
        "/v1/videos", json={"person_id": ada, "audio": {"upload_id": sound}, "pose": {"mode": "clip"}}
    )
    assert asked.status_code == 202
    video = asked.headers["location"]
    problem(client.get(f"{video}/download"), 409, "conflict")
    runner.run_all()
    finished = client.get(video).json()
    assert finished["status"] == "succeeded"
    mark = b"mark:" + mark_of(finished["id"]).encode()
    expected = chain(b"a clip", 3).encode() + b"soundclip" + mark
    assert finished["sha256"] == hashlib.sha256(expected).hexdigest()
    whole = client.get(finished["download_url"])
    assert (whole.status_code, whole.content) == (200, expected)
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get(finished["download_url"], headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, expected[4:10])
    beyond = client.get(finished["download_url"], headers={"Range": "bytes=4000-"})
    assert beyond.status_code == 416

    package = client.get(f"/v1/persons/{ada}/package")
    weights = client.get(f"/v1/persons/{ada}").json()["weights"]
    assert hashlib.sha256(package.content).hexdigest() == weights["sha256"]
    assert "renderer.safetensors" in zipfile.ZipFile(BytesIO(package.content)).namelist()


def test_an_inspection(client: TestClient, runner: Runner) -> None:
    asked = client.post("/v1/inspections", json={"upload_id": upload(client, b"no face")})
    assert (asked.status_code, asked.json()["report"]) == (202, None)
    runner.run_all()
    report = client.get(asked.headers["location"]).json()["report"]
    assert (report["trainable"], report["name"], report["findings"][0]["frames"]) == (False, "a.mp4", [7])
    page = client.get(f"/jobs/{asked.json()['id']}").text
    assert "no face in frame 7" in page
    assert "film again" in page


def test_a_clip_that_can_not_be_used(client: TestClient, runner: Runner, store: LocalStore) -> None:
    ada = person(client)
    job = train(client, ada, upload(client, b"no face"))
    runner.run_all()
    body = client.get(f"/v1/trainings/{job}").json()
    assert body["status"] == "failed"
    assert body["error"]["code"] == "no_face"
    assert body["error"]["remedy"] == "film again with the face in view"
    assert body["error"]["details"] == {"frames": [0]}
    assert client.get(f"/v1/persons/{ada}").json()["status"] == "failed"
    assert list(store.keys("people")) == []


def test_cancel_retry_delete(client: TestClient, runner: Runner) -> None:
    job = train(client, person(client), upload(client))
    runner.run_once()
    canceled = client.post(f"/v1/trainings/{job}/cancel")
    assert (canceled.status_code, canceled.json()["status"]) == (202, "canceled")
    problem(client.post(f"/v1/trainings/{job}/cancel"), 409, "conflict")
    problem(client.post(f"/v1/trainings/{job}/retry", json={"from_stage": "dub"}), 422, "invalid_parameter")
    again = client.post(f"/v1/trainings/{job}/retry")
    assert (again.status_code, again.json()["status"], again.json()["stage"]) == (202, "queued", "fit")
    runner.run_all()
    assert client.get(f"/v1/trainings/{job}").json()["status"] == "succeeded"
    problem(client.post(f"/v1/trainings/{job}/retry"), 409, "conflict")
    gone = client.delete(f"/v1/trainings/{job}")
    assert (gone.status_code, gone.json()["status"]) == (200, "done")
    problem(client.get(f"/v1/trainings/{job}"), 404, "not_found")


def test_deleting_a_person(client: TestClient, runner: Runner, store: LocalStore) -> None:
    ada = person(client)
    clip = upload(client)
    train(client, ada, clip)
    problem(client.delete(f"/v1/uploads/{clip}"), 409, "conflict")
    runner.run_all()
    gone = client.delete(f"/v1/persons/{ada}")
    receipt = gone.json()
    assert (gone.status_code, receipt["subject"], receipt["status"]) == (200, ada, "done")
    assert set(receipt["deleted"]) >= {ada, clip}
    assert len([key for key in receipt["objects"] if key.startswith(f"people/{ada}/")]) > 5
    assert receipt["rows"] == {"people": 1, "jobs": 1, "uploads": 1, "artifacts": 5, "consents": 1}
    assert client.get(gone.headers["location"]).json() == receipt
    assert list(store.keys()) == []
    problem(client.get(f"/v1/persons/{ada}"), 404, "not_found")
    problem(client.get(f"/v1/uploads/{clip}"), 404, "not_found")
    assert client.get("/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(
    "consent", [None, {"attested": False, "subject_name": "Ada"}, {"attested": True, "subject_name": " "}]
)
def test_no_person_without_consent(client: TestClient, consent: dict[str, object] | None) -> None:
    body = problem(
        client.post("/v1/persons", json={"name": "Ada", "consent": consent}), 403, "consent_missing"
    )
    assert "attested" in body["remedy"]


def test_the_consent_is_on_record(client: TestClient) -> None:
    body = client.get(f"/v1/persons/{person(client)}").json()
    assert body["consent"]["subject_name"] == CONSENT["subject_name"]
    assert (body["consent"]["status"], body["consent"]["purposes"]) == ("attested", ["train", "dub"])
    assert body["consent"]["created_at"]


def test_lists_go_on_by_cursor(client: TestClient, runner: Runner) -> None:
    names = [f"P{number}" for number in range(5)]
    ids = [person(client, name) for name in names]
    jobs = [train(client, each, upload(client)) for each in ids]
    for path, expected in (("/v1/persons", ids), ("/v1/jobs", jobs), ("/v1/trainings?status=queued", jobs)):
        seen: list[str] = []
        cursor, joint = "", "&" if "?" in path else "?"
        for _ in range(3):
            page = client.get(f"{path}{joint}limit=2{cursor}").json()
            seen += [item["id"] for item in page["data"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert sorted(seen) == sorted(expected)
        assert page["next_cursor"] is None
    assert client.get("/v1/jobs?status=failed").json()["data"] == []
    assert [job["id"] for job in client.get(f"/v1/jobs?person_id={ids[2]}").json()["data"]] == [jobs[2]]
    problem(client.get("/v1/jobs?limit=0"), 422, "invalid_parameter")
    problem(client.get("/v1/jobs?status=weird"), 422, "invalid_parameter")


def test_a_job_is_found_only_as_what_it_is(client: TestClient) -> None:
    job = train(client, person(client), upload(client))
    assert client.get(f"/v1/jobs/{job}").json()["object"] == "training"
    problem(client.get(f"/v1/videos/{job}"), 404, "not_found")
    problem(client.delete(f"/v1/inspections/{job}"), 404, "not_found")
    problem(client.post(f"/v1/videos/{job}/cancel"), 404, "not_found")


def test_state_survives_a_restart(client: TestClient, runner: Runner, settings: object) -> None:
    from api.app import create_app

    ada = person(client)
    job = train(client, ada, upload(client))
    runner.run_once()
    with TestClient(create_app(settings)) as again:  # type: ignore[arg-type]
        assert again.get(f"/v1/trainings/{job}").json()["stage"] == "fit"
        assert again.get(f"/v1/persons/{ada}").json()["status"] == "training"
