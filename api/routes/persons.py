"""People: who is shown, their consent, the versions of their weights."""

from __future__ import annotations

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import AccountDep, Cursor, DatabaseDep, Limit, SettingsDep, StoreDep, needs
from api.problem_details import answers, changes
from api.routes.deleting import finish_deletion
from api.routes.downloads import download, file_answers
from api.schemas import (
    DeletionOut,
    ListOut,
    PersonIn,
    PersonOut,
    PersonPatch,
    TrainingIn,
    TrainingOut,
    VersionsOut,
)
from api.views import job_view, package_file, person_view, portrait_file, version_view
from likeness.accounts import Account
from likeness.database import Database
from likeness.deletion import delete_person, delete_version
from likeness.people import change_person as change
from likeness.people import promote_version as promote
from likeness.refusals import ConsentMissing, QuotaExceeded
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import (
    create_person,
    person_or_refuse,
    record_or_refuse,
    request_training,
)
from problems import Conflict, InvalidParameter, NotFound

router = APIRouter(prefix="/v1/persons", tags=["persons"])


@router.post(
    "",
    status_code=201,
    responses=changes(ConsentMissing, NotFound),
    dependencies=[needs("train")],
    summary="Enter a person",
)
def add_person(
    body: PersonIn, response: Response, account: AccountDep, database: DatabaseDep, settings: SettingsDep
) -> PersonOut:
    """With a consent that was made before (`consent_id`), or, where the service takes your word, with `consent`."""
    if body.consent is not None and body.consent_id is not None:
        raise InvalidParameter(
            "consent and consent_id say the same in two ways",
            remedy="send one of them",
            details={"field": "consent"},
        )
    if body.consent is not None and settings.consent == "recorded":
        raise ConsentMissing(
            "here a person's consent is recorded, and nobody can give it for them",
            remedy="POST /v1/consents, let the person record it, then send its id as consent_id",
            details={"field": "consent"},
        )
    person = create_person(
        database,
        name=body.name,
        consent_subject=body.consent.subject_name if body.consent else None,
        attested=body.consent is not None and body.consent.attested,
        consent_id=body.consent_id,
        labels=body.metadata,
        tenant_id=account.tenant_id,
        actor=account.actor,
    )
    response.headers["Location"] = f"/v1/persons/{person.id}"
    return _read(database, account, person.id)


@router.get("", responses=answers(InvalidParameter), dependencies=[needs("read")], summary="List people")
def list_persons(
    account: AccountDep, database: DatabaseDep, limit: Limit = 20, cursor: Cursor = None
) -> ListOut[PersonOut]:
    """Newest first, each with the consent that they are learned on."""
    with database.read() as session:
        page = PersonRepository(session).page(limit=limit, cursor=cursor, tenant_id=account.tenant_id)
        latest = JobRepository(session).latest_of_people([row.id for row in page.rows], "training")
        views = [person_view(row, latest.get(row.id)) for row in page.rows]
        return ListOut(data=views, next_cursor=page.next_cursor)


@router.get(
    "/{person_id}", responses=answers(NotFound), dependencies=[needs("read")], summary="Look at a person"
)
def get_person(person_id: str, account: AccountDep, database: DatabaseDep) -> PersonOut:
    """Whether they can speak yet, their consent and their newest training."""
    return _read(database, account, person_id)


@router.patch(
    "/{person_id}",
    responses=changes(NotFound, ConsentMissing, Conflict),
    dependencies=[needs("train")],
    summary="Change a person",
)
def change_person(person_id: str, body: PersonPatch, account: AccountDep, database: DatabaseDep) -> PersonOut:
    """Name, metadata, or the consent that they are learned on from now on. Versions stay bound to the consent that they
    were learned on, so a person who has some can't be given another person's consent."""
    change(database, account, person_id, name=body.name, labels=body.metadata, consent_id=body.consent_id)
    return _read(database, account, person_id)


@router.delete(
    "/{person_id}",
    responses={202: {"model": DeletionOut}, **changes(NotFound)},
    dependencies=[needs("train")],
    summary="Delete a person",
)
def remove_person(
    person_id: str,
    response: Response,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
    keep_videos: bool = Query(default=False, description="Finished videos stay"),
) -> DeletionOut:
    """Everything goes: weights, trainings, videos, the consent, and the uploads that only this person's jobs read. The
    answer is the receipt."""
    deletion_id = delete_person(database, person_id, tenant_id=account.tenant_id, keep_videos=keep_videos)
    return finish_deletion(deletion_id, response, database, store, settings)


@router.get(
    "/{person_id}/package",
    response_class=Response,
    responses=file_answers("application/zip"),
    dependencies=[needs("read")],
    summary="Download the person file",
)
def download_package(
    request: Request, person_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    """The promoted weights as one `.likeness` file, as `likeness dub` takes it. Answers range requests and
    conditional ones, and `HEAD`."""
    with database.read() as session:
        person = person_or_refuse(session, person_id, tenant_id=account.tenant_id)
        entry = package_file(person)
        name = person.name
    if entry is None:
        raise Conflict(
            f"{person_id} has not been learned yet",
            remedy=f"train first: POST /v1/persons/{person_id}/trainings",
            details={"person_id": person_id},
        )
    return download(store, entry, f"{name}.likeness", "application/zip", request)


@router.get(
    "/{person_id}/portrait",
    response_class=Response,
    responses=file_answers("image/jpeg"),
    dependencies=[needs("read")],
    summary="Download a portrait",
)
def download_portrait(
    request: Request, person_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> Response:
    """The person's face as their clip shows it, a square of at most 320 pixels."""
    with database.read() as session:
        entry = portrait_file(person_or_refuse(session, person_id, tenant_id=account.tenant_id))
    if entry is None:
        raise Conflict(
            f"there is no portrait of {person_id} yet",
            remedy=f"train first: POST /v1/persons/{person_id}/trainings",
            details={"person_id": person_id},
        )
    return download(store, entry, f"{person_id}.jpg", "image/jpeg", request)


@router.get(
    "/{person_id}/versions",
    responses=answers(NotFound),
    dependencies=[needs("read")],
    summary="List versions of the weights",
)
def list_versions(person_id: str, account: AccountDep, database: DatabaseDep) -> VersionsOut:
    """Each training that succeeded made one; the newest whole one is promoted by itself."""
    with database.read() as session:
        person = person_or_refuse(session, person_id, tenant_id=account.tenant_id)
        versions = PersonRepository(session).versions(person_id)
        return VersionsOut(data=[version_view(each, person.package_artifact_id) for each in versions])


@router.post(
    "/{person_id}/versions/{number}/promote",
    responses=changes(NotFound, Conflict, ConsentMissing),
    dependencies=[needs("train")],
    summary="Promote a version",
)
def promote_version(person_id: str, number: int, account: AccountDep, database: DatabaseDep) -> VersionsOut:
    """From now on videos are made with it. Refused for one whose consent does not stand."""
    promote(database, account, person_id, number)
    return list_versions(person_id, account, database)


@router.delete(
    "/{person_id}/versions/{number}",
    responses={202: {"model": DeletionOut}, **changes(NotFound, Conflict)},
    dependencies=[needs("train")],
    summary="Delete a version",
)
def remove_version(
    person_id: str,
    number: int,
    response: Response,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
) -> DeletionOut:
    """With the training that made it. Refused for the one that is promoted."""
    deletion_id = delete_version(
        database, person_id, number, tenant_id=account.tenant_id, actor=account.actor
    )
    return finish_deletion(deletion_id, response, database, store, settings)


@router.post(
    "/{person_id}/trainings",
    status_code=202,
    responses=changes(NotFound, Conflict, ConsentMissing, QuotaExceeded),
    dependencies=[needs("train")],
    summary="Train a person",
    tags=["trainings"],
)
def train(
    person_id: str,
    body: TrainingIn,
    response: Response,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
) -> TrainingOut:
    """Queue the learning of a person from a clip. Poll the answer's `Location`, or follow its events."""
    job_id = request_training(
        database,
        person_id=person_id,
        upload_id=body.upload_id,
        preset=body.preset,
        seed=body.seed,
        audio_track=body.audio_track,
        rotate=body.rotate,
        accept=body.accept,
        labels=body.metadata,
        tenant_id=account.tenant_id,
        recorded=settings.consent == "recorded",
        words=settings.words_needed,
    )
    response.headers["Location"] = f"/v1/trainings/{job_id}"
    with database.read() as session:
        view = job_view(session, record_or_refuse(session, job_id))
    assert isinstance(view, TrainingOut)
    return view


def _read(database: Database, account: Account, person_id: str) -> PersonOut:
    """The person as the API shows them, also while they are being deleted."""
    with database.read() as session:
        person = person_or_refuse(session, person_id, usable=False, tenant_id=account.tenant_id)
        latest = JobRepository(session).latest_of_people([person_id], "training").get(person_id)
        return person_view(person, latest)
