"""The API's reference as a page: Swagger UI, from this service's own files."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.dashboard.render import render

router = APIRouter()

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""Swagger UI draws its icons from data: addresses and sets styles as it runs. Nothing comes from another host, and
nothing that the page shows was written by a user."""


@router.get("/docs")
def show_reference(request: Request) -> Response:
    """Every operation of ``/openapi.json``, to be read and tried."""
    page = render(request, "reference.html")
    page.headers["Content-Security-Policy"] = _POLICY
    return page
