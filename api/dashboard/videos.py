"""Making a video, the preview of its motion before it, and looking at it beside the person's own clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.dashboard.forms import Sent, choice, parsed, receive_form, see
from api.dashboard.jobs import job_of
from api.dashboard.render import render
from api.dependencies import AccountDep, DatabaseDep, SettingsDep, StoreDep, needs
from api.routes.downloads import FILE_EXPIRES_S
from api.routes.motions import start_motion
from api.routes.videos import start_video
from api.schemas import MotionIn, MotionOut, PoseOut, VideoIn
from api.views import ACTIVE, person_view, upload_view
from likeness.accounts import Account
from likeness.database import Database
from likeness.deletion import delete_upload
from likeness.repositories.job_records import JobRecords
from likeness.repositories.uploads import UploadRepository
from likeness.requests import Pose, person_or_refuse, record_or_refuse, upload_or_refuse
from problems import Conflict, InvalidParameter, NotFound

router = APIRouter()
POSES: tuple[Pose, ...] = ("learned", "clip", "still", "reference")
_OUTPUT = ("picture", "format", "height", "fps", "crf")
_POSE_FILE = {"pose_file": "video"}
_NOT_LEARNED = "train them first: the person's page has a form for a clip"


@router.get("/people/{person_id}/videos/new", dependencies=[needs("render")])
def new_video(
    request: Request,
    person_id: str,
    account: AccountDep,
    database: DatabaseDep,
    motion: str = Query(default="", max_length=64),
) -> Response:
    """The form; with ``motion`` as it was when that preview was asked for."""
    with database.read() as session:
        person = person_view(person_or_refuse(session, person_id, tenant_id=account.tenant_id), None)
    if person.weights is None:
        raise Conflict(f"{person.name} has not been learned yet", remedy=_NOT_LEARNED)
    before = _motion(database, account, motion) if motion else None
    if before is None:
        return render(request, "video_new.html", person=person, pose=PoseOut())
    with database.read() as session:
        uploads = UploadRepository(session)
        found = [
            uploads.get(upload_id) if upload_id else None
            for upload_id in (before.audio_upload_id, before.pose.video_upload_id)
        ]
        recording, pose_video = (upload_view(upload) if upload else None for upload in found)
    return render(
        request, "video_new.html", person=person, pose=before.pose, recording=recording, pose_video=pose_video
    )


@router.post("/people/{person_id}/videos", dependencies=[needs("render")])
async def add_video(
    request: Request,
    person_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    store: StoreDep,
) -> Response:
    """Leads to the video's own page, where it is watched as it is made."""
    sent = await receive_form(
        request, account, settings, database, store, purpose="recording", also=_POSE_FILE
    )

    def start() -> str:
        body = parsed(
            VideoIn,
            {
                **_spoken(sent, person_id, database),
                "output": {name: sent.fields[name] for name in _OUTPUT if sent.fields.get(name)},
                "preset": sent.fields.get("preset"),
                "title": sent.fields.get("title") or "",
            },
        )
        return start_video(body, account, settings, database, store)

    return see(f"/jobs/{await sent.start(start, database, store, settings)}")


@router.post("/people/{person_id}/motions", dependencies=[needs("render")])
async def add_motion(
    request: Request,
    person_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    store: StoreDep,
) -> Response:
    """The same form, for a preview: leads to the preview's own page, or is answered with what is shown of it in this
    one, where the form's script asked.
    """
    sent = await receive_form(
        request, account, settings, database, store, purpose="recording", also=_POSE_FILE
    )

    def start() -> str:
        body = parsed(MotionIn, _spoken(sent, person_id, database))
        return start_motion(body, account, settings, database, store)

    job_id = await sent.start(start, database, store, settings)
    if request.headers.get("hx-request") == "true":
        return await run_in_threadpool(show_motion, request, job_id, account, database)
    return see(f"/jobs/{job_id}")


@router.get("/jobs/{job_id}/motion", dependencies=[needs("read")])
def show_motion(request: Request, job_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    """How far a preview is, and the preview: a part of the page that it was asked for on."""
    job = _motion(database, account, job_id)
    return render(request, "motion.html", job=job, active=job.status in ACTIVE)


def _motion(database: Database, account: Account, job_id: str) -> MotionOut:
    with database.read() as session:
        record_or_refuse(session, job_id, kind="motion", tenant_id=account.tenant_id)
    job = job_of(database, account, job_id)
    assert isinstance(job, MotionOut)
    return job


def _spoken(sent: Sent, person_id: str, database: Database) -> dict[str, Any]:
    """What a video and its preview have in common, as a request's body has it."""
    fields, other = sent.fields, sent.uploads.get("pose_file")
    pose: dict[str, Any] = {"mode": choice(fields, "pose", POSES, "learned")}
    for name in ("seed", "head_strength", "lip_strength", "smoothing"):
        if fields.get(name):
            pose[name] = fields[name]
    if pose["mode"] in ("clip", "reference") and fields.get("length_mismatch"):
        pose["length_mismatch"] = fields["length_mismatch"]
    if pose["mode"] == "reference":
        if other is None:
            raise InvalidParameter(
                "no video was chosen to take the head movement from",
                remedy="choose one in the field for it, or another head movement",
                details={"field": "pose_file"},
            )
        pose["video_upload_id"] = other
        if fields.get("face_x") or fields.get("face_y"):
            pose["face"] = {"x": _share(fields, "face_x"), "y": _share(fields, "face_y")}
        if fields.get("expressions") == "yes":
            pose["expression_upload_id"] = other
    elif other in sent.came_along:
        delete_upload(database, other)  # chosen before the mode was changed: nobody would know of it
    return {"person_id": person_id, "audio": {"upload_id": sent.upload_id}, "pose": pose}


def _share(fields: Mapping[str, str], name: str) -> float:
    """A field in percent, as a share."""
    try:
        return float(fields[name]) / 100
    except (KeyError, ValueError) as error:
        raise InvalidParameter(
            "the place of the face needs two numbers from 0 to 100",
            remedy="fill in both fields, or neither",
            details={"field": name},
        ) from error


@router.get("/people/{person_id}/clip", dependencies=[needs("read")])
def show_clip(person_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> Response:
    """The clip that the person was learned from, for the comparison; of several trainings the newest that ended
    well."""
    with database.read() as session:
        person_or_refuse(session, person_id, tenant_id=account.tenant_id)
        learned = [
            job.input_id("clip")
            for job in JobRecords(session).of_person(person_id)
            if job.kind == "training" and job.status == "succeeded"
        ]
        if not learned or learned[0] is None:
            raise NotFound("the clip is not there any more", remedy="watch the video by itself")
        upload = upload_or_refuse(session, learned[0], tenant_id=account.tenant_id)
    kind = upload.media_type if upload.media_type.startswith("video/") else "video/mp4"
    return see(store.signed_get(upload.object_key, expires_s=FILE_EXPIRES_S, media_type=kind))
