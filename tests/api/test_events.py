"""What happened to a job, as JSON and as a stream."""

from __future__ import annotations

import json

from fastapi.testclient import TestClient

from tests.api.calls import person, train, upload
from workers.runner import Runner

STREAM = {"Accept": "text/event-stream"}


def test_the_events_of_a_training(client: TestClient, runner: Runner) -> None:
    job = train(client, person(client), upload(client))
    assert [event["data"]["status"] for event in events(client, job)] == ["queued"]
    runner.run_all()
    found = events(client, job)
    assert [event["id"] for event in found] == sorted({event["id"] for event in found})
    stages = [
        (event["data"]["stage"], event["data"]["status"]) for event in found if event["type"] == "stage"
    ]
    names = ["validate", "fit", "motion", "render", "publish"]
    assert stages == [(name, status) for name in names for status in ("running", "succeeded")]
    assert any("loss" in event["data"]["metrics"] for event in found if event["type"] == "progress")
    assert (found[-1]["type"], found[-1]["data"]["status"]) == ("status", "succeeded")
    half = found[len(found) // 2]["id"]
    assert [event["id"] for event in events(client, job, half)] == [
        event["id"] for event in found if event["id"] > half
    ]


def test_a_failure_is_an_event(client: TestClient, runner: Runner) -> None:
    job = train(client, person(client), upload(client, b"no face"))
    runner.run_all()
    last = events(client, job)[-1]["data"]
    assert (last["status"], last["error"]["slug"]) == ("failed", "no_face")
    assert last["error"]["remedy"]


def test_the_stream_ends_with_the_job(client: TestClient, runner: Runner) -> None:
    job = train(client, person(client), upload(client))
    runner.run_all()
    answer = client.get(f"/v1/trainings/{job}/events", headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    messages = parsed(answer.text)
    assert messages[-1]["event"] == "end"
    assert json.loads(messages[-1]["data"]) == {"status": "succeeded"}
    numbered = [message for message in messages if "id" in message]
    assert [int(message["id"]) for message in numbered] == [event["id"] for event in events(client, job)]
    after = numbered[3]["id"]
    rest = parsed(client.get(f"/v1/trainings/{job}/events", headers={**STREAM, "Last-Event-ID": after}).text)
    assert [message["id"] for message in rest if "id" in message] == [each["id"] for each in numbered[4:]]


def test_no_stream_of_what_is_not_there(client: TestClient) -> None:
    assert client.get("/v1/jobs/job_none/events", headers=STREAM).status_code == 404


def events(client: TestClient, job: str, after: int = 0) -> list[dict]:  # type: ignore[type-arg]
    answer = client.get(f"/v1/trainings/{job}/events", params={"after": after})
    assert answer.status_code == 200
    found: list[dict] = answer.json()["data"]  # type: ignore[type-arg]
    return found


def parsed(text: str) -> list[dict[str, str]]:
    """Messages of a stream; comments and the pause before coming again left out."""
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines()) for block in text.split("\n\n") if block
    ]
    return [block for block in blocks if "event" in block]
