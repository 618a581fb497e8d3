"""Videos of a person saying a recording."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from api.dependencies import AccountDep, DatabaseDep, SettingsDep, StoreDep, needs
from api.problem_details import answers, changes
from api.routes.downloads import download
from api.routes.job_routes import add_job_routes
from api.routes.uploads import fetch_upload
from api.schemas import AudioIn, DryRunOut, PoseIn, VideoIn, VideoOut
from api.views import job_view, video_file
from likeness.accounts import Account
from likeness.database import Database
from likeness.refusals import ConsentMissing, FetchFailed, FetchRefused, NothingToFetch, QuotaExceeded
from likeness.requests import record_or_refuse, request_video
from likeness.settings import Settings
from likeness.store import ObjectStore
from problems import Conflict, InvalidParameter, NotFound

router = APIRouter(prefix="/v1/videos", tags=["videos"])
MEDIA_TYPES = {"mp4": "video/mp4", "webm": "video/webm", "mov": "video/quicktime"}


@router.post(
    "",
    status_code=202,
    response_model=VideoOut,
    responses={
        200: {"model": DryRunOut, "description": "With dry_run: nothing is wrong with it"},
        **changes(
            NotFound, Conflict, ConsentMissing, QuotaExceeded, FetchRefused, NothingToFetch, FetchFailed
        ),
    },
    dependencies=[needs("render")],
    summary="Make a video",
)
def add_video(
    body: VideoIn,
    response: Response,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
) -> Any:
    """Queue a video, as long as its recording (but see `pose.length_mismatch`).

    Poll the answer's `Location`, or follow its events.
    """
    job_id = start_video(body, account, settings, database, store)
    if body.dry_run:
        return Response(DryRunOut(items=1, errors=[]).model_dump_json(), 200, media_type="application/json")
    response.headers["Location"] = f"/v1/videos/{job_id}"
    with database.read() as session:
        return job_view(session, record_or_refuse(session, job_id))


def start_video(
    body: VideoIn,
    account: Account,
    settings: Settings,
    database: Database,
    store: ObjectStore,
    *,
    batch_id: str | None = None,
    dry_run: bool = False,
) -> str:
    """Check a request for a video and queue it; returns the job's id, or nothing of use for a dry run."""
    dry_run = dry_run or body.dry_run
    if dry_run and body.audio.url is not None:
        raise InvalidParameter(
            "an address is not fetched for a dry run",
            remedy="upload the recording first: POST /v1/uploads with source_url",
            details={"field": "audio.url"},
        )
    return request_video(
        database,
        person_id=body.person_id,
        recording_id=recording_id(body.audio, account, settings, database, store),
        pose=body.pose.mode,
        seed=body.pose.seed,
        pose_video_id=body.pose.video_upload_id,
        expression_video_id=body.pose.expression_upload_id,
        options={
            **moved(body.pose),
            **heard(body.audio),
            "output": body.output.picture,
            "format": body.output.format,
            "height": body.output.height,
            "fps": body.output.fps,
            "crf": body.output.crf,
            "preset": body.preset,
        },
        labels=body.metadata,
        batch_id=batch_id,
        tenant_id=account.tenant_id,
        dry_run=dry_run,
    )


def recording_id(
    audio: AudioIn, account: Account, settings: Settings, database: Database, store: ObjectStore
) -> str:
    """The upload with the sound; what is named by its address is fetched."""
    if (audio.upload_id is None) == (audio.url is None):
        raise InvalidParameter(
            "the sound is either an upload or an address",
            remedy="send audio.upload_id or audio.url",
            details={"field": "audio"},
        )
    if audio.upload_id is not None:
        return audio.upload_id
    assert audio.url is not None
    return fetch_upload(audio.url, "recording", account, settings, database, store).id


def moved(pose: PoseIn) -> dict[str, Any]:
    """The stage's parameters that say how the motion is led, and how strong it is."""
    return {
        "length_mismatch": pose.length_mismatch,
        "face": pose.face.model_dump() if pose.face else None,
        "head_strength": pose.head_strength,
        "lip_strength": pose.lip_strength,
        "smoothing": pose.smoothing,
    }


def heard(audio: AudioIn) -> dict[str, Any]:
    """The stage's parameters that say which sound of a file is listened to."""
    return {} if audio.track is None else {"audio_track": audio.track}


@router.get(
    "/{job_id}/download",
    response_class=FileResponse,
    responses={
        200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}},
        206: {"description": "The part that the Range header asks for", "content": {"video/mp4": {}}},
        307: {"description": "Where the object store hands it out"},
        **answers(NotFound, Conflict),
    },
    dependencies=[needs("read")],
    summary="Download a video",
)
def download_video(job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> Response:
    """The finished video in the format that was asked for. Answers range requests."""
    with database.read() as session:
        job = record_or_refuse(session, job_id, kind="video", tenant_id=account.tenant_id)
        entry, status = video_file(job), job.status
    if entry is None:
        raise Conflict(
            f"the video {job_id} is {status}; there is no file of it",
            remedy=f"poll GET /v1/videos/{job_id} until its status is succeeded",
            details={"status": status},
        )
    suffix = str(entry["name"]).rpartition(".")[2]
    return download(store, entry, f"{job_id}.{suffix}", MEDIA_TYPES[suffix])


add_job_routes(router, VideoOut, "video", "render")
