"""Trainings; they are started under their person."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import AccountDep, DatabaseDep, StoreDep, needs
from api.problem_details import answers
from api.routes.downloads import FILE_EXPIRES_S
from api.routes.job_routes import add_job_routes
from api.schemas import FileOut, FilesOut, TrainingOut
from likeness.repositories.artifacts import ArtifactRepository
from likeness.requests import record_or_refuse
from problems import NotFound

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])
add_job_routes(router, TrainingOut, "training", "train")


@router.get(
    "/{job_id}/previews",
    responses=answers(NotFound),
    dependencies=[needs("read")],
    summary="Held-out frames beside what is drawn of them",
)
def list_previews(job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> FilesOut:
    """Pictures, oldest first, as the training goes on; frames that it does not learn from."""
    with database.read() as session:
        job = record_or_refuse(session, job_id, kind="training", tenant_id=account.tenant_id)
        # While it runs they lie by themselves; afterwards they are among what the stage has committed.
        committed = ArtifactRepository(session).of_stage(job.id, "render")
    keys = list(store.keys(f"people/{job.person_id}/previews/{job.id}"))
    if committed is not None:
        keys += [f"{committed.prefix}/{file['name']}" for file in committed.manifest["files"]]
    files = [
        FileOut(
            name=key.rpartition("/")[2],
            url=store.signed_get(key, expires_s=FILE_EXPIRES_S, media_type="image/jpeg"),
        )
        for key in keys
        if key.rpartition("/")[2].startswith("preview-")
    ]
    return FilesOut(data=sorted(files, key=lambda file: (len(file.name), file.name)))
