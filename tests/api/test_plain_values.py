"""Strings and numbers that no database keeps, and headers that nobody sends: refused, never a fault of ours."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.route_table import api_routes
from likeness.database import Database
from likeness.settings import Settings
from likeness.stores import store_of
from tests.api.calls import person, problem, train, upload
from tests.likeness.service import either_database, postgres_url  # noqa: F401


@pytest.fixture
def either(settings: Settings, either_database: Database) -> Iterator[TestClient]:
    url = either_database.engine.url.render_as_string(hide_password=False)
    app = create_app(settings.model_copy(update={"database_url": url}))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def send(client: TestClient, path: str, body: str) -> Any:
    return client.post(path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    "bad",
    [
        '"a\\u0000b"',
        '"\\ud800"',
        '"x\\udfff"',
        "1e400",
        "-1e999",
        "NaN",
        "Infinity",
        "9223372036854775808",
        "9" * 5000,
    ],
)
def test_json_with_values_that_can_not_be_kept(either: TestClient, bad: str) -> None:
    """Wherever they stand; the field is named."""
    clip, who = upload(either), person(either)
    for path, body, field in (
        ("/v1/persons", '{"name": %s}', "name"),
        (
            "/v1/persons",
            '{"name": "A", "consent": {"attested": true, "subject_name": %s}}',
            "consent.subject_name",
        ),
        ("/v1/persons", '{"name": "A", "metadata": {"team": %s}}', "metadata.team"),
        ("/v1/consents", '{"subject_name": %s}', "subject_name"),
        ("/v1/uploads", '{"purpose": "clip", "size": 10, "filename": %s}', "filename"),
        ("/v1/uploads", '{"purpose": "clip", "size": %s}', "size"),
        ("/v1/inspections", '{"upload_id": %s}', "upload_id"),
        (f"/v1/persons/{who}/trainings", f'{{"upload_id": "{clip}", "seed": %s}}', "seed"),
        (f"/v1/persons/{who}/trainings", f'{{"upload_id": "{clip}", "metadata": {{"a": %s}}}}', "metadata.a"),
        ("/v1/webhook-endpoints", '{"url": %s}', "url"),
        ("/v1/api-keys", '{"name": %s, "scopes": ["read"]}', "name"),
        ("/v1/api-keys", '{"name": "a", "scopes": ["read", %s]}', "scopes.1"),
        ("/v1/estimates", '{"kind": "video", "seconds": %s}', "seconds"),
        ("/v1/batches", '{"name": %s, "items": []}', "name"),
    ):
        found = problem(send(either, path, body % bad), 422, "invalid_parameter")
        assert (
            found["details"]["field"] in (field, "") if len(bad) > 100 else found["details"]["field"] == field
        )
    assert len(either.get("/v1/persons").json()["data"]) == 1


def test_names_of_members_too(either: TestClient) -> None:
    for name in ("a\\u0000b", "\\ud800"):
        body = f'{{"name": "A", "metadata": {{"{name}": "x"}}}}'
        found = problem(send(either, "/v1/persons", body), 422, "invalid_parameter")
        assert found["details"]["field"].startswith("metadata.")


def test_json_that_is_deep(client: TestClient) -> None:
    for depth in (100, 100_000):
        body = '{"name": "A", "metadata": {"a": %s}}' % ("[" * depth + "]" * depth)
        problem(send(client, "/v1/persons", body), 422, "invalid_parameter")


def test_forms_and_addresses_with_nul(either: TestClient) -> None:
    who = person(either)
    for path, form in (
        ("/keys", {"name": "a\0b", "scopes": "read"}),
        ("/consents", {"subject_name": "a\0b"}),
        ("/sign-in", {"key": "lk_\0"}),
        ("/webhooks", {"url": "https://example.com/\0"}),
        ("/people", {"name": "a\0b", "upload_id": "x"}),
        (f"/people/{who}/consent", {"consent_id": "a\0"}),
        ("/sign-in", {"key": "lk", "a\0": "x"}),
    ):
        assert problem(either.post(path, data=form), 422, "invalid_parameter")["details"]["field"] in (
            *form,
            "a",
        )
        multipart = {name: (None, value) for name, value in form.items() if name != "a\0"}
        assert len(multipart) < len(form) or either.post(path, files=multipart).status_code == 422, path  # type: ignore[arg-type]
    for query in ("person_id", "batch_id", "cursor", "status"):
        found = problem(either.get(f"/v1/jobs?{query}=a%00b"), 422, "invalid_parameter")
        assert found["details"]["field"] == query
    problem(either.get("/v1/audit-events?subject=%00"), 422, "invalid_parameter")
    assert either.post("/v1/uploads?purpose=clip&filename=%00", content=b"x").status_code == 422
    for name, kind in (("a\0.mp4", "video/mp4"), ("a.mp4", "video/\0")):
        body = (
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nclip\r\n--b\r\n'
            b'Content-Disposition: form-data; name="file"; filename="' + name.encode() + b'"\r\n'
            b"Content-Type: " + kind.encode() + b"\r\n\r\nx\r\n--b--\r\n"
        )
        answer = either.post(
            "/v1/uploads", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
        assert answer.status_code == 422
    body = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\ncl\0ip\r\n--b--\r\n'
    answer = either.post(
        "/v1/uploads", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert problem(answer, 422, "invalid_parameter")["details"]["field"] == "purpose"
    assert either.get("/v1/uploads").json()["data"] == []


def test_any_path_of_any_route(either: TestClient) -> None:
    """Each parameter in turn is something that no id looks like."""
    odd = (
        "%00",
        "x%00y",
        "%ed%a0%80",
        "9" * 400,
        "99999999999999999999",
        "-1",
        "%F0%9F%92%A9",
        "..",
        "%2e%2e%2f",
    )
    asked = 0
    app: Any = either.app
    for route in api_routes(app.router.routes):
        if "{" not in route.path:
            continue
        for value in odd:
            path = re.sub(r"\{\w+(:path)?\}", value, route.path)
            for method in route.methods or set():
                answer = either.request(method, path, json={} if method in ("POST", "PATCH") else None)
                assert answer.status_code < 500, (method, path, answer.text[:300])
                asked += 1
    assert asked > 300


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "0001-01-01", "x", "1e400"]
)
def test_times_at_the_edges(either: TestClient, text: str) -> None:
    for query in ({"since": text}, {"until": text}, {"since": text, "until": text}):
        assert either.get("/v1/usage", params=query).status_code in (200, 422), query


ODD = (
    b"", b"\xff", b"\xc3\xa9", b"*", b"*/*;q=x", b"a" * 8000, b'"', b"[", b"http://[", b"//[", b"bytes=", b"bytes=0-",
    b"bytes=-1", b"bytes=5-2", b"bytes=0-0,2-2,4-4", b"bytes=99999999999999999999-", b"bytes=0-99999999999999999999",
    b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(900)), b"99999999999999999999", b"-1", b"\xb2", b"1.5",
    b"9" * 19, b"text/event-stream", b"application/json; charset=nonsense", b"application/json; charset=utf-16",
    b"multipart/form-data", b"multipart/form-data; boundary=\xff", b"multipart/form-data; boundary=" + b"x" * 200,
    b"text/html", b"Bearer", b"Bearer \xff", b"Basic \xff", b"for=1.2.3.4;host=evil", b"W/\"x\"", b"Mon, 99 Foo 2026",
)  # fmt: skip
NAMES = (
    "Accept", "Accept-Encoding", "Authorization", "Content-Type", "Cookie", "Forwarded", "Host", "Idempotency-Key",
    "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Last-Event-ID", "Origin",
    "Range", "Referer", "Sec-Fetch-Site", "X-Forwarded-For", "X-Forwarded-Host", "X-Request-Id", "Content-Length",
    "HX-Request", "HX-Target", "Expect",
)  # fmt: skip


@pytest.mark.parametrize("every", [19, pytest.param(1, marks=pytest.mark.slow)])
def test_headers_of_any_bytes(client: TestClient, every: int) -> None:
    """A file, a list, a page, a stream, a form, an upload: whatever a header says, nothing breaks. Quickly, one in so
    many of all requests that there are."""
    job = train(client, person(client), upload(client))
    clip = client.post("/v1/uploads", json={"purpose": "clip", "size": 5}).json()
    [part] = clip["parts"]
    client.put(part["url"], content=b"12345")
    client.post(f"/v1/uploads/{clip['id']}/complete")
    app: Any = client.app
    address = store_of(app.state.settings).signed_get(f"uploads/{clip['id']}/original", expires_s=600)
    client.post(f"/v1/trainings/{job}/cancel")  # its stream ends
    requests = (
        ("GET", address, None),
        ("GET", "/v1/jobs", None),
        ("GET", "/", None),
        ("GET", "/static/style.css", None),
        ("GET", f"/v1/trainings/{job}/events", None),
        ("POST", "/v1/persons", b'{"name": 1}'),
        ("POST", "/inspections", b"upload_id=x"),
        ("POST", "/sign-in", b"key=lk_x"),
    )
    chosen = list(itertools.product(NAMES, ODD, requests))[::every]
    assert len(chosen) > 300
    for name, value, (method, path, content) in chosen:
        answer = client.request(method, path, content=content, headers={name: value})  # type: ignore[dict-item]
        assert answer.status_code < 500, (name, value, method, path, answer.text[:300])


@pytest.mark.parametrize("place", ["//[", "http://[", "/\0", "/a\nb"])
def test_places_to_go_after_signing_in(client: TestClient, place: str) -> None:
    assert client.get("/sign-in", params={"next": place}).status_code in (200, 422)


def test_what_can_be_kept_is_kept(either: TestClient) -> None:
    name = "Łukasz 動画 🎬 \x01\x1f\u202e\ufffe"
    body = json.dumps({"name": name, "consent": {"attested": True, "subject_name": name}})
    made = send(either, "/v1/persons", body)
    assert (made.status_code, made.json()["name"]) == (201, name)
