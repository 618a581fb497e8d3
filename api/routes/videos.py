"""Videos of a person saying a recording."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from api.dependencies import DatabaseDep, StoreDep
from api.problem_details import answers, changes
from api.routes.downloads import download
from api.routes.job_routes import add_job_routes
from api.schemas import VideoIn, VideoOut
from api.views import job_view, video_file
from likeness.refusals import ConsentMissing
from likeness.requests import record_or_refuse, request_video
from problems import Conflict, NotFound

router = APIRouter(prefix="/v1/videos", tags=["videos"])


@router.post(
    "", status_code=202, responses=changes(NotFound, Conflict, ConsentMissing), summary="Make a video"
)
def add_video(body: VideoIn, response: Response, database: DatabaseDep) -> VideoOut:
    """Queue a video as long as its recording. Poll the answer's `Location`."""
    job_id = request_video(
        database,
        person_id=body.person_id,
        recording_id=body.audio.upload_id,
        pose=body.pose.mode,
        seed=body.pose.seed,
        pose_video_id=body.pose.video_upload_id,
        expression_video_id=body.pose.expression_upload_id,
    )
    response.headers["Location"] = f"/v1/videos/{job_id}"
    with database.read() as session:
        view = job_view(session, record_or_refuse(session, job_id))
    assert isinstance(view, VideoOut)
    return view


@router.get(
    "/{job_id}/download",
    response_class=FileResponse,
    responses={
        200: {"content": {"video/mp4": {}}},
        206: {"description": "The part that the Range header asks for", "content": {"video/mp4": {}}},
        307: {"description": "Where the object store hands it out"},
        **answers(NotFound, Conflict),
    },
    summary="Download a video",
)
def download_video(job_id: str, database: DatabaseDep, store: StoreDep) -> Response:
    """The finished mp4. Answers range requests."""
    with database.read() as session:
        job = record_or_refuse(session, job_id, kind="video")
        entry, status = video_file(job), job.status
    if entry is None:
        raise Conflict(
            f"the video {job_id} is {status}; there is no file of it",
            remedy="poll the video until its status is succeeded",
            details={"status": status},
        )
    return download(store, entry, f"{job_id}.mp4", "video/mp4")


add_job_routes(router, VideoOut, "video")
