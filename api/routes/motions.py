"""Previews of how a person moves while saying a recording: the bare head, before a video is made.

They are derived from the person, so they need the consent that a video needs. They show nobody's likeness but a grey
head's, so they carry no marks.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.dependencies import AccountDep, DatabaseDep, SettingsDep, StoreDep, needs
from api.problem_details import changes
from api.routes.downloads import download, file_answers
from api.routes.job_routes import add_job_routes
from api.routes.videos import heard, moved, recording_id
from api.schemas import MotionIn, MotionOut
from api.views import MOTION_FILES, job_view, output_file
from likeness.accounts import Account
from likeness.database import Database
from likeness.refusals import ConsentMissing, FetchFailed, FetchRefused, NothingToFetch, QuotaExceeded
from likeness.requests import record_or_refuse, request_motion
from likeness.settings import Settings
from likeness.store import ObjectStore
from problems import Conflict, NotFound

router = APIRouter(prefix="/v1/motions", tags=["motions"])


@router.post(
    "",
    status_code=202,
    responses=changes(
        NotFound, Conflict, ConsentMissing, QuotaExceeded, FetchRefused, NothingToFetch, FetchFailed
    ),
    dependencies=[needs("render")],
    summary="Preview a motion",
)
def add_motion(
    body: MotionIn,
    response: Response,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
) -> MotionOut:
    """Queue the motion that a video of this person, sound and pose would have: seconds of work instead of minutes. Poll
    the answer's `Location`, or follow its events; then send its `pose` as that of a video."""
    job_id = start_motion(body, account, settings, database, store)
    response.headers["Location"] = f"/v1/motions/{job_id}"
    with database.read() as session:
        view = job_view(session, record_or_refuse(session, job_id))
    assert isinstance(view, MotionOut)
    return view


def start_motion(
    body: MotionIn, account: Account, settings: Settings, database: Database, store: ObjectStore
) -> str:
    """Check a request for a motion and queue it; returns the job's id."""
    return request_motion(
        database,
        person_id=body.person_id,
        recording_id=recording_id(body.audio, account, settings, database, store),
        pose=body.pose.mode,
        seed=body.pose.seed,
        pose_video_id=body.pose.video_upload_id,
        expression_video_id=body.pose.expression_upload_id,
        options={**moved(body.pose), **heard(body.audio)},
        labels=body.metadata,
        tenant_id=account.tenant_id,
    )


def _add_file_route(what: str, media_type: str, summary: str) -> None:
    suffix = MOTION_FILES[what].rpartition(".")[2]

    @router.get(
        f"/{{job_id}}/{what}",
        response_class=Response,
        responses=file_answers(media_type),
        dependencies=[needs("read")],
        summary=summary,
        operation_id=f"download_motion_{what}",
        name=f"download_motion_{what}",
    )
    def download_file(
        request: Request, job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep
    ) -> Response:
        """Once it has succeeded. Answers range requests and conditional ones, and `HEAD`."""
        with database.read() as session:
            job = record_or_refuse(session, job_id, kind="motion", tenant_id=account.tenant_id)
            entry, status = output_file(job, MOTION_FILES[what]), job.status
        if entry is None:
            raise Conflict(
                f"the motion {job_id} is {status}; there is no {what} of it",
                remedy=f"poll GET /v1/motions/{job_id} until its status is succeeded",
                details={"status": status},
            )
        return download(store, entry, f"{job_id}.{suffix}", media_type, request)


_add_file_route("preview", "video/mp4", "The bare head as it moves, with the sound")
_add_file_route("curves", "image/png", "The head's turns and the jaw over time, drawn")
_add_file_route("track", "application/octet-stream", "The motion as numbers (safetensors)")

add_job_routes(router, MotionOut, "motion", "render")
