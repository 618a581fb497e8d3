"""All kinds of jobs in one list."""

from __future__ import annotations

from fastapi import APIRouter

from api.routes.job_routes import add_job_routes
from api.schemas import AnyJob

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
add_job_routes(router, AnyJob, None, "train")
