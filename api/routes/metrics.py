"""Measurements for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from api.dependencies import MaybeAccountDep, SeesInsideDep
from likeness.refusals import Unauthenticated

# Not in the schema: it answers no client of the API, and not in JSON.
router = APIRouter(include_in_schema=False)


@router.get("/metrics")
def metrics(request: Request, account: MaybeAccountDep, inside: SeesInsideDep) -> Response:
    """The measurements of :mod:`api.measures` in Prometheus' text format.

    Raises:
        Unauthenticated, Forbidden: neither an admin's key nor the token of those who watch the service.
    """
    if not inside:
        if account is not None:
            account.require("admin")
        raise Unauthenticated(
            "the measurements are for those who run this service",
            remedy="send Authorization: Bearer with LIKENESS_METRICS_TOKEN, or a key with the scope admin",
        )
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)
