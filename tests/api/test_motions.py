"""Previews of a motion: asked for, looked at, made a video of, and gone with their person."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from likeness.database import Database
from likeness.ids import new_id
from likeness.repositories.consents import ConsentRepository
from likeness.store import LocalStore
from tests.api.calls import person, problem, train, upload
from workers.runner import STAGES, Runner


@pytest.fixture
def ada(client: TestClient, runner: Runner) -> str:
    """A person who has been learned."""
    identifier = person(client)
    train(client, identifier, upload(client))
    runner.run_all()
    return identifier


def ask(client: TestClient, who: str, sound: str, **pose: Any) -> dict[str, Any]:
    answer = client.post("/v1/motions", json={"person_id": who, "audio": {"upload_id": sound}, "pose": pose})
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/motions/{body['id']}"
    return body


def test_a_motion_is_looked_at_and_made_a_video_of(client: TestClient, runner: Runner, ada: str) -> None:
    sound = upload(client, b"sound", "recording", "a.wav")
    asked = ask(client, ada, sound, mode="clip", seed=7, head_strength=0.5)
    where = f"/v1/motions/{asked['id']}"
    assert (asked["object"], asked["status"], asked["stage"]) == ("motion", "queued", "speak")
    assert (asked["preview"], asked["curves"], asked["track"]) == (None, None, None)
    problem(client.get(f"{where}/preview"), 409, "conflict")
    runner.run_all()
    done = client.get(where).json()
    assert (done["status"], done["person_id"], done["audio_upload_id"]) == ("succeeded", ada, sound)
    assert done["result"] == {"frames": 2}
    assert done["pose"] == {
        "mode": "clip", "seed": 7, "video_upload_id": None, "expression_upload_id": None,
        "head_strength": 0.5, "lip_strength": 1.0, "smoothing": 0.0, "length_mismatch": "bounce", "face": None,
    }  # fmt: skip
    expected = {
        "preview": (b"head soundclip", "video/mp4"),
        "curves": (b"curves", "image/png"),
        "track": (b"track", "application/octet-stream"),
    }
    for what, (content, media_type) in expected.items():
        assert done[what]["size"] == len(content)
        whole = client.get(done[what]["url"])
        assert (whole.content, whole.headers["content-type"]) == (content, media_type)
        part = client.get(done[what]["url"], headers={"Range": "bytes=1-3"})
        assert (part.status_code, part.content) == (206, content[1:4])
    made = client.post(
        "/v1/videos", json={"person_id": ada, "audio": {"upload_id": sound}, "pose": done["pose"]}
    )
    assert (made.status_code, made.json()["seed"]) == (202, 7)
    runner.run_all()
    assert [job["object"] for job in client.get("/v1/jobs").json()["data"]] == ["video", "motion", "training"]
    assert [job["id"] for job in client.get(f"/v1/motions?person_id={ada}").json()["data"]] == [asked["id"]]
    kinds = [event["type"] for event in client.get(f"{where}/events").json()["data"]]
    assert kinds[0] == kinds[-1] == "status"


def test_the_same_again_is_not_worked_out_again(client: TestClient, runner: Runner, ada: str) -> None:
    sound = upload(client, b"sound", "recording")
    jobs = [ask(client, ada, sound, seed=seed)["id"] for seed in (1, 1, 2)]
    runner.run_all()
    stages = [client.get(f"/v1/motions/{job}").json()["stages"][0] for job in jobs]
    assert [stage["reused"] for stage in stages] == [False, True, False]


def test_the_head_of_another_video(client: TestClient, runner: Runner, ada: str) -> None:
    sound, other = upload(client, b"sound", "recording"), upload(client, b"other", "video")
    asked = ask(client, ada, sound, mode="reference", video_upload_id=other, expression_upload_id=other)
    assert (asked["pose"]["video_upload_id"], asked["pose"]["expression_upload_id"]) == (other, other)
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"mode": "reference"}, "pose"),
        ({"mode": "still", "video_upload_id": other}, "pose"),
        ({"mode": "learned", "expression_upload_id": other}, "pose.expression_upload_id"),
        (
            {
                "mode": "reference",
                "video_upload_id": other,
                "expression_upload_id": other,
                "lip_strength": 1.5,
            },
            "pose.lip_strength",
        ),
    )
    for kind in ("motions", "videos"):
        for pose, field in wrong:
            body = {"person_id": ada, "audio": {"upload_id": sound}, "pose": pose}
            refused = problem(client.post(f"/v1/{kind}", json=body), 422, "invalid_parameter")
            assert refused["details"]["field"] == field
    missing = {"mode": "reference", "video_upload_id": "upl_none"}
    body = {"person_id": ada, "audio": {"upload_id": sound}, "pose": missing}
    assert problem(client.post("/v1/motions", json=body), 404, "not_found")["details"]["field"] == (
        "pose.video_upload_id"
    )


def test_no_motion_of_somebody_who_did_not_agree_or_is_not_learned(
    client: TestClient, database: Database, ada: str
) -> None:
    sound = upload(client, b"sound", "recording")
    body = {"person_id": person(client, "Bob"), "audio": {"upload_id": sound}}
    problem(client.post("/v1/motions", json=body), 409, "conflict")
    body["person_id"] = ada
    consent = client.get(f"/v1/persons/{ada}").json()["consent"]["id"]
    with database.write() as session:
        row = ConsentRepository(session).get(consent)
        assert row is not None
        row.purposes = ["train"]
    problem(client.post("/v1/motions", json=body), 403, "consent_missing")
    client.post(f"/v1/consents/{consent}/revoke")
    problem(client.post("/v1/motions", json=body), 403, "consent_missing")
    problem(client.post("/v1/motions", json={"person_id": ada, "audio": {}}), 422, "invalid_parameter")
    problem(client.get(f"/v1/motions/{new_id('job')}"), 404, "not_found")


def test_a_motion_is_canceled_tried_again_and_deleted(client: TestClient, runner: Runner, ada: str) -> None:
    job = ask(client, ada, upload(client, b"sound", "recording"))["id"]
    assert client.post(f"/v1/motions/{job}/cancel").json()["status"] == "canceled"
    assert client.post(f"/v1/motions/{job}/retry").json()["status"] == "queued"
    runner.run_all()
    assert client.get(f"/v1/motions/{job}").json()["status"] == "succeeded"
    problem(client.get(f"/v1/videos/{job}"), 404, "not_found")
    assert client.delete(f"/v1/motions/{job}").json()["status"] == "done"
    problem(client.get(f"/v1/motions/{job}"), 404, "not_found")


def test_a_motion_goes_with_its_person_even_when_videos_stay(
    client: TestClient, runner: Runner, store: LocalStore, ada: str
) -> None:
    sound = upload(client, b"sound", "recording")
    job = ask(client, ada, sound)["id"]
    video = client.post("/v1/videos", json={"person_id": ada, "audio": {"upload_id": sound}}).json()["id"]
    runner.run_all()
    receipt = client.delete(f"/v1/persons/{ada}?keep_videos=true").json()
    assert any(key.endswith("preview.mp4") for key in receipt["objects"])
    problem(client.get(f"/v1/motions/{job}"), 404, "not_found")
    assert client.get(f"/v1/videos/{video}/download").status_code == 200
    left = list(store.keys())
    assert not [key for key in left if key.endswith(("preview.mp4", "track.safetensors"))]


def test_it_counts_as_a_job_and_not_as_video(client: TestClient, runner: Runner, ada: str) -> None:
    ask(client, ada, upload(client, b"sound", "recording"))
    assert client.get("/v1/usage").json()["active_jobs"] == 1
    runner.run_all()
    totals = client.get("/v1/usage").json()["totals"]
    assert totals["cpu_seconds"] > 0
    assert "video_seconds" not in totals
    found = client.post("/v1/estimates", json={"kind": "motion", "seconds": 30}).json()
    assert 0 < found["compute_seconds"] < 60
    assert found["basis"] == "default"


def test_the_stage_keeps_what_is_handed_out() -> None:
    assert set(STAGES["speak"].produces) == {"preview.mp4", "motion.png", "track.safetensors"}
    drives = set(STAGES["dub"].reads)
    assert set(STAGES["speak"].reads) == drives == {"person", "recording", "pose_video", "expression_video"}
    assert set(STAGES["speak"].params) <= set(STAGES["dub"].params)
