"""Inspections: is this clip fit to learn from? They need no consent, since nothing is learned."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.dependencies import AccountDep, DatabaseDep, StoreDep, needs
from api.problem_details import answers, changes
from api.routes.downloads import FILE_EXPIRES_S
from api.routes.job_routes import add_job_routes
from api.schemas import FileOut, FilesOut, InspectionIn, InspectionOut
from api.views import job_view
from likeness.refusals import QuotaExceeded
from likeness.requests import record_or_refuse, request_inspection
from problems import Conflict, NotFound

router = APIRouter(prefix="/v1/inspections", tags=["inspections"])


@router.post(
    "",
    status_code=202,
    responses=changes(NotFound, Conflict, QuotaExceeded),
    dependencies=[needs("train")],
    summary="Inspect a clip",
)
def add_inspection(
    body: InspectionIn, response: Response, account: AccountDep, database: DatabaseDep
) -> InspectionOut:
    """Queue a look at a clip; it is done before any training or video goes on."""
    job_id = request_inspection(
        database,
        upload_id=body.upload_id,
        audio_track=body.audio_track,
        rotate=body.rotate,
        tenant_id=account.tenant_id,
    )
    response.headers["Location"] = f"/v1/inspections/{job_id}"
    with database.read() as session:
        view = job_view(session, record_or_refuse(session, job_id))
    assert isinstance(view, InspectionOut)
    return view


add_job_routes(router, InspectionOut, "inspection", "train")


@router.get(
    "/{job_id}/pictures",
    responses=answers(NotFound),
    dependencies=[needs("read")],
    summary="The frames that the findings are about",
)
def list_pictures(job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> FilesOut:
    """The names are those that the report's findings have under `pictures`."""
    with database.read() as session:
        job = record_or_refuse(session, job_id, kind="inspection", tenant_id=account.tenant_id)
    output = job.output or {"files": [], "prefix": ""}
    return FilesOut(
        data=[
            FileOut(
                name=file["name"],
                url=store.signed_get(
                    f"{output['prefix']}/{file['name']}", expires_s=FILE_EXPIRES_S, media_type="image/jpeg"
                ),
            )
            for file in output["files"]
            if file["name"].endswith(".jpg")
        ]
    )
