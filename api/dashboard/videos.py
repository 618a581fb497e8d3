"""Making a video, and looking at it beside the person's own clip."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.dashboard.forms import choice, parsed, receive_form, see
from api.dashboard.render import render
from api.dependencies import AccountDep, DatabaseDep, SettingsDep, StoreDep, needs
from api.routes.downloads import FILE_EXPIRES_S
from api.routes.videos import start_video
from api.schemas import VideoIn
from api.views import person_view
from likeness.repositories.job_records import JobRecords
from likeness.requests import Pose, person_or_refuse, upload_or_refuse
from problems import Conflict, NotFound

router = APIRouter()
POSES: tuple[Pose, ...] = ("learned", "clip", "still")
_NOT_LEARNED = "train them first: the person's page has a form for a clip"


@router.get("/people/{person_id}/videos/new", dependencies=[needs("render")])
def new_video(request: Request, person_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    with database.read() as session:
        person = person_view(person_or_refuse(session, person_id, tenant_id=account.tenant_id), None)
    if person.weights is None:
        raise Conflict(f"{person.name} has not been learned yet", remedy=_NOT_LEARNED)
    return render(request, "video_new.html", person=person)


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
    sent = await receive_form(request, account, settings, database, store, purpose="recording")

    def start() -> str:
        fields = sent.fields
        pose = {
            "mode": choice(fields, "pose", POSES, "learned"),
            **{
                name: fields[name]
                for name in ("seed", "head_strength", "lip_strength", "smoothing")
                if fields.get(name)
            },
        }
        body = parsed(
            VideoIn,
            {
                "person_id": person_id,
                "audio": {"upload_id": sent.upload_id},
                "pose": pose,
                "output": {"picture": fields.get("picture") or "frame"},
                "preset": fields.get("preset"),
            },
        )
        return start_video(body, account, settings, database, store)

    return see(f"/jobs/{await sent.start(start, database, store, settings)}")


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
