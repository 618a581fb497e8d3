"""Calls that several tests of the API make."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from fastapi.testclient import TestClient

CONSENT = {"attested": True, "subject_name": "Ada Example"}


def upload(client: TestClient, content: bytes = b"a clip", purpose: str = "clip", name: str = "a.mp4") -> str:
    answer = client.post("/v1/uploads", data={"purpose": purpose}, files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    identifier: str = answer.json()["id"]
    return identifier


def person(client: TestClient, name: str = "Ada") -> str:
    answer = client.post("/v1/persons", json={"name": name, "consent": CONSENT})
    assert answer.status_code == 201, answer.text
    identifier: str = answer.json()["id"]
    return identifier


def train(client: TestClient, person_id: str, upload_id: str, **params: Any) -> str:
    answer = client.post(f"/v1/persons/{person_id}/trainings", json={"upload_id": upload_id, **params})
    assert answer.status_code == 202, answer.text
    identifier: str = answer.json()["id"]
    return identifier


def at_once(calls: Sequence[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """What these calls are answered, when they are made in the same moment, each in a thread of its own."""
    answers: list[httpx.Response] = []
    start = threading.Barrier(len(calls))

    def ask(call: Callable[[], httpx.Response]) -> None:
        start.wait()
        answers.append(call())

    threads = [threading.Thread(target=ask, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(calls)
    return answers


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem of an answer, after checking that it is whole."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/help/errors#{code}")
    assert body["title"]
    assert body["detail"]
    assert body["remedy"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body
