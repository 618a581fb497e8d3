"""People: who is shown, their consent, their weights."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from api.dependencies import Cursor, DatabaseDep, Limit, SettingsDep, StoreDep
from api.problem_details import answers, changes
from api.routes.deleting import finish_deletion
from api.routes.downloads import download
from api.schemas import DeletionOut, ListOut, PersonIn, PersonOut, TrainingIn, TrainingOut
from api.views import job_view, package_file, person_view
from likeness.deletion import delete_person
from likeness.refusals import ConsentMissing
from likeness.repositories.jobs import JobRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import create_person, person_or_refuse, record_or_refuse, request_training
from problems import Conflict, InvalidParameter, NotFound

router = APIRouter(prefix="/v1/persons", tags=["persons"])


@router.post("", status_code=201, responses=changes(ConsentMissing), summary="Enter a person")
def add_person(body: PersonIn, response: Response, database: DatabaseDep) -> PersonOut:
    """The consent is recorded with the time of this request; without it the answer is `consent_missing`."""
    person = create_person(
        database,
        name=body.name,
        consent_subject=body.consent.subject_name if body.consent else None,
        attested=body.consent is not None and body.consent.attested,
        labels=body.metadata,
    )
    response.headers["Location"] = f"/v1/persons/{person.id}"
    return read_person(person.id, database)


@router.get("", responses=answers(InvalidParameter), summary="List people")
def list_persons(database: DatabaseDep, limit: Limit = 20, cursor: Cursor = None) -> ListOut[PersonOut]:
    with database.read() as session:
        page = PersonRepository(session).page(limit=limit, cursor=cursor)
        latest = JobRepository(session).latest_of_people([row.id for row in page.rows], "training")
        views = [person_view(row, latest.get(row.id)) for row in page.rows]
        return ListOut(data=views, next_cursor=page.next_cursor)


@router.get("/{person_id}", responses=answers(NotFound), summary="Look at a person")
def get_person(person_id: str, database: DatabaseDep) -> PersonOut:
    return read_person(person_id, database)


@router.delete(
    "/{person_id}", responses={202: {"model": DeletionOut}, **changes(NotFound)}, summary="Delete a person"
)
def remove_person(
    person_id: str, response: Response, database: DatabaseDep, store: StoreDep, settings: SettingsDep
) -> DeletionOut:
    """Everything goes: weights, trainings, videos, and the uploads that only this person's jobs read."""
    delete_person(database, person_id)
    return finish_deletion(person_id, response, database, store, settings)


@router.get(
    "/{person_id}/package",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/zip": {}}},
        307: {"description": "Where the object store hands it out"},
        **answers(NotFound, Conflict),
    },
    summary="Download the person file",
)
def download_package(person_id: str, database: DatabaseDep, store: StoreDep) -> Response:
    """The promoted weights as one `.likeness` file, as `likeness dub` takes it. Answers range requests."""
    with database.read() as session:
        person = person_or_refuse(session, person_id)
        entry = package_file(person)
        name = person.name
    if entry is None:
        raise Conflict(
            f"{person_id} has not been learned yet",
            remedy=f"train first: POST /v1/persons/{person_id}/trainings",
            details={"person_id": person_id},
        )
    return download(store, entry, f"{name}.likeness", "application/zip")


@router.post(
    "/{person_id}/trainings",
    status_code=202,
    responses=changes(NotFound, Conflict, ConsentMissing),
    summary="Train a person",
    tags=["trainings"],
)
def train(person_id: str, body: TrainingIn, response: Response, database: DatabaseDep) -> TrainingOut:
    """Queue the learning of a person from a clip. Poll the answer's `Location`."""
    job_id = request_training(
        database, person_id=person_id, upload_id=body.upload_id, preset=body.preset, seed=body.seed
    )
    response.headers["Location"] = f"/v1/trainings/{job_id}"
    with database.read() as session:
        view = job_view(session, record_or_refuse(session, job_id))
    assert isinstance(view, TrainingOut)
    return view


def read_person(person_id: str, database: DatabaseDep) -> PersonOut:
    """The person as the API shows them, also while they are being deleted."""
    with database.read() as session:
        person = person_or_refuse(session, person_id, usable=False)
        latest = JobRepository(session).latest_of_people([person_id], "training").get(person_id)
        return person_view(person, latest)
