"""Other web sites, other host names, big bodies, request ids; and that the API starts without pixels."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any

import pytest
from fastapi.testclient import TestClient

from likeness.logs import bound_ids
from likeness.settings import Settings
from tests.api.calls import CONSENT, problem

PERSON = {"name": "Ada", "consent": CONSENT}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", ""])
def test_a_rebound_name_is_refused(client: TestClient, host: str) -> None:
    problem(client.get("/v1/persons", headers={"Host": host}), 400, "unknown_host")


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "LOCALHOST"])
def test_local_names_are_known(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://testserver:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
)
def test_other_sites_change_nothing(client: TestClient, headers: dict[str, str]) -> None:
    problem(client.post("/v1/persons", json=PERSON, headers=headers), 403, "foreign_origin")
    problem(client.delete("/v1/persons/per_1", headers=headers), 403, "foreign_origin")
    assert client.post("/people", files={"file": b"x"}, headers=headers).status_code == 403
    assert client.get("/v1/persons").json()["data"] == []


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"}, {"Sec-Fetch-Site": "none"}],
)
def test_own_pages_and_programs_do(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/v1/persons", json=PERSON, headers=headers).status_code == 201


def test_bodies_that_are_no_upload_are_small(client: TestClient) -> None:
    problem(client.post("/v1/persons", json={**PERSON, "name": "x" * 2**20}), 413, "media_too_large")
    problem(client.post("/v1/persons", content=iter([b"{}"])), 422, "invalid_parameter")


def test_request_ids(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = client.get("/healthz", headers={"X-Request-Id": "a b<script>"}).headers["x-request-id"]
    assert made.startswith("req_")


def test_every_answer_carries_the_security_headers(client: TestClient) -> None:
    for path in ("/", "/healthz", "/nowhere", "/static/style.css"):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("PATCH", "/v1/persons", 405, "method_not_allowed"),
        ("GET", "/v1/persons/per_x", 404, "not_found"),
        ("GET", "/static/nowhere.js", 404, "not_found"),
    ],
)
def test_every_failure_is_a_problem(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    problem(client.request(method, path), status, code)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("not json", "0"),
        ('{"name": ""}', "name"),
        ('{"name": "A", "extra": 1}', "extra"),
        ('{"name": 5}', "name"),
        ("[]", ""),
    ],
)
def test_a_bad_body_names_its_field(client: TestClient, body: str, field: str) -> None:
    answer = client.post("/v1/persons", content=body, headers={"Content-Type": "application/json"})
    assert problem(answer, 422, "invalid_parameter")["details"]["field"] == field


def test_a_fault_of_the_product_tells_no_secrets(client: TestClient, settings: Settings) -> None:
    (settings.data_dir / "likeness.db").unlink()
    for name in ("likeness.db-wal", "likeness.db-shm"):
        (settings.data_dir / name).unlink(missing_ok=True)
    client.app.state.database.engine.dispose()  # type: ignore[attr-defined]
    answer = client.get("/v1/persons")
    body = problem(answer, 500, "internal")
    assert "sqlite" not in str(body).lower()
    ready = problem(client.get("/readyz"), 503, "not_ready")
    assert "likeness migrate" in ready["detail"]
    assert client.get("/healthz").status_code == 200


def test_ready_says_when_the_worker_is_dead(client: TestClient, watch: object) -> None:
    assert client.get("/readyz").json()["status"] == "ready"
    watch.alive = False  # type: ignore[attr-defined]
    answer = client.get("/readyz")
    body = problem(answer, 503, "not_ready")
    assert "worker process is not alive" in body["detail"]
    assert answer.headers["retry-after"] == "5"
    assert [check["name"] for check in body["details"]["checks"] if not check["ok"]] == ["worker"]
    assert "worker process is not alive" in client.get("/").text


def test_the_api_starts_without_torch_and_opencv() -> None:
    code = (
        "import sys\n"
        "from api.app import create_app\n"
        "from likeness.settings import Settings\n"
        "import tempfile\n"
        "create_app(Settings(data_dir=tempfile.mkdtemp()))\n"
        "heavy = {'torch', 'cv2', 'numpy', 'mediapipe', 'numba', 'onnxruntime', 'celery', 'workers', 'fitting'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_schema_is_complete(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    parts = schema["components"]["schemas"]
    assert "HTTPValidationError" not in str(schema)
    assert set(parts["ProblemDetails"]["required"]) >= {"type", "title", "status", "detail", "code", "remedy"}
    operations = [
        (method, path, operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    ]
    assert len(operations) >= 30
    assert len({operation["operationId"] for _, _, operation in operations}) == len(operations)
    for method, path, operation in operations:
        assert operation["summary"], path
        answers = operation["responses"]
        for status, answer in answers.items():
            if int(status) >= 400:
                assert "application/problem+json" in answer["content"], (method, path, status)
            else:
                bare = path.endswith(("download", "package", "objects/{key}")) or status in (
                    "204",
                    "304",
                    "307",
                )
                assert answer.get("content") or bare, (
                    method,
                    path,
                )
        assert "500" in answers, path
        if "{" in path:
            assert "404" in answers, path
        if method != "get":
            assert {"403", "413", "422"} <= set(answers), (method, path)
    for reference in _references(schema):
        _, _, kind, name = reference.split("/")
        assert name in schema["components"][kind], reference


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        found = [str(node["$ref"])] if "$ref" in node else []
        return found + [each for value in node.values() for each in _references(value)]
    if isinstance(node, list):
        return [each for value in node for each in _references(value)]
    return []


def test_what_a_request_logs_carries_its_id(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """Also what its handler logs, which runs in another thread."""
    seen: list[str] = []

    class Ids(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            seen.append(f"{record.name} {bound_ids().get('request_id')}")
            return True

    ids = Ids()
    loggers = [logging.getLogger(name) for name in ("likeness.access", "likeness.metrics")]
    for logger in loggers:
        logger.addFilter(ids)
    try:
        with caplog.at_level(logging.INFO):
            app: Any = client.app
            app.state.database.engine.dispose()
            (app.state.settings.data_dir / "likeness.db").unlink()
            client.get("/metrics", headers={"X-Request-Id": "mine-2"})
    finally:
        for logger in loggers:
            logger.removeFilter(ids)
    assert seen == ["likeness.metrics mine-2", "likeness.access mine-2"]
