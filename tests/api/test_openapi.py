"""The description of the API is whole: names, permissions, fields, examples that are true, and the webhooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from jsonschema_rs import Draft202012Validator
from sqlalchemy import select

from api.app import create_app
from api.openapi import api_routes, scopes_of
from likeness.database import Database
from likeness.settings import Settings
from likeness.tables import WebhookDelivery
from likeness.webhooks import EVENTS
from tests.api.calls import person, train, upload
from tests.api.conftest import Watch
from workers.runner import Runner


@pytest.fixture
def app(settings: Settings, database: Database, watch: Watch) -> FastAPI:
    return create_app(settings, watch=watch)


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each JSON body and JSON answer that is no problem."""
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        if "application/json" in body.get("content", {}):
            yield body["content"]["application/json"]


def require_valid(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def test_operation_ids_are_names_for_a_generated_client(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) > 75
    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+){1,4}", name)] == []
    assert {"create_upload", "create_training", "create_video", "revoke_consent", "list_jobs"} <= set(names)
    schemas = document["components"]["schemas"]
    assert [name for name in schemas if not re.fullmatch(r"[A-Za-z]+", name)] == []
    assert {"UploadList", "JobList"} <= set(schemas)


def test_every_field_parameter_and_operation_is_described(document: dict[str, Any]) -> None:
    silent = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, facts in schema.get("properties", {}).items()
        if not facts.get("description")
    ]
    for method, path, operation in operations(document):
        if not (operation.get("summary") and operation.get("description")):
            silent.append(f"{method} {path}")
        silent += [
            f"{method} {path} {parameter['name']}"
            for parameter in operation.get("parameters", [])
            if "$ref" not in parameter and not parameter.get("description")
        ]
    assert silent == []
    tags = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    assert tags == {tag["name"] for tag in document["tags"]}


@pytest.mark.parametrize("auth", ["local", "keys"])
def test_each_operation_says_who_may_call_it(settings: Settings, watch: Watch, auth: str) -> None:
    app = create_app(settings.model_copy(update={"auth": auth}), watch=watch)
    document = app.openapi()
    wanted = {
        (method.lower(), route.path_format): scopes_of(route)
        for route in api_routes(app)
        for method in route.methods or ()
    }
    for method, path, operation in operations(document):
        scopes, security = wanted[method, path], operation["security"]
        named = {(way, *roles) for each in security for way, roles in each.items()}
        assert named == {(way, scope) for scope in scopes or () for way in ("apiKey", "dashboardSession")}
        assert ({} in security) == (auth == "local" and scopes is not None), (method, path)
    assert {each for way in document["components"]["securitySchemes"] for each in (way,)} == {
        "apiKey",
        "dashboardSession",
    }


def test_every_post_takes_an_idempotency_key(document: dict[str, Any]) -> None:
    key = {"$ref": "#/components/parameters/IdempotencyKey"}
    for method, path, operation in operations(document):
        assert (key in operation.get("parameters", [])) == (method == "post" and path.startswith("/v1/")), (
            path
        )


def test_the_server_is_the_public_address(settings: Settings, watch: Watch) -> None:
    assert create_app(settings, watch=watch).openapi()["servers"][0]["url"] == "/"
    public = settings.model_copy(update={"public_url": "https://likeness.example/"})
    assert create_app(public, watch=watch).openapi()["servers"][0]["url"] == "https://likeness.example"


def test_every_body_and_answer_has_an_example_that_its_schema_takes(document: dict[str, Any]) -> None:
    seen, missing = 0, []
    webhooks = [("post", event, item["post"]) for event, item in document["webhooks"].items()]
    for method, path, operation in (*operations(document), *webhooks):
        for content in contents(operation):
            if "example" not in content:
                missing.append(f"{method} {path}")
                continue
            require_valid(document, content["schema"], content["example"])
            seen += 1
    assert missing == []
    assert seen > 90


def test_the_service_takes_the_bodies_of_the_examples(client: TestClient) -> None:
    """No field of them is refused; what they name does not exist here, which is another answer."""
    taken = 0
    for method, path, operation in operations(client.app.openapi()):  # type: ignore[attr-defined]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None:
            continue
        answer = client.request(method, re.sub(r"\{\w+\}", "none", path), json=body["example"])
        unknown = answer.status_code == 404 or "there is no" in answer.text  # what the body names
        assert unknown or answer.status_code in (200, 201, 202), (method, path, answer.text)
        taken += 1
    assert taken > 15


def test_the_webhooks_are_those_that_are_sent(
    document: dict[str, Any], client: TestClient, runner: Runner, database: Database
) -> None:
    assert set(document["webhooks"]) == set(EVENTS)
    endpoint = client.post("/v1/webhook-endpoints", json={"url": "https://example.com/hook"}).json()["id"]
    train(client, person(client), upload(client))
    runner.run_all()
    client.post(f"/v1/webhook-endpoints/{endpoint}/test")
    with database.read() as session:
        sent = [row.payload for row in session.scalars(select(WebhookDelivery))]
    assert {payload["type"] for payload in sent} == {"training.succeeded", "webhook.test"}
    for payload in sent:
        told = document["webhooks"][payload["type"]]["post"]["requestBody"]["content"]["application/json"]
        require_valid(document, told["schema"], json.loads(json.dumps(payload)))


def test_the_reference_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert addresses
    assert [each for each in addresses if not each.startswith("/") or each.startswith("//")] == []
    for address in addresses:
        assert client.get(address).status_code == 200, address
    assert "http" not in page.headers["content-security-policy"]
