"""HEAD wherever there is a GET: the same status and headers without a body, and no stream that goes on."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi.testclient import TestClient

from api.app import create_app
from likeness.settings import Settings
from tests.api.calls import person, train, upload
from tests.api.test_isolation import Two, app, filled, routes, two  # noqa: F401


def test_every_get_answers_head(two: Two) -> None:
    asked = 0
    for route in routes(two.app):
        if "GET" not in route.methods:
            continue
        path = filled(route.path.replace("{key:path}", "people/a"), {"name": "none.jpg", **two.ids})
        get = two.ada.get(path, follow_redirects=False)
        head = two.ada.head(path, follow_redirects=False)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        assert head.headers.get("content-type") == get.headers.get("content-type"), path
        assert head.headers.get("etag") == get.headers.get("etag"), path
        if path.startswith("/v1/") and path.endswith(("download", "package", "track", "curves", "preview")):
            assert get.status_code == 200, path
            assert head.headers["content-length"] == str(len(get.content)), path
        asked += 1
    assert asked > 50


@pytest.fixture
def served(settings: Settings, client: TestClient) -> Iterator[int]:
    """The port of a real server: it is that which writes no body."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def test_the_events_of_a_job_that_waits_end_with_their_head(served: int, client: TestClient) -> None:
    training = train(client, person(client), upload(client))
    job_id = training["id"] if isinstance(training, dict) else training
    line = http.client.HTTPConnection("127.0.0.1", served, timeout=20)
    for _ in range(2):  # twice over one connection: nothing is left on it
        line.request("HEAD", f"/v1/trainings/{job_id}/events", headers={"Accept": "text/event-stream"})
        answer = line.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert (answer.headers["content-type"] or "").startswith("text/event-stream")
        line.request("HEAD", "/v1/persons")
        answer = line.getresponse()
        assert int(answer.headers["content-length"]) > 2
        assert (answer.status, answer.read()) == (200, b"")
    line.close()
