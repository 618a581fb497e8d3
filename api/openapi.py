"""The description of the API that ``/openapi.json`` gives and ``/docs`` shows.

FastAPI describes paths, fields and answers; this module adds what it does not know: who may call an operation, names
that a generated client can live with, what holds for every operation, the webhooks that the service sends, and an
example of every body and answer (:mod:`api.examples`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api import problem_details
from api.doorkeeper import COOKIE
from api.examples import example_of
from api.schemas import ProblemDetails, UploadIn, WebhookJobMessage, WebhookTestMessage
from likeness.settings import Settings
from likeness.webhooks import EVENTS
from problems import InvalidParameter

_METHODS = ("get", "head", "post", "put", "patch", "delete")
_WORD_OF_NAME = {
    "add": "create",
    "remove": "delete",
    "change": "update",
    "make": "create",
    "finish": "complete",
}
"""Verbs of the functions behind the routes, and the ones that generated clients use for the same."""
_OPERATION_IDS = {
    "add_recording": "record_consent",
    "review": "review_consent",
    "revoke": "revoke_consent",
    "train": "create_training",
    "list_pictures": "list_inspection_pictures",
    "list_previews": "list_training_previews",
    "download_package": "download_person",
    "check_webhook": "test_webhook",
    "redeliver": "redeliver_webhook",
    "list_deliveries": "list_webhook_deliveries",
    "add_key": "create_api_key",
    "list_keys": "list_api_keys",
    "remove_key": "revoke_api_key",
    "healthz": "get_health",
    "readyz": "get_readiness",
    "metrics": "get_metrics",
}
_PATH_PARAMETERS = {
    "job_id": "Identifier of the job",
    "upload_id": "Identifier of the upload",
    "consent_id": "Identifier of the consent",
    "person_id": "Identifier of the person",
    "number": "Number of the version",
    "batch_id": "Identifier of the batch",
    "deletion_id": "Identifier of the deletion",
    "endpoint_id": "Identifier of the webhook endpoint",
    "delivery_id": "Identifier of the delivery",
    "key_id": "Identifier of the API key",
    "key": "Name of the object, as the signed address has it",
}
_TAGS = {
    "uploads": "Files that are handed in: clips, recordings, consents, videos.",
    "inspections": "Whether a clip can be learned from, and what to do if not.",
    "consents": "A person's agreement, recorded or attested, and its end.",
    "persons": "People who are learned, and the versions of their weights.",
    "trainings": "Jobs that learn a person from a clip.",
    "motions": "Jobs that show how a person would move, before a video is made.",
    "videos": "Jobs that make a person say a recording.",
    "batches": "Many videos at once.",
    "jobs": "Jobs of every kind.",
    "verifications": "Jobs that read the marks of a video.",
    "deletions": "Receipts of what was deleted.",
    "webhooks": "Addresses that are told when a job ends.",
    "account": "Use, limits, estimates and the audit log.",
    "api keys": "API keys and what they may do.",
    "objects": "Signed addresses of stored files, which need no key.",
    "system": "The deployment, for its operator.",
    "health": "Whether the process is alive and can do its work.",
}
_DESCRIPTION = """
**Errors** are `application/problem+json` (RFC 9457): `detail` says what is wrong, `remedy` what to do, `code` names the
kind for programs, `retryable` says whether the same request may succeed later.

**The same request twice**: a `POST` with an `Idempotency-Key` is done once, and answered again as the first time.

**Jobs** (trainings, videos, …) are queued: poll them as `Retry-After` says, follow their events, or enter a webhook
endpoint. **Times** are UTC, **identifiers** opaque.
"""
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    "description": "1 to 255 visible ASCII letters, such as a UUID. The same request with the same key within a day is "
    "done once and answered as the first time, with `Idempotent-Replayed: true`; another request with it is refused.",
}
_HEADERS = {
    "X-Request-Id": {"description": "Finds the request in the service's log", "schema": {"type": "string"}},
    "Retry-After": {
        "description": "Seconds after which asking again is of use; absent once a job has ended",
        "schema": {"type": "integer"},
    },
    "Location": {"description": "Address of what was made", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "`true`: the request was done before, and this is its first answer",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}},
}
_DONE = {"201": "Made", "202": "Taken: it is done in its turn", "204": "Done; the answer is empty"}
_WEBHOOK_HEADERS = {
    "webhook-id": "Identifier of the event: the same at each try, so that a receiver can ignore one it has seen",
    "webhook-timestamp": "Seconds since 1970 at which this try was sent",
    "webhook-signature": "One or several `v1,` signatures with a space between: HMAC-SHA256 of `id.timestamp.body` "
    "with the endpoint's secret, in base64 (Standard Webhooks 1.0)",
}


def describe_api(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """The OpenAPI 3.1 document of ``app``, as it is set up here: its address and whether it wants keys."""
    document = _with_plain_names(FastAPI.openapi(app))
    document["info"]["description"] = _DESCRIPTION.strip()
    document["info"]["license"] = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
    servers = [settings.public_url.rstrip("/")] if settings.public_url else []
    document["servers"] = [{"url": url, "description": "This service"} for url in (*servers, "/")]
    operations = {
        (method, route.path_format): route for route in api_routes(app) for method in methods_of(route)
    }
    used = {tag for route in operations.values() if route.include_in_schema for tag in route.tags}
    document["tags"] = [{"name": tag, "description": _TAGS[str(tag)]} for tag in _TAGS if tag in used]
    _describe_parts(document["components"])
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _describe_operation(operation, method, operations[method, path], path, settings)
    document["webhooks"] = {event: {"post": _webhook(event)} for event in EVENTS}
    _add_examples(document)
    return document


def api_routes(app: FastAPI) -> list[APIRoute]:
    """Every route of ``app``, those of included routers too."""

    def walk(items: Any) -> Iterator[APIRoute]:
        for item in items:
            if isinstance(item, APIRoute):
                yield item
            elif (
                inner := getattr(item, "original_router", None) or getattr(item, "router", None)
            ) is not None:
                yield from walk(inner.routes)

    return list(walk(app.router.routes))


def methods_of(route: APIRoute) -> list[str]:
    """Its methods in small letters."""
    return sorted(method.lower() for method in route.methods or ())


def operation_id(route: APIRoute) -> str:
    """The name of an operation in a generated client, such as ``create_upload``: a verb and a noun."""
    if route.operation_id or route.name in _OPERATION_IDS:
        return route.operation_id or _OPERATION_IDS[route.name]
    verb, _, noun = route.name.partition("_")
    return f"{_WORD_OF_NAME.get(verb, verb)}_{noun}"


def scopes_of(route: APIRoute) -> tuple[str, ...] | None:
    """The scopes any of which the route wants (:func:`api.dependencies.needs`); None when it wants no account."""
    for depends in route.dependencies:
        scopes: tuple[str, ...] | None = getattr(depends.dependency, "likeness_scopes", None)
        if scopes is not None:
            return scopes
    return None


# -- operations ----------------------------------------------------------------------------------------------


def _describe_operation(
    operation: dict[str, Any], method: str, route: APIRoute, path: str, settings: Settings
) -> None:
    name = operation_id(route)
    operation["operationId"] = f"check_{name}" if method == "head" else name
    operation["security"] = _security(scopes_of(route), settings)
    framework = operation["responses"].get("422", {}).get("content", {})
    if "application/json" in framework:
        operation["responses"]["422"] = problem_details.answers(InvalidParameter)[422]
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        if parameter["in"] == "path":
            parameter.setdefault("description", _PATH_PARAMETERS.get(parameter["name"], ""))
    if method == "post" and path.startswith("/v1/"):
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    if not parameters:
        del operation["parameters"]
    for status, answer in operation["responses"].items():
        names = ["X-Request-Id"]
        if status in ("409", "429", "503") or (status in ("200", "202") and "{job_id}" in path):
            names.append("Retry-After")
        if status in ("201", "202") and method == "post":
            names.append("Location")
        if status == "401":
            names.append("WWW-Authenticate")
        if status.startswith("2") and method == "post" and path.startswith("/v1/"):
            names.append("Idempotent-Replayed")
        if answer.get("description") == "Successful Response":
            answer["description"] = _DONE.get(status, "The answer")
        for media_type, part in answer.get("content", {}).items():
            if not part:  # a file: FastAPI names its media type alone
                part["schema"] = {"type": "string"} | ({} if "text/" in media_type else {"format": "binary"})
        headers = answer.setdefault("headers", {})
        for header in names:
            headers.setdefault(header, {"$ref": f"#/components/headers/{header}"})


def _security(scopes: tuple[str, ...] | None, settings: Settings) -> list[dict[str, list[str]]]:
    """Either of the ways to say who asks, each with each of the scopes that will do; none where nobody is asked."""
    if scopes is None:
        return []
    ways = [{way: [scope]} for scope in scopes for way in ("apiKey", "dashboardSession")]
    return ways if settings.auth == "keys" else [{}, *ways]


def _webhook(event: str) -> dict[str, Any]:
    schema = WebhookTestMessage if event == "webhook.test" else WebhookJobMessage
    happened = "A test of an endpoint" if event == "webhook.test" else f"A job ended: `{event}`"
    return {
        "operationId": "on_" + event.replace(".", "_"),
        "summary": happened,
        "description": "Answer with 2xx within 10 seconds. Other answers are tried again after 5 s, 30 s, 2 min, "
        "10 min, 1 h, 6 h and a day; 410 ends it.",
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "schema": {"type": "string"},
                "description": text,
            }
            for name, text in _WEBHOOK_HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema.__name__}"}}},
        },
        "responses": {"2XX": {"description": "Taken"}, "410": {"description": "Gone: it is not tried again"}},
    }


def _with_plain_names(document: dict[str, Any]) -> dict[str, Any]:
    """The document with pages of resources named as their title says: ``UploadList``, not ``ListOut_UploadOut_``."""
    schemas = document["components"]["schemas"]
    names = {name: schema["title"] for name, schema in schemas.items() if name.startswith("ListOut_")}
    document["components"]["schemas"] = {names.get(name, name): schema for name, schema in schemas.items()}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: renamed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [renamed(each) for each in value]
        if isinstance(value, str) and value.startswith("#/components/schemas/ListOut_"):
            base, _, name = value.rpartition("/")
            return f"{base}/{names[name]}"
        return value

    plain: dict[str, Any] = renamed(document)
    return plain


# -- parts ---------------------------------------------------------------------------------------------------


def _describe_parts(components: dict[str, Any]) -> None:
    schemas = components["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for model in (ProblemDetails, UploadIn, WebhookJobMessage, WebhookTestMessage):
        own = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(own.pop("$defs", {}))
        schemas[model.__name__] = own
    components["securitySchemes"] = {
        "apiKey": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "lk_…",
            "description": "A key from `likeness keys create`, the dashboard or `POST /v1/api-keys`. The names beside "
            "an operation are the scopes that the key must have one of; `admin` stands for all of them.",
        },
        "dashboardSession": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "What signing in to the dashboard gave a browser.",
        },
    }
    components["parameters"] = {"IdempotencyKey": _IDEMPOTENCY_KEY}
    components["headers"] = _HEADERS


# -- examples ------------------------------------------------------------------------------------------------


def _add_examples(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for item in (*document["paths"].values(), *document["webhooks"].values()):
        for operation in item.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (body.get("content", {}) for body in bodies):
                for media_type, part in content.items():
                    found = _example(part, schemas) if "json" in media_type else None
                    if found is not None and "examples" not in part:
                        part["example"] = found


def _example(part: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """An example of a body by its schema's name; a list's is made of its item's."""
    schema = part.get("schema", {})
    several = schema.get("oneOf") or schema.get("anyOf") or [schema]
    name = str(several[0].get("$ref", "")).rpartition("/")[2]
    found = example_of(name)
    if found is None and name in schemas and "data" in (fields := schemas[name].get("properties", {})):
        item = _example({"schema": fields["data"].get("items", {})}, schemas)
        found = {"object": "list", "data": [item]}
        if "next_cursor" in fields:
            found["next_cursor"] = None
    return found
