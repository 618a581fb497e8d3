"""Errors as RFC 9457 problem details, for every way a request can fail."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from api.schemas import ProblemDetails
from likeness.refusals import (
    Forbidden,
    ForeignOrigin,
    InProgress,
    KeyReused,
    RateLimited,
    Unauthenticated,
    UnknownHost,
)
from likeness.storage_faults import problem_of
from problems import InternalProblem, InvalidParameter, MediaTooLarge, NotFound, Problem

log = logging.getLogger("likeness.api")

MEDIA_TYPE = "application/problem+json"


class MethodNotAllowed(Problem):
    slug, title, status = "method_not_allowed", "The resource does not know this method", 405


def details_of(problem: Problem | Mapping[str, Any], *, request_id: str | None = None) -> ProblemDetails:
    """The problem as the API shows it; a mapping is one that a job's row keeps (``Problem.as_dict``)."""
    facts = problem.as_dict() if isinstance(problem, Problem) else problem
    return ProblemDetails(
        type=f"/help/errors#{facts['slug']}",
        title=facts["title"],
        status=facts["status"],
        detail=facts["message"],
        code=facts["slug"],
        remedy=facts["remedy"],
        retryable=facts["retryable"],
        details=dict(facts["details"]),
        request_id=request_id,
    )


def problem_response(problem: Problem, request_id: str | None) -> JSONResponse:
    """The answer to a request that failed."""
    headers = {"X-Request-Id": request_id} if request_id else {}
    if problem.status in (409, 429, 503) and (problem.retryable or problem.status == 503):
        headers["Retry-After"] = str(max(1, math.ceil(problem.details.get("retry_after_s", 5))))
    if problem.status == 416 and "size" in problem.details:
        headers["Content-Range"] = f"bytes */{problem.details['size']}"
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = details_of(problem, request_id=request_id).model_dump(mode="json")
    return JSONResponse(body, problem.status, headers, MEDIA_TYPE)


def answers(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """The ``responses=`` of a route: each problem it may answer with, by status."""
    always: tuple[type[Problem], ...] = (
        UnknownHost,
        InternalProblem,
        Unauthenticated,
        Forbidden,
        RateLimited,
    )
    by_status: dict[int, list[type[Problem]]] = {}
    for kind in dict.fromkeys((*kinds, *always)):
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": "; ".join(f"`{kind.slug}`: {kind.title}" for kind in group),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                    "examples": {kind.slug: {"value": _example(kind)} for kind in group},
                }
            },
        }
        for status, group in by_status.items()
    }


def changes(*kinds: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """:func:`answers` of a route that changes something, and so refuses other web sites' requests."""
    return answers(ForeignOrigin, MediaTooLarge, InvalidParameter, InProgress, KeyReused, *kinds)


def install(app: FastAPI) -> None:
    """Make every failure of ``app`` answer with problem details."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return respond(request, problem)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        return respond(request, misfit(error.errors()))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return respond(request, _of_http(request, error))

    @app.exception_handler(SQLAlchemyError)
    @app.exception_handler(OSError)
    @app.exception_handler(OverflowError)
    async def _of_storage(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if problem is None:
            raise error
        # Not the error itself, which has a statement's values in it.
        cause = getattr(error, "orig", None) or error
        log.error("request %s failed: %s (%s)", request.scope.get("request_id"), problem, cause)
        return respond(request, problem)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        log.exception("request %s failed", request.scope.get("request_id"), exc_info=error)
        problem = InternalProblem(
            "the request failed unexpectedly",
            remedy="try again; if it happens again, report it with the request id and the service's log",
        )
        return respond(request, problem)


def respond(request: Request, problem: Problem) -> Response:
    """The answer to a request that failed: a page for browsers on pages, else problem details."""
    request.scope["problem_code"] = problem.slug
    request_id = request.scope.get("request_id")
    page = getattr(request.app.state, "error_page", None)
    wants_page = "text/html" in request.headers.get("accept", "")
    if page is not None and wants_page and not request.url.path.startswith("/v1/"):
        answer: Response = page(request, details_of(problem, request_id=request_id))
        return answer
    return problem_response(problem, request_id)


def misfit(
    errors: Sequence[Mapping[str, Any]],
    *,
    whole: str = "the body",
    remedy: str = "correct the named field; /openapi.json lists every field with its range",
) -> InvalidParameter:
    """What pydantic finds wrong with a request, told by its first fault; ``whole`` is named when it is no field's."""
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"] if part != "body"), "message": fault["msg"]}
        for fault in errors
    ]
    first = faults[0] if faults else {"field": "body", "message": "can't be read"}
    return InvalidParameter(
        f"{first['field'] or whole}: {first['message']}",
        remedy=remedy,
        details={"field": first["field"], "faults": faults},
    )


def _of_http(request: Request, error: HTTPException) -> Problem:
    if error.status_code == 404:
        return NotFound(
            f"there is nothing at {request.url.path!r}", remedy="see /openapi.json for every path"
        )
    if error.status_code == 405:
        return MethodNotAllowed(
            f"{request.url.path!r} does not know {request.method}",
            remedy="see /openapi.json for every method",
        )
    if error.status_code >= 500:
        return InternalProblem(str(error.detail), remedy="try again")
    return InvalidParameter(str(error.detail), remedy="correct the request; see /openapi.json")


def _example(kind: type[Problem]) -> dict[str, Any]:
    problem = kind("one sentence that names what is wrong", remedy="one sentence that says what to do")
    return details_of(problem, request_id="req_01").model_dump(mode="json")
