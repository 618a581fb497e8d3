"""Jobs: the list, one as it runs, and its pictures."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from api.dashboard.consents import teaching_consents
from api.dashboard.forms import see
from api.dashboard.presets import preset_choices
from api.dashboard.reading import ACCEPTABLE
from api.dashboard.render import render
from api.dependencies import AccountDep, Cursor, DatabaseDep, SettingsDep, StoreDep, needs
from api.routes.deleting import purge_quietly
from api.routes.downloads import FILE_EXPIRES_S
from api.routes.job_routes import require_change, scope_of
from api.routes.trainings import list_previews
from api.schemas import AnyJob, InspectionOut, Status
from api.views import ACTIVE, job_view
from likeness.accounts import Account
from likeness.database import Database
from likeness.deletion import delete_job
from likeness.repositories.consents import ConsentRepository
from likeness.repositories.job_records import JobRecord, JobRecords
from likeness.repositories.people import PersonRepository
from likeness.requests import cancel, record_or_refuse, retry
from likeness.store import ObjectStore
from problems import NotFound

router = APIRouter()
KindFilter = Literal["", "training", "video", "motion", "inspection", "consent", "verification"]
_PICTURES = {"jpg": "image/jpeg", "png": "image/png"}


@router.get("/jobs", dependencies=[needs("read")])
def list_jobs(
    request: Request,
    account: AccountDep,
    database: DatabaseDep,
    kind: KindFilter = "",
    status: Status | Literal[""] = "",
    person_id: str = Query(default="", max_length=64),
    cursor: Cursor = None,
) -> Response:
    with database.read() as session:
        page = JobRecords(session).page(
            limit=25,
            cursor=cursor,
            kind=kind or None,
            status=status or None,
            person_id=person_id or None,
            tenant_id=account.tenant_id,
        )
        jobs = [job_view(session, job) for job in page.rows]
        people = PersonRepository(session)
        names = people.names({job.person_id for job in page.rows if job.person_id})
        everybody = people.page(limit=100, cursor=None, tenant_id=account.tenant_id).rows
        choices = {person.id: person.name for person in everybody}
    return render(
        request,
        "jobs.html",
        jobs=jobs,
        names=names,
        people=choices,
        kind=kind,
        status=status,
        person_id=person_id,
        next_cursor=page.next_cursor,
    )


@router.get("/jobs/{job_id}", dependencies=[needs("read")])
def show_job(
    request: Request, job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    return _job_page(request, job_id, account, database, store, "job.html")


@router.get("/jobs/{job_id}/card", dependencies=[needs("read")])
def job_card(
    request: Request, job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    """The part of the page that changes while the job runs."""
    return _job_page(request, job_id, account, database, store, "job_card.html")


def _job_page(
    request: Request, job_id: str, account: Account, database: Database, store: ObjectStore, template: str
) -> Response:
    with database.read() as session:
        row = record_or_refuse(session, job_id, tenant_id=account.tenant_id)
        job = job_view(session, row)
        names = PersonRepository(session).names({row.person_id}) if row.person_id else {}
        consent_id = _consent_of(session, account, row)
    previews = []
    if row.kind == "training":
        previews = [file.name for file in list_previews(job_id, account, database, store).data]
    consents = []
    if isinstance(job, InspectionOut) and template == "job.html" and account.may("train"):
        consents = teaching_consents(database, account)
    active = job.status in ACTIVE
    response = render(
        request,
        template,
        job=job,
        names=names,
        active=active,
        options=row.params,
        previews=previews[-6:],
        pictures=[name for name in _files(row) if name.rpartition(".")[2] in _PICTURES],
        consent_id=consent_id,
        consents=consents,
        acceptable=ACCEPTABLE,
        preset_choices=preset_choices(database) if consents or template == "job.html" else [],
        may_change=account.may(scope_of(row.kind)),
    )
    if template == "job_card.html" and not active:
        response.headers["HX-Refresh"] = "true"
    return response


def _consent_of(session: Session, account: Account, row: JobRecord) -> str | None:
    """The consent whose recording a job checks."""
    if row.kind != "consent":
        return None
    consent = ConsentRepository(session).checked_by(row.id, account.tenant_id)
    return consent.id if consent is not None else None


def job_of(database: Database, account: Account, job_id: str) -> AnyJob:
    """The job as it is shown, or NotFound."""
    with database.read() as session:
        return job_view(session, record_or_refuse(session, job_id, tenant_id=account.tenant_id))


@router.get("/jobs/{job_id}/pictures/{name}", dependencies=[needs("read")])
def show_picture(
    job_id: str, name: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    """A picture among what the job has made: the frames of a finding, the curves of a motion."""
    with database.read() as session:
        row = record_or_refuse(session, job_id, tenant_id=account.tenant_id)
    media_type = _PICTURES.get(name.rpartition(".")[2])
    if row.output is None or media_type is None or name not in _files(row):
        raise NotFound(f"there is no picture {name[:100]!r}", remedy="open the job's page again")
    key = f"{row.output['prefix']}/{name}"
    return see(store.signed_get(key, expires_s=FILE_EXPIRES_S, media_type=media_type))


@router.get("/jobs/{job_id}/previews/{name}", dependencies=[needs("read")])
def show_preview(
    job_id: str, name: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    """A held-out frame beside what is drawn of it."""
    for file in list_previews(job_id, account, database, store).data:
        if file.name == name:
            return see(file.url)
    raise NotFound(
        f"there is no preview {name[:100]!r}", remedy="a newer one took its place; open the page again"
    )


def _files(row: JobRecord) -> list[str]:
    return [str(file["name"]) for file in row.output["files"]] if row.output is not None else []


@router.post("/jobs/{job_id}/cancel", dependencies=[needs("read")])
def cancel_job(job_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    require_change(job_id, account, database)
    cancel(database, job_id, tenant_id=account.tenant_id)
    return see(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/retry", dependencies=[needs("read")])
def retry_job(
    job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep, settings: SettingsDep
) -> Response:
    require_change(job_id, account, database)
    retry(database, store, settings, job_id, tenant_id=account.tenant_id)
    return see(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/delete", dependencies=[needs("read")])
def remove_job(
    job_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep, settings: SettingsDep
) -> Response:
    require_change(job_id, account, database)
    person_id = getattr(job_of(database, account, job_id), "person_id", None)
    delete_job(database, job_id, tenant_id=account.tenant_id)
    purge_quietly(database, store, settings)
    return see(f"/people/{person_id}" if person_id else "/jobs")
