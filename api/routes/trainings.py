"""Trainings; they are started under their person."""

from __future__ import annotations

from fastapi import APIRouter

from api.routes.job_routes import add_job_routes
from api.schemas import TrainingOut

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])
add_job_routes(router, TrainingOut, "training")
