"""All pages. They work without JavaScript; with it, uploads go on after an interruption and what runs is live."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.dashboard import account, clips, consents, jobs, people, reference, videos, webhooks
from api.dashboard.render import error_page, render
from likeness.refusals import (
    ConsentMissing,
    ForeignOrigin,
    NotReady,
    Poisoned,
    UnknownHost,
)
from problems import Problem

__all__ = ["error_page", "router"]

_BRANCHES = (ConsentMissing, ForeignOrigin, NotReady, Poisoned, UnknownHost)
"""Imported so that the page of errors knows them: they join the family where they are defined."""

router = APIRouter()
for _module in (people, videos, jobs, clips, consents, webhooks, account, reference):
    router.include_router(_module.router)


@router.get("/help/errors")
def explain_errors(request: Request) -> Response:
    """Every kind of error; the ``type`` of a problem points here."""
    return render(request, "errors.html", kinds=sorted(_family(Problem), key=lambda kind: kind.slug))


def _family(kind: type[Problem]) -> list[type[Problem]]:
    return [member for child in kind.__subclasses__() for member in (child, *_family(child))]
