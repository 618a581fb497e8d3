"""Videos of a person saying a recording."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.dependencies import AccountDep, DatabaseDep, SettingsDep, StoreDep, needs
from api.problem_details import changes
from api.routes.downloads import download, file_answers
from api.routes.job_routes import add_job_routes
from api.routes.uploads import fetch_upload
from api.schemas import AudioIn, DryRunOut, PoseIn, VideoIn, VideoOut
from api.views import job_view, output_file, video_file
from likeness.accounts import Account
from likeness.database import Database
from likeness.refusals import ConsentMissing, FetchFailed, FetchRefused, NothingToFetch, QuotaExceeded
from likeness.requests import THUMBNAIL, record_or_refuse, request_video
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
) -> str:
    """Check a request for a video and queue it; returns the job's id, or nothing of use for a dry run."""
    if body.dry_run:
        sound = uploaded(body)
    else:
        sound = recording_id(body.audio, account, settings, database, store)
    return request_video(database, **wanted(body, sound), tenant_id=account.tenant_id, dry_run=body.dry_run)


def wanted(body: VideoIn, sound: str) -> dict[str, Any]:
    """What :func:`likeness.requests.request_video` is told of a video whose sound is the upload ``sound``."""
    return {
        "person_id": body.person_id,
        "recording_id": sound,
        "pose": body.pose.mode,
        "seed": body.pose.seed,
        "pose_video_id": body.pose.video_upload_id,
        "expression_video_id": body.pose.expression_upload_id,
        "options": {
            **moved(body.pose),
            **heard(body.audio),
            "output": body.output.picture,
            "format": body.output.format,
            "height": body.output.height,
            "fps": body.output.fps,
            "crf": body.output.crf,
            "preset": body.preset,
            "title": body.title.strip(),
        },
        "labels": body.metadata,
    }


def uploaded(body: VideoIn) -> str:
    """The upload with the sound of a video for which nothing is fetched."""
    if body.audio.url is not None:
        raise InvalidParameter(
            "an address is not fetched for a dry run or a batch",
            remedy="upload the recording first: POST /v1/uploads with source_url",
            details={"field": "audio.url"},
        )
    return _upload_id(body.audio)


def recording_id(
    audio: AudioIn, account: Account, settings: Settings, database: Database, store: ObjectStore
) -> str:
    """The upload with the sound; what is named by its address is fetched."""
    if audio.url is None or audio.upload_id is not None:
        return _upload_id(audio)
    return fetch_upload(audio.url, "recording", account, settings, database, store).id


def _upload_id(audio: AudioIn) -> str:
    if audio.upload_id is None or audio.url is not None:
        raise InvalidParameter(
            "the sound is either an upload or an address",
            remedy="send audio.upload_id or audio.url",
            details={"field": "audio"},
        )
    return audio.upload_id


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
    response_class=Response,
    responses=file_answers(*MEDIA_TYPES.values()),
    dependencies=[needs("read")],
    summary="Download a video",
)
def download_video(
    request: Request, job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    """The finished video in the format that was asked for. Answers range requests and conditional ones, and `HEAD`."""
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
    return download(store, entry, f"{job_id}.{suffix}", MEDIA_TYPES[suffix], request)


@router.get(
    "/{job_id}/thumbnail",
    response_class=Response,
    responses=file_answers("image/jpeg"),
    dependencies=[needs("read")],
    summary="Download a small picture of a video",
)
def download_thumbnail(
    request: Request, job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    """The frame in the middle, at most 320 pixels wide and high."""
    with database.read() as session:
        job = record_or_refuse(session, job_id, kind="video", tenant_id=account.tenant_id)
        entry, status = output_file(job, THUMBNAIL), job.status
    if entry is None:
        raise Conflict(
            f"the video {job_id} is {status}; there is no picture of it",
            remedy=f"poll GET /v1/videos/{job_id} until its thumbnail is not null",
            details={"status": status},
        )
    return download(store, entry, f"{job_id}.jpg", "image/jpeg", request)


add_job_routes(router, VideoOut, "video", "render")
