"""Nothing crosses from one tenant to another, route by route: a new route that is not in the tables here fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from api.app import create_app
from likeness.accounts import create_key, create_tenant
from likeness.database import Database
from likeness.settings import Settings
from tests.api.calls import person, train, upload
from tests.api.conftest import Watch
from workers.runner import Runner

OPEN = {
    "/healthz", "/readyz", "/metrics", "/sign-in", "/sign-out", "/help/errors", "/docs", "/v1/objects/{key:path}",
}  # fmt: skip
"""Routes that know no account: they hold nothing of anybody, or the address is signed."""


@dataclass
class Two:
    """A deployment with two tenants; everything there is belongs to the first."""

    app: FastAPI
    ada: TestClient
    bob: TestClient
    ids: dict[str, str]
    """A resource of the first tenant by the name that routes call it by."""


def client_of(app: FastAPI, database: Database, name: str, *scopes: str) -> TestClient:
    _, key = create_key(
        database, tenant_id=create_tenant(database, name), name="test", scopes=scopes or ("admin",)
    )
    client = TestClient(app, raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {key}"
    return client


@pytest.fixture
def app(settings: Settings, database: Database, watch: Watch) -> FastAPI:
    return create_app(settings.model_copy(update={"auth": "keys"}), watch=watch)


@pytest.fixture
def two(app: FastAPI, database: Database, runner: Runner) -> Iterator[Two]:
    ada = client_of(app, database, "Ada Ltd")
    who, clip = person(ada), upload(ada)
    training = train(ada, who, clip)
    runner.run_all()
    recording = upload(ada, b"a sound", "recording")
    video_in = {"person_id": who, "audio": {"upload_id": recording}}
    batch = ada.post("/v1/batches", json={"items": [video_in]}).json()["id"]
    motion = ada.post("/v1/motions", json=video_in).json()["id"]
    inspection = ada.post("/v1/inspections", json={"upload_id": clip}).json()["id"]
    verification = ada.post("/v1/verifications", json={"upload_id": clip}).json()["id"]
    consent = ada.post("/v1/consents", json={"subject_name": "Ada"}).json()
    spoken = upload(ada, consent["passcode"].encode(), "consent")
    ada.post(f"/v1/consents/{consent['id']}/recording", json={"upload_id": spoken})
    endpoint = ada.post("/v1/webhook-endpoints", json={"url": "https://example.com/hook"}).json()["id"]
    delivery = ada.post(f"/v1/webhook-endpoints/{endpoint}/test").json()["id"]
    runner.run_all()
    video = ada.get("/v1/videos").json()["data"][0]["id"]
    dropped = ada.delete(f"/v1/uploads/{upload(ada, b'not needed')}").json()["id"]
    key = ada.get("/v1/api-keys").json()["data"][0]["id"]
    ids = {
        "person_id": who, "upload_id": clip, "trainings": training, "videos": video, "motions": motion,
        "inspections": inspection, "verifications": verification, "jobs": video, "batch_id": batch,
        "consent_id": consent["id"],
        "endpoint_id": endpoint, "delivery_id": delivery, "deletion_id": dropped, "key_id": key, "number": "1",
    }  # fmt: skip
    yield Two(app, ada, client_of(app, database, "Bob Ltd"), ids)
    ada.close()


def routes(app: FastAPI) -> list[APIRoute]:
    """Every route, those of included routers too."""
    found: list[APIRoute] = []

    def walk(items: Any) -> None:
        for item in items:
            if isinstance(item, APIRoute):
                found.append(item)
            elif (
                inner := getattr(item, "original_router", None) or getattr(item, "router", None)
            ) is not None:
                walk(inner.routes)

    walk(app.router.routes)
    return found


def filled(path: str, ids: dict[str, str]) -> str:
    """The path with the first tenant's resources; KeyError for a parameter that nobody thought of."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name == "job_id":
            kind = path.removeprefix("/v1").split("/")[1]
            return ids[kind]
        return ids[name]

    return re.sub(r"\{(\w+)\}", fill, path)


BODIES: dict[str, dict[str, Any]] = {
    "/v1/consents/{consent_id}/recording": {"upload_id": "upl_none"},
    "/v1/consents/{consent_id}/review": {"words_heard": True},
    "/v1/persons/{person_id}/trainings": {"upload_id": "upl_none"},
}
"""What a route with a resource in its path wants to hear before it looks for the resource."""


def test_every_route_says_what_it_needs(two: Two) -> None:
    table = routes(two.app)
    assert len(table) > 90
    for route in table:
        asked = [getattr(depends.dependency, "likeness_scopes", None) for depends in route.dependencies]
        assert any(asked) or route.path in OPEN, f"{route.path} declares no needs(...)"


def test_another_tenants_resources_do_not_exist(two: Two) -> None:
    asked = 0
    for route in routes(two.app):
        if "{" not in route.path or route.path in OPEN or not route.path.startswith("/v1/"):
            continue
        path = filled(route.path, two.ids)
        for method in sorted(route.methods):
            body = BODIES.get(route.path, {} if method in ("POST", "PATCH") else None)
            answer = (
                two.bob.request(method, path, json=body)
                if body is not None
                else two.bob.request(method, path)
            )
            assert answer.status_code == 404, (method, path, answer.status_code, answer.text[:300])
            mine = [each for each in two.ids.values() if each not in path and each != "1"]
            assert not [each for each in mine if each in answer.text], (method, path)
            asked += 1
    assert asked > 50
    # and none of these calls did anything
    assert two.ada.get(f"/v1/persons/{two.ids['person_id']}").json()["status"] == "ready"
    assert two.ada.get(f"/v1/videos/{two.ids['videos']}/download").status_code == 200
    assert two.ada.get(f"/v1/motions/{two.ids['motions']}/preview").status_code == 200
    assert two.ada.get(f"/v1/consents/{two.ids['consent_id']}").json()["status"] == "verified"


def test_lists_are_empty_for_another_tenant(two: Two) -> None:
    for route in routes(two.app):
        if "{" in route.path or "GET" not in route.methods or not route.path.startswith("/v1/"):
            continue
        text = two.bob.get(route.path).text
        if route.path == "/v1/system":
            continue  # the operator's view: counts and workers, nothing of anybody
        assert not [each for each in two.ids.values() if each in text and each != "1"], route.path


def test_bodies_can_not_name_another_tenants_resources(two: Two) -> None:
    ids = two.ids
    bobs = person(two.bob, "Bob")
    sound = upload(two.bob, b"sound", "recording")
    for path, body in (
        (f"/v1/persons/{bobs}/trainings", {"upload_id": ids["upload_id"]}),
        ("/v1/inspections", {"upload_id": ids["upload_id"]}),
        ("/v1/verifications", {"upload_id": ids["upload_id"]}),
        ("/v1/persons", {"name": "Bob", "consent_id": ids["consent_id"]}),
        ("/v1/videos", {"person_id": ids["person_id"], "audio": {"upload_id": sound}}),
        ("/v1/videos", {"person_id": bobs, "audio": {"upload_id": ids["upload_id"]}}),
        ("/v1/motions", {"person_id": ids["person_id"], "audio": {"upload_id": sound}}),
        ("/v1/motions", {"person_id": bobs, "audio": {"upload_id": ids["upload_id"]}}),
    ):
        answer = two.bob.post(path, json=body)
        assert answer.status_code in (404, 409), (path, answer.text)
        assert answer.status_code == 404 or "has not been learned" in answer.text
    assert two.bob.patch(f"/v1/persons/{bobs}", json={"consent_id": ids["consent_id"]}).status_code == 404


def test_the_dashboard_keeps_tenants_apart_too(two: Two) -> None:
    person_id, motion = two.ids["person_id"], two.ids["motions"]
    for path in (
        f"/people/{person_id}",
        f"/jobs/{two.ids['videos']}",
        f"/jobs/{motion}",
        f"/people/{person_id}/videos/new?motion={motion}",
    ):
        assert two.ada.get(path).status_code == 200
        assert two.bob.get(path).status_code == 404
    for route in routes(two.app):
        if (
            route.path.startswith("/v1/")
            or "GET" not in route.methods
            or "{" in route.path
            or route.path in OPEN
        ):
            continue
        assert "Ada" not in two.bob.get(route.path).text, route.path


def test_a_mark_tells_another_tenant_only_that_it_is_ours(two: Two, runner: Runner) -> None:
    content = two.ada.get(f"/v1/videos/{two.ids['videos']}/download").content
    for client, expected in ((two.ada, two.ids["videos"]), (two.bob, None)):
        job = client.post("/v1/verifications", json={"upload_id": upload(client, content, "video")}).json()[
            "id"
        ]
        runner.run_all()
        answer = client.get(f"/v1/verifications/{job}").json()
        assert (answer["ours"], answer["video_id"]) == (True, expected)
    job = two.bob.post("/v1/verifications", json={"upload_id": upload(two.bob, b"real", "video")}).json()[
        "id"
    ]
    runner.run_all()
    assert two.bob.get(f"/v1/verifications/{job}").json()["ours"] is False


def test_without_a_key_nothing_is_told(two: Two) -> None:
    with TestClient(two.app, raise_server_exceptions=False, follow_redirects=False) as nobody:
        for route in routes(two.app):
            if route.path in OPEN:
                continue
            path = (
                filled(route.path, two.ids)
                if route.path.startswith("/v1/")
                else re.sub(r"\{\w+\}", "x", route.path)
            )
            for method in route.methods:
                answer = nobody.request(method, path)
                if method == "GET" and not path.startswith("/v1/"):
                    assert (answer.status_code, answer.headers["location"][:8]) == (303, "/sign-in"), path
                else:
                    assert answer.status_code == 401, (method, path)
                    assert answer.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer lk_wrong", "Basic YTpi", "Bearer"):
            assert nobody.get("/v1/jobs", headers={"Authorization": wrong}).status_code == 401


def test_a_key_that_may_read_may_change_nothing(app: FastAPI, two: Two, database: Database) -> None:
    reader = client_of(app, database, "Readers", "read")
    changed = 0
    for route in routes(app):
        if route.path in OPEN or not route.path.startswith("/v1/"):
            continue
        for method in sorted(route.methods - {"GET", "HEAD"}):
            if route.path.startswith(("/v1/estimates", "/v1/verifications")):
                continue  # looking is reading
            answer = reader.request(method, filled(route.path, two.ids), json={})
            assert answer.status_code == 403, (method, route.path, answer.text[:200])
            changed += 1
    assert changed > 30
    assert reader.get("/v1/jobs").status_code == 200
    assert reader.get("/v1/api-keys").status_code == 403


def test_another_tenants_upload_is_no_recording(two: Two) -> None:
    mine = two.bob.post("/v1/consents", json={"subject_name": "Bob"}).json()["id"]
    body = {"upload_id": two.ids["upload_id"]}
    assert two.bob.post(f"/v1/consents/{mine}/recording", json=body).status_code == 404
    person = two.bob.post("/v1/persons", json={"name": "Bob", "consent_id": two.ids["consent_id"]})
    assert person.status_code == 404
