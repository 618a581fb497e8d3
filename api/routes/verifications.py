"""Is this video one of ours? For anybody who must tell what is real from what was made."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api.dependencies import AccountDep, DatabaseDep, needs
from api.problem_details import changes
from api.routes.job_routes import add_job_routes
from api.schemas import VerificationIn, VerificationOut
from api.views import job_view
from likeness.refusals import QuotaExceeded
from likeness.requests import record_or_refuse, request_verification
from problems import Conflict, NotFound

router = APIRouter(prefix="/v1/verifications", tags=["verifications"])


@router.post(
    "",
    status_code=202,
    responses=changes(NotFound, Conflict, QuotaExceeded),
    dependencies=[needs("read")],
    summary="Verify a video",
)
def add_verification(
    body: VerificationIn, response: Response, account: AccountDep, database: DatabaseDep
) -> VerificationOut:
    """Queue a look for the C2PA manifest and the watermark that this service puts into each video."""
    job_id = request_verification(database, upload_id=body.upload_id, tenant_id=account.tenant_id)
    response.headers["Location"] = f"/v1/verifications/{job_id}"
    with database.read() as session:
        view = job_view(session, record_or_refuse(session, job_id))
    assert isinstance(view, VerificationOut)
    return view


add_job_routes(router, VerificationOut, "verification", "read")
