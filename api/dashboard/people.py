"""People: who is there, one of them with everything that is theirs, and how they go."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request, Response

from api.dashboard.consents import teaching_consents
from api.dashboard.forms import choice, receive_form, see
from api.dashboard.presets import PRESETS, preset_choices
from api.dashboard.reading import training_of
from api.dashboard.render import render
from api.dependencies import AccountDep, Cursor, DatabaseDep, SettingsDep, StoreDep, WatchDep, needs
from api.routes.deleting import purge_quietly
from api.routes.persons import download_portrait, promote_version
from api.schemas import DeletionOut, TrainingIn
from api.views import ACTIVE, deletion_view, job_view, person_view, version_view
from likeness.accounts import Account
from likeness.database import Database
from likeness.deletion import delete_person, delete_version
from likeness.health import checks
from likeness.people import change_person
from likeness.refusals import ConsentMissing
from likeness.repositories.deletions import DeletionRepository
from likeness.repositories.job_records import JobRecords
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import create_person, person_or_refuse, request_training
from likeness.settings import Settings
from problems import InvalidParameter, NotFound

router = APIRouter()


@router.get("/", dependencies=[needs("read")])
def home(
    request: Request,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    watch: WatchDep,
    cursor: Cursor = None,
) -> Response:
    with database.read() as session:
        page = PersonRepository(session).page(limit=60, cursor=cursor, tenant_id=account.tenant_id)
        latest = JobRepository(session).latest_of_people([person.id for person in page.rows], "training")
        cards = [person_view(person, latest.get(person.id)) for person in page.rows]
        recent = JobRecords(session).page(limit=6, cursor=None, tenant_id=account.tenant_id).rows
        jobs = [job_view(session, job) for job in recent]
        names = PersonRepository(session).names({job.person_id for job in recent if job.person_id})
    trouble = [check for check in checks(database, settings, watch) if not check.ok]
    return render(
        request,
        "home.html",
        people=cards,
        jobs=jobs,
        names=names,
        trouble=trouble,
        next_cursor=page.next_cursor,
    )


@router.get("/people/new", dependencies=[needs("train")])
def new_person(request: Request, account: AccountDep, database: DatabaseDep, consent: str = "") -> Response:
    return render(
        request,
        "person_new.html",
        consents=teaching_consents(database, account),
        chosen=consent[:64],
        preset_choices=preset_choices(database),
    )


@router.post("/people", dependencies=[needs("train")])
async def add_person(
    request: Request, account: AccountDep, database: DatabaseDep, settings: SettingsDep, store: StoreDep
) -> Response:
    """The form has the clip and the person in one: upload, enter, train."""
    sent = await receive_form(request, account, settings, database, store, purpose="clip")

    def start() -> str:
        fields = sent.fields
        preset = choice(fields, "preset", PRESETS, "preview")
        return enter_and_train(
            database,
            account,
            settings,
            training_of(fields, sent.upload_id, preset),
            name=fields.get("name", ""),
            consent_id=fields.get("consent_id") or None,
            subject_name=fields.get("subject_name", ""),
            attested=fields.get("attested") == "yes",
        )

    return see(f"/people/{await sent.start(start, database, store, settings)}")


def enter_and_train(
    database: Database,
    account: Account,
    settings: Settings,
    training: TrainingIn,
    *,
    name: str,
    consent_id: str | None,
    subject_name: str,
    attested: bool,
) -> str:
    """Enter a person with a clip and train; returns the person's id. Nobody is entered whose training is refused."""
    if consent_id is None and settings.consent == "recorded":
        raise ConsentMissing(
            "here a person's consent is recorded, and nobody can give it for them",
            remedy="record one on the page Consents, then choose it here",
            details={"field": "consent_id"},
        )
    person = create_person(
        database,
        name=name,
        consent_subject=subject_name,
        attested=attested,
        consent_id=consent_id,
        tenant_id=account.tenant_id,
        actor=account.actor,
    )
    try:
        _train(database, account, settings, person.id, training)
    except BaseException:
        # A consent that was there before outlives somebody who was not learned.
        kept = consent_id is not None
        delete_person(database, person.id, tenant_id=account.tenant_id, keep_consent=kept)
        raise
    return person.id


def _train(
    database: Database, account: Account, settings: Settings, person_id: str, training: TrainingIn
) -> str:
    return request_training(
        database,
        person_id=person_id,
        upload_id=training.upload_id,
        preset=training.preset,
        seed=training.seed,
        audio_track=training.audio_track,
        rotate=training.rotate,
        accept=training.accept,
        tenant_id=account.tenant_id,
        recorded=settings.consent == "recorded",
        words=settings.words_needed,
    )


@router.get("/people/{person_id}", dependencies=[needs("read")])
def show_person(request: Request, person_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    return _person_page(request, person_id, account, database, "person.html")


@router.get("/people/{person_id}/face", dependencies=[needs("read")])
def show_face(
    request: Request, person_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    """The person's portrait, for pages; it changes with the promoted version."""
    return download_portrait(request, person_id, account, database, store)


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
        versions = [
            version_view(each, person.package_artifact_id)
            for each in PersonRepository(session).versions(person_id)
        ]
    consents = teaching_consents(database, account) if template == "person.html" else []
    active = any(job.status in ACTIVE for job in jobs)
    response = render(
        request,
        template,
        person=card,
        trainings=[job for job in jobs if job.object == "training"],
        videos=[job for job in jobs if job.object == "video"],
        versions=versions,
        consents=consents,
        active=active,
        preset_choices=preset_choices(database) if template == "person.html" else [],
    )
    if template == "activity.html" and not active:
        response.headers["HX-Refresh"] = "true"  # the form to make a video may have become of use
    return response


@router.post("/people/{person_id}/trainings", dependencies=[needs("train")])
async def train_again(
    request: Request,
    person_id: str,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
    store: StoreDep,
) -> Response:
    """With another clip, or with one that is there already."""
    sent = await receive_form(request, account, settings, database, store, purpose="clip")

    def start() -> str:
        preset = choice(sent.fields, "preset", PRESETS, "preview")
        return _train(
            database, account, settings, person_id, training_of(sent.fields, sent.upload_id, preset)
        )

    return see(f"/jobs/{await sent.start(start, database, store, settings)}")


@router.post("/people/{person_id}/consent", dependencies=[needs("train")])
def change_consent(
    person_id: str,
    account: AccountDep,
    database: DatabaseDep,
    consent_id: Annotated[str, Form(max_length=64)],
) -> Response:
    """From now on they are learned on this consent."""
    change_person(database, account, person_id, consent_id=consent_id)
    return see(f"/people/{person_id}")


@router.post("/people/{person_id}/versions/{number}/promote", dependencies=[needs("train")])
def promote(person_id: str, number: int, account: AccountDep, database: DatabaseDep) -> Response:
    promote_version(person_id, number, account, database)
    return see(f"/people/{person_id}#versions")


@router.post("/people/{person_id}/versions/{number}/delete", dependencies=[needs("train")])
def remove_version(
    person_id: str,
    number: int,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
) -> Response:
    delete_version(database, person_id, number, tenant_id=account.tenant_id, actor=account.actor)
    purge_quietly(database, store, settings)
    return see(f"/people/{person_id}#versions")


@router.post("/people/{person_id}/delete", dependencies=[needs("train")])
def remove_person(
    person_id: str,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
    confirm: Annotated[str, Form(max_length=200)] = "",
    keep_videos: Annotated[str, Form(max_length=8)] = "",
) -> Response:
    """The name has to be typed: what goes does not come back."""
    with database.read() as session:
        name = person_or_refuse(session, person_id, usable=False, tenant_id=account.tenant_id).name
    if confirm.strip() != name:
        raise InvalidParameter(
            "the name that was typed is not this person's",
            remedy=f"go back and type {name!r} to delete them, with capitals as shown",
            details={"field": "confirm"},
        )
    deletion_id = delete_person(
        database, person_id, tenant_id=account.tenant_id, keep_videos=keep_videos == "yes"
    )
    purge_quietly(database, store, settings)
    return see(f"/deletions/{deletion_id}")


@router.get("/deletions", dependencies=[needs("read")])
def list_receipts(
    request: Request, account: AccountDep, database: DatabaseDep, cursor: Cursor = None
) -> Response:
    with database.read() as session:
        page = DeletionRepository(session).page(account.tenant_id, limit=25, cursor=cursor)
        receipts = [deletion_view(row) for row in page.rows]
    return render(request, "deletions.html", receipts=receipts, next_cursor=page.next_cursor)


@router.get("/deletions/{deletion_id}", dependencies=[needs("read")])
def show_receipt(request: Request, deletion_id: str, account: AccountDep, database: DatabaseDep) -> Response:
    """What went, and what still has to."""
    receipt = _receipt(database, account, deletion_id)
    return render(request, "deletion.html", receipt=receipt, active=receipt.status == "pending")


def _receipt(database: Database, account: Account, deletion_id: str) -> DeletionOut:
    with database.read() as session:
        deletion = DeletionRepository(session).get(deletion_id)
        if deletion is None or deletion.tenant_id != account.tenant_id:
            raise NotFound(f"there is no deletion {deletion_id!r}", remedy="the page Receipts lists them all")
        return deletion_view(deletion)
