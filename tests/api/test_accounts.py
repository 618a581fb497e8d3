"""Keys, sessions, limits, the same request twice, and the audit log."""

from __future__ import annotations

import json
import threading
import uuid

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from likeness.accounts import Limits, RateLimiter, create_key, create_tenant, set_limits
from likeness.clock import now
from likeness.database import Database
from likeness.repositories.idempotency import IdempotencyRepository
from likeness.settings import Settings
from likeness.tables import IdempotencyKey
from problems import Problem
from tests.api.calls import person, problem, train, upload
from tests.api.conftest import Watch
from workers.runner import Runner


@pytest.fixture
def app(settings: Settings, database: Database, watch: Watch) -> FastAPI:
    return create_app(settings.model_copy(update={"auth": "keys"}), watch=watch)


@pytest.fixture
def tenant(database: Database) -> str:
    return create_tenant(database, "Ada Ltd")


@pytest.fixture
def admin(app: FastAPI, database: Database, tenant: str) -> TestClient:
    _, key = create_key(database, tenant_id=tenant, name="first", scopes=["admin"])
    client = TestClient(app, raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {key}"
    return client


def test_a_key_is_shown_once_and_can_be_revoked(app: FastAPI, admin: TestClient, database: Database) -> None:
    made = admin.post("/v1/api-keys", json={"name": "render farm", "scopes": ["render", "read"]})
    key = made.json()["key"]
    assert made.status_code == 201
    assert key.startswith("lk_")
    assert len(key) > 40
    listed = admin.get("/v1/api-keys").json()["data"]
    assert [each["name"] for each in listed] == ["render farm", "first"]
    assert all(each["key"] is None for each in listed)
    assert key not in json.dumps(listed)
    with database.read() as session:
        stored = " ".join(
            str(row) for row in session.connection().exec_driver_sql("select * from api_keys").all()
        )
    assert key not in stored
    other = TestClient(app)
    headers = {"Authorization": f"Bearer {key}"}
    assert other.get("/v1/videos", headers=headers).status_code == 200
    refused = problem(other.post("/v1/persons", json={}, headers=headers), 403, "forbidden")
    assert refused["details"]["scope"] == "train"
    assert admin.delete(f"/v1/api-keys/{made.json()['id']}").status_code == 204
    problem(other.get("/v1/videos", headers=headers), 401, "unauthenticated")
    problem(admin.delete(f"/v1/api-keys/{listed[1]['id']}"), 409, "conflict")  # the last that may make keys


@pytest.mark.parametrize(("name", "scopes"), [("x", []), ("x", ["root"]), (" ", ["read"])])
def test_keys_that_can_not_be_made(admin: TestClient, name: str, scopes: list[str]) -> None:
    problem(admin.post("/v1/api-keys", json={"name": name, "scopes": scopes}), 422, "invalid_parameter")


def test_signing_in(app: FastAPI, admin: TestClient) -> None:
    key = admin.headers["authorization"].removeprefix("Bearer ")
    browser = TestClient(app, follow_redirects=False)
    assert browser.get("/jobs").headers["location"] == "/sign-in?next=%2Fjobs"
    assert browser.post("/sign-in", data={"key": "lk_wrong"}).status_code == 401
    answer = browser.post("/sign-in", data={"key": key, "next": "/jobs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert key not in cookie
    assert browser.get("/jobs").status_code == 200
    assert browser.get("/v1/jobs").status_code == 200
    for evil in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        assert browser.post("/sign-in", data={"key": key, "next": evil}).headers["location"] == "/"
    value = browser.cookies["likeness_session"]
    for forged in (
        value[:-1] + ("A" if value[-1] != "A" else "B"),
        value.upper(),
        "x.9999999999.y",
        "",
    ):
        other = TestClient(app, follow_redirects=False, cookies={"likeness_session": forged})
        assert other.get("/jobs").status_code == 303, forged
    # another web site's form carries the cookie, and is refused
    crossed = browser.post("/inspections", headers={"Origin": "https://evil.example"})
    assert crossed.status_code == 403
    # a revoked key ends its sessions
    second = admin.post("/v1/api-keys", json={"name": "b", "scopes": ["read"]}).json()
    reader = TestClient(app, follow_redirects=False)
    reader.post("/sign-in", data={"key": second["key"]})
    assert reader.get("/jobs").status_code == 200
    admin.delete(f"/v1/api-keys/{second['id']}")
    assert reader.get("/jobs").status_code == 303
    browser.post("/sign-out")
    assert browser.get("/jobs").status_code == 303


def test_a_page_offers_what_the_key_may_do(
    app: FastAPI, admin: TestClient, database: Database, tenant: str, runner: Runner
) -> None:
    who = person(admin)
    train(admin, who, upload(admin))
    runner.run_all()
    sound = upload(admin, b"sound", "recording")
    video = admin.post("/v1/videos", json={"person_id": who, "audio": {"upload_id": sound}}).json()["id"]
    learning = train(admin, who, upload(admin, b"another clip"), seed=3)
    for scopes, cancels_video, cancels_training in (
        (["read"], False, False),
        (["read", "render"], True, False),
        (["read", "train"], False, True),
    ):
        _, key = create_key(database, tenant_id=tenant, name="some", scopes=scopes)  # type: ignore[arg-type]
        browser = TestClient(app, follow_redirects=False)
        browser.post("/sign-in", data={"key": key})
        for job, may in ((video, cancels_video), (learning, cancels_training)):
            assert (f"/jobs/{job}/cancel" in browser.get(f"/jobs/{job}").text) is may, (scopes, job)
            if not may:
                for verb in ("cancel", "retry", "delete"):
                    assert browser.post(f"/jobs/{job}/{verb}").status_code == 403
    assert {job["status"] for job in admin.get("/v1/jobs").json()["data"]} == {"succeeded", "queued"}


def test_the_list_of_all_kinds_asks_for_each_kinds_scope(
    app: FastAPI, admin: TestClient, database: Database, tenant: str, runner: Runner
) -> None:
    """A key that may not ask for something may not try it again, stop or delete it, either."""
    who = person(admin)
    train(admin, who, upload(admin))
    runner.run_all()
    sound = upload(admin, b"sound", "recording")
    video = admin.post("/v1/videos", json={"person_id": who, "audio": {"upload_id": sound}}).json()["id"]
    learning = train(admin, who, upload(admin, b"another clip"), seed=3)
    for scopes, changes_video in ((["read", "render"], True), (["read", "train"], False)):
        _, key = create_key(database, tenant_id=tenant, name="some", scopes=scopes)
        client = TestClient(app, headers={"Authorization": f"Bearer {key}"})
        for job, may in ((video, changes_video), (learning, not changes_video)):
            assert client.post(f"/v1/jobs/{job}/cancel").status_code == (202 if may else 403)
            if not may:
                problem(client.post(f"/v1/jobs/{job}/retry"), 403, "forbidden")
                problem(client.delete(f"/v1/jobs/{job}"), 403, "forbidden")
            else:
                assert client.post(f"/v1/jobs/{job}/retry").status_code == 202
                assert admin.post(f"/v1/jobs/{job}/cancel").status_code == 202


def test_a_retry_over_quota_is_refused_wherever_it_is_asked_for(
    app: FastAPI, admin: TestClient, database: Database, tenant: str
) -> None:
    job = train(admin, person(admin), upload(admin))
    admin.post(f"/v1/trainings/{job}/cancel")
    set_limits(database, tenant, Limits(concurrent_jobs=0))
    for path in (f"/v1/trainings/{job}/retry", f"/v1/jobs/{job}/retry"):
        problem(admin.post(path), 429, "quota_exceeded")
    _, key = create_key(database, tenant_id=tenant, name="some", scopes=["admin"])
    browser = TestClient(app, follow_redirects=False)
    browser.post("/sign-in", data={"key": key})
    assert browser.post(f"/jobs/{job}/retry").status_code == 429
    assert admin.get(f"/v1/jobs/{job}").json()["status"] == "canceled"


def test_a_batch_over_quota_leaves_nothing_behind(
    admin: TestClient, database: Database, tenant: str, runner: Runner
) -> None:
    who = person(admin)
    train(admin, who, upload(admin))
    runner.run_all()
    sound = upload(admin, b"sound", "recording")
    items = [{"person_id": who, "audio": {"upload_id": sound}}] * 3
    set_limits(database, tenant, Limits(concurrent_jobs=2))
    problem(admin.post("/v1/batches", json={"items": items}), 429, "quota_exceeded")
    assert admin.get("/v1/videos").json()["data"] == []
    assert admin.get("/v1/batches").json()["data"] == []
    assert admin.post("/v1/batches", json={"items": items[:2]}).status_code == 202
    dry = {**items[0], "dry_run": True}
    refused = problem(admin.post("/v1/batches", json={"items": [dry]}), 422, "invalid_parameter")
    assert refused["details"]["errors"][0]["detail"] == "one item of a batch can't be a dry run"


def test_requests_a_minute(admin: TestClient, database: Database, tenant: str) -> None:
    set_limits(database, tenant, Limits(requests_per_minute=3))
    answers = [admin.get("/v1/jobs") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    body = problem(answers[-1], 429, "rate_limited")
    assert body["retryable"]
    assert 15 <= int(answers[-1].headers["retry-after"]) <= 21


def test_the_bucket_fills_again() -> None:
    clock = [0.0]
    limiter = RateLimiter(lambda: clock[0])
    for _ in range(60):
        limiter.take("a", 60)
    with pytest.raises(Problem):
        limiter.take("a", 60)
    limiter.take("b", 60)
    clock[0] = 1.01
    limiter.take("a", 60)
    with pytest.raises(Problem):
        limiter.take("a", 60)
    limiter.take("a", 0)  # no limit


def test_quotas(admin: TestClient, database: Database, tenant: str, runner: Runner) -> None:
    clip = upload(admin, b"x" * 1000)
    set_limits(database, tenant, Limits(concurrent_jobs=1, storage_bytes=1500))
    body = problem(
        admin.post("/v1/uploads?purpose=clip&filename=a.mp4", content=b"y" * 600), 429, "quota_exceeded"
    )
    assert body["details"] == {"limit": "storage_bytes", "allowed": 1500, "used": 1000}
    announced = {"purpose": "clip", "size": 600, "filename": "a.mp4"}
    problem(admin.post("/v1/uploads", json=announced), 429, "quota_exceeded")
    admin.post("/v1/inspections", json={"upload_id": clip})
    body = problem(admin.post("/v1/inspections", json={"upload_id": clip}), 429, "quota_exceeded")
    assert body["details"]["limit"] == "concurrent_jobs"
    runner.run_all()
    assert admin.post("/v1/inspections", json={"upload_id": clip}).status_code == 202
    assert admin.get("/v1/usage").json()["limits"]["concurrent_jobs"] == 1


def test_video_minutes_are_counted_and_limited(
    admin: TestClient, database: Database, tenant: str, runner: Runner
) -> None:
    who = person(admin)
    train(admin, who, upload(admin))
    runner.run_all()
    video = {"person_id": who, "audio": {"upload_id": upload(admin, b"sound", "recording")}}
    job = admin.post("/v1/videos", json=video).json()["id"]
    runner.run_all()
    usage = admin.get("/v1/usage").json()
    assert usage["totals"]["video_seconds"] == pytest.approx(0.08)
    assert usage["totals"]["cpu_seconds"] > 0
    set_limits(database, tenant, Limits(video_minutes_per_month=0.001))
    problem(admin.post("/v1/videos", json=video), 429, "quota_exceeded")
    admin.delete(f"/v1/videos/{job}")
    assert admin.get("/v1/usage").json()["totals"]["video_seconds"] == pytest.approx(0.08), (
        "outlives the video"
    )
    found = admin.post("/v1/estimates", json={"kind": "video", "seconds": 60}).json()
    assert found["basis"] == "history"


def test_the_same_request_twice(admin: TestClient, runner: Runner) -> None:
    clip = upload(admin)
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = admin.post("/v1/inspections", json={"upload_id": clip}, headers=headers)
    again = admin.post("/v1/inspections", json={"upload_id": clip}, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert len(admin.get("/v1/jobs").json()["data"]) == 1
    other = admin.post("/v1/inspections", json={"upload_id": "upl_x"}, headers=headers)
    problem(other, 422, "idempotency_key_reused")
    # a refusal that would come again is kept, one that may pass is not
    missing = {"Idempotency-Key": "missing"}
    assert admin.post("/v1/inspections", json={"upload_id": "upl_x"}, headers=missing).status_code == 404
    assert (
        "idempotent-replayed"
        in admin.post("/v1/inspections", json={"upload_id": "upl_x"}, headers=missing).headers
    )
    for bad in ("x" * 256, "a b"):
        problem(
            admin.post("/v1/inspections", json={}, headers={"Idempotency-Key": bad}), 422, "invalid_parameter"
        )
    plain = {"Idempotency-Key": "file"}
    one = admin.post("/v1/uploads?purpose=clip&filename=a.mp4", content=b"abc", headers=plain).json()
    two = admin.post("/v1/uploads?purpose=clip&filename=a.mp4", content=b"abc", headers=plain).json()
    assert one == two


def test_a_new_key_is_not_kept_for_a_replay(admin: TestClient, database: Database) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"name": "a", "scopes": ["read"]}
    secret = admin.post("/v1/api-keys", json=body, headers=headers).json()["key"]
    again = admin.post("/v1/api-keys", json=body, headers=headers).json()
    assert (again["key"], len(admin.get("/v1/api-keys").json()["data"])) == (None, 2)
    with database.read() as session:
        row = session.query(IdempotencyKey).one()
    assert secret.encode() not in (row.body or b"")


def test_a_request_in_progress(admin: TestClient, database: Database, tenant: str) -> None:
    """Two at once: one is done, the other is told to wait."""
    clip = upload(admin)
    headers = {"Idempotency-Key": "both"}
    answers = []
    started = threading.Barrier(2)

    def ask() -> None:
        started.wait()
        answers.append(admin.post("/v1/inspections", json={"upload_id": clip}, headers=headers))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) in ([202, 202], [202, 409])
    assert len(admin.get("/v1/jobs").json()["data"]) == 1
    with database.write() as session:
        IdempotencyRepository(session).begin(tenant, "held", "f", now())
    held = admin.post("/v1/inspections", json={"upload_id": clip}, headers={"Idempotency-Key": "held"})
    assert held.status_code in (409, 422)


def test_the_audit_log(admin: TestClient) -> None:
    who = person(admin)
    admin.patch(f"/v1/persons/{who}", json={"name": "Ada the second"})
    events = admin.get("/v1/audit-events").json()["data"]
    assert [(event["action"], event["subject"]) for event in events if event["subject"] == who] == [
        ("change_person", who),
        ("person.changed", who),
        ("add_person", who),
        ("person.created", who),
    ]
    assert events[0]["actor"].startswith("key_")
    assert events[0]["details"]["request_id"]
    assert "Ada the second" not in json.dumps(events)
    mine = admin.get("/v1/audit-events", params={"subject": who, "limit": 1}).json()
    assert len(mine["data"]) == 1
    assert mine["next_cursor"]
    admin.get("/v1/jobs")
    assert len(admin.get("/v1/audit-events").json()["data"]) == len(events), "looking is not written down"
