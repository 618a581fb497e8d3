"""Pages and forms. They work without JavaScript; with it, htmx refreshes what runs in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from starlette.concurrency import run_in_threadpool

from api.dependencies import AccountDep, Cursor, DatabaseDep, SettingsDep, StoreDep, WatchDep, needs
from api.receive import receive_upload
from api.schemas import AnyJob, ProblemDetails, Status
from api.views import ACTIVE, job_view, person_view
from likeness import VERSION
from likeness.accounts import Account
from likeness.database import Database
from likeness.deletion import delete_job, delete_person, delete_upload, purge
from likeness.health import checks
from likeness.refusals import (
    ConsentMissing,
    ForeignOrigin,
    NotReady,
    Poisoned,
    UnknownHost,
)
from likeness.repositories.job_records import JobRecords
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import (
    Pose,
    Preset,
    cancel,
    create_person,
    person_or_refuse,
    record_or_refuse,
    request_inspection,
    request_training,
    request_video,
    retry,
)
from likeness.settings import Settings
from likeness.store import ObjectStore
from problems import InvalidParameter, Problem

router = APIRouter()
PRESETS: tuple[Preset, ...] = ("preview", "instant", "standard", "best")
POSES: tuple[Pose, ...] = ("learned", "clip", "still")
Choice = TypeVar("Choice", bound=str)
_HERE = Path(__file__).parent
_templates = Jinja2Templates(directory=_HERE / "templates")

_BRANCHES = (ConsentMissing, ForeignOrigin, NotReady, Poisoned, UnknownHost)
"""Imported so that the page of errors knows them: they join the family where they are defined."""


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _moment(value: datetime | None) -> str:
    return value.strftime("%Y-%m-%d %H:%M UTC") if value else ""


_templates.env.filters.update(bytes=_bytes, duration=_duration, moment=_moment)
_templates.env.globals["version"] = VERSION


def render(request: Request, template: str, code: int = 200, **context: Any) -> HTMLResponse:
    return _templates.TemplateResponse(request, template, context, status_code=code)


def error_page(request: Request, problem: ProblemDetails) -> HTMLResponse:
    """The page of a request that failed."""
    return render(request, "error.html", problem.status, problem=problem)


@router.get("/", dependencies=[needs("read")])
def home(
    request: Request, account: AccountDep, database: DatabaseDep, settings: SettingsDep, watch: WatchDep
) -> Response:
    with database.read() as session:
        people = PersonRepository(session).page(limit=60, cursor=None, tenant_id=account.tenant_id).rows
        latest = JobRepository(session).latest_of_people([person.id for person in people], "training")
        cards = [person_view(person, latest.get(person.id)) for person in people]
        jobs = [
            job_view(session, job)
            for job in JobRecords(session).page(limit=8, cursor=None, tenant_id=account.tenant_id).rows
        ]
    trouble = [check for check in checks(database, settings, watch) if not check.ok]
    names = {card.id: card.name for card in cards}
    return render(request, "home.html", people=cards, jobs=jobs, names=names, trouble=trouble)


@router.post("/people", dependencies=[needs("train")])
async def add_person(
    request: Request, account: AccountDep, database: DatabaseDep, settings: SettingsDep, store: StoreDep
) -> Response:
    """The form has the clip and the person in one: upload, enter, train."""
    upload, fields = await receive_upload(
        request, settings, database, store, purpose="clip", tenant_id=account.tenant_id
    )

    def start() -> str:
        preset = _choice(fields, "preset", PRESETS, "preview")
        person = create_person(
            database,
            name=fields.get("name", ""),
            consent_subject=fields.get("subject_name", ""),
            attested=fields.get("attested") == "yes",
            tenant_id=account.tenant_id,
        )
        request_training(
            database,
            person_id=person.id,
            upload_id=upload.id,
            preset=preset,
            seed=0,
            tenant_id=account.tenant_id,
            recorded=settings.consent == "recorded",
        )
        return person.id

    person_id = await run_in_threadpool(_or_drop, start, upload.id, database, store, settings)
    return _see(f"/people/{person_id}")


@router.get("/people/{person_id}", dependencies=[needs("read")])
def show_person(request: Request, person_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    return _person_page(request, person_id, account, database, "person.html")


@router.get("/people/{person_id}/activity", dependencies=[needs("read")])
def person_activity(request: Request, person_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    """The part of the page that changes while jobs run."""
    return _person_page(request, person_id, account, database, "activity.html")


def _person_page(
    request: Request, person_id: str, account: Account, database: Database, template: str
) -> Response:
    with database.read() as session:
        person = person_or_refuse(session, person_id, usable=False, tenant_id=account.tenant_id)
        rows = JobRecords(session).of_person(person_id)
        jobs = [job_view(session, job) for job in rows]
        latest = next((job for job in rows if job.kind == "training"), None)
        card = person_view(person, latest)
    trainings = [job for job in jobs if job.object == "training"]
    videos = [job for job in jobs if job.object == "video"]
    active = any(job.status in ACTIVE for job in jobs)
    response = render(
        request, template, person=card, trainings=trainings, videos=videos, names={}, active=active
    )
    if template == "activity.html" and not active:
        response.headers["HX-Refresh"] = "true"  # the form to make a video may have become of use
    return response


@router.post("/people/{person_id}/videos", dependencies=[needs("render")])
async def add_video(
    request: Request,
    person_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    store: StoreDep,
) -> Response:
    upload, fields = await receive_upload(
        request, settings, database, store, purpose="recording", tenant_id=account.tenant_id
    )

    def start() -> str:
        pose = _choice(fields, "pose", POSES, "learned")
        seed = fields.get("seed", "0") or "0"
        if not seed.isdecimal() or int(seed) >= 2**31:
            raise InvalidParameter(
                "the seed is not a whole number", remedy="use a number from 0 to 2147483647"
            )
        return request_video(
            database,
            person_id=person_id,
            recording_id=upload.id,
            pose=pose,
            seed=int(seed),
            tenant_id=account.tenant_id,
        )

    await run_in_threadpool(_or_drop, start, upload.id, database, store, settings)
    return _see(f"/people/{person_id}")


@router.post("/people/{person_id}/delete", dependencies=[needs("train")])
def remove_person(
    person_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep, settings: SettingsDep
) -> Response:
    delete_person(database, person_id, tenant_id=account.tenant_id)
    purge(database, store, settings)
    return _see("/")


@router.get("/jobs", dependencies=[needs("read")])
def list_jobs(
    request: Request,
    account: AccountDep,
    database: DatabaseDep,
    status: Status | None = None,
    cursor: Cursor = None,
) -> Response:
    with database.read() as session:
        page = JobRecords(session).page(limit=25, cursor=cursor, status=status, tenant_id=account.tenant_id)
        jobs = [job_view(session, job) for job in page.rows]
        names = PersonRepository(session).names({job.person_id for job in page.rows if job.person_id})
    return render(request, "jobs.html", jobs=jobs, names=names, status=status, next_cursor=page.next_cursor)


@router.get("/jobs/{job_id}", dependencies=[needs("read")])
def show_job(request: Request, job_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    job = _job(database, account, job_id)
    return render(request, "job.html", job=job, names={}, active=job.status in ACTIVE)


@router.get("/jobs/{job_id}/card", dependencies=[needs("read")])
def job_card(request: Request, job_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    """The part of the page that changes while the job runs."""
    job = _job(database, account, job_id)
    response = render(request, "job_card.html", job=job, names={}, active=job.status in ACTIVE)
    if job.status not in ACTIVE:
        response.headers["HX-Refresh"] = "true"
    return response


def _job(database: Database, account: Account, job_id: str) -> AnyJob:
    with database.read() as session:
        return job_view(session, record_or_refuse(session, job_id, tenant_id=account.tenant_id))


@router.post("/jobs/{job_id}/cancel", dependencies=[needs("train")])
def cancel_job(job_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    cancel(database, job_id, tenant_id=account.tenant_id)
    return _see(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/retry", dependencies=[needs("train")])
def retry_job(
    job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep, settings: SettingsDep
) -> Response:
    retry(database, store, settings, job_id, tenant_id=account.tenant_id)
    return _see(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/delete", dependencies=[needs("train")])
def remove_job(
    job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep, settings: SettingsDep
) -> Response:
    person_id = getattr(_job(database, account, job_id), "person_id", None)
    delete_job(database, job_id, tenant_id=account.tenant_id)
    purge(database, store, settings)
    return _see(f"/people/{person_id}" if person_id else "/jobs")


@router.post("/inspections", dependencies=[needs("train")])
async def inspect(
    request: Request, account: AccountDep, database: DatabaseDep, settings: SettingsDep, store: StoreDep
) -> Response:
    upload, _ = await receive_upload(
        request, settings, database, store, purpose="clip", tenant_id=account.tenant_id
    )
    job_id = await run_in_threadpool(
        lambda: request_inspection(database, upload_id=upload.id, tenant_id=account.tenant_id)
    )
    return _see(f"/jobs/{job_id}")


@router.post("/inspections/{job_id}/train", dependencies=[needs("train")])
def train_inspected(
    job_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    name: Annotated[str, Form(max_length=200)],
    subject_name: Annotated[str, Form(max_length=200)],
    attested: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """Enter a person with a clip that was inspected, and train."""
    job = _job(database, account, job_id)
    upload_id = getattr(job, "upload_id", None)
    if upload_id is None:
        raise InvalidParameter("the inspected clip was deleted", remedy="upload the clip again")
    person = create_person(
        database,
        name=name,
        consent_subject=subject_name,
        attested=attested == "yes",
        tenant_id=account.tenant_id,
    )
    request_training(
        database,
        person_id=person.id,
        upload_id=upload_id,
        preset="preview",
        seed=0,
        tenant_id=account.tenant_id,
        recorded=settings.consent == "recorded",
    )
    return _see(f"/people/{person.id}")


@router.get("/help/errors")
def explain_errors(request: Request) -> Response:
    """Every kind of error; the ``type`` of a problem points here."""
    return render(request, "errors.html", kinds=sorted(_family(Problem), key=lambda kind: kind.slug))


def _family(kind: type[Problem]) -> list[type[Problem]]:
    return [member for child in kind.__subclasses__() for member in (child, *_family(child))]


def _choice(fields: Mapping[str, str], name: str, known: tuple[Choice, ...], default: Choice) -> Choice:
    given = fields.get(name, default)
    for choice in known:
        if choice == given:
            return choice
    raise InvalidParameter(
        f"{name} {given!r} is not known", remedy=f"use one of {', '.join(known)}", details={"field": name}
    )


def _or_drop(
    start: Callable[[], str], upload_id: str, database: Database, store: ObjectStore, settings: Settings
) -> str:
    """Run ``start``; when it refuses, the file that came with the form is not kept either."""
    try:
        return start()
    except Problem:
        delete_upload(database, upload_id)
        purge(database, store, settings)
        raise


def _see(path: str) -> RedirectResponse:
    return RedirectResponse(path, 303)
