"""Inspections: is this clip fit to learn from? They need no consent, since nothing is learned."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.dependencies import DatabaseDep
from api.problem_details import changes
from api.routes.job_routes import add_job_routes
from api.schemas import InspectionIn, InspectionOut
from api.views import job_view
from likeness.requests import record_or_refuse, request_inspection
from problems import NotFound

router = APIRouter(prefix="/v1/inspections", tags=["inspections"])


@router.post("", status_code=202, responses=changes(NotFound), summary="Inspect a clip")
def add_inspection(body: InspectionIn, response: Response, database: DatabaseDep) -> InspectionOut:
    """Queue a look at a clip; it is done before any training or video goes on."""
    job_id = request_inspection(database, upload_id=body.upload_id)
    response.headers["Location"] = f"/v1/inspections/{job_id}"
    with database.read() as session:
        view = job_view(session, record_or_refuse(session, job_id))
    assert isinstance(view, InspectionOut)
    return view


add_job_routes(router, InspectionOut, "inspection")
