"""Consents: without one nobody is learned."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fastapi import APIRouter, Response

from api.dependencies import AccountDep, Cursor, DatabaseDep, Limit, SettingsDep, StoreDep, needs
from api.problem_details import answers, changes
from api.routes.deleting import finish_deletion
from api.schemas import ConsentOut, ConsentRequestIn, DeletionOut, ListOut, RecordingIn, ReviewIn
from api.views import consent_view
from likeness.accounts import Account
from likeness.consent_deletion import delete_consent
from likeness.consents import attest_consent, record_consent, request_consent, review_consent, revoke_consent
from likeness.database import Database
from likeness.refusals import ConsentMissing, QuotaExceeded, StoreUnavailable
from likeness.repositories.consents import ConsentRepository
from likeness.requests import consent_or_refuse
from likeness.store import ObjectStore
from problems import Conflict, InvalidParameter, NotFound

router = APIRouter(prefix="/v1/consents", tags=["consents"])
log = logging.getLogger("likeness.consents")


@router.post(
    "",
    status_code=201,
    responses=changes(ConsentMissing),
    dependencies=[needs("train")],
    summary="Ask for a consent",
)
def add_consent(
    body: ConsentRequestIn,
    response: Response,
    account: AccountDep,
    database: DatabaseDep,
    settings: SettingsDep,
) -> ConsentOut:
    """The answer has the statement that the person reads aloud on camera within half an hour; its words are random, so
    a recording from before does not have them. Then `POST …/recording`. With `attested` your word stands instead,
    where the service takes it."""
    if body.attested:
        consent = attest_consent(
            database, account, settings, subject_name=body.subject_name, purposes=body.purposes
        )
    else:
        consent = request_consent(
            database,
            account,
            subject_name=body.subject_name,
            language=body.language,
            purposes=body.purposes,
        )
    response.headers["Location"] = f"/v1/consents/{consent.id}"
    return consent_view(consent)


@router.get("", responses=answers(InvalidParameter), dependencies=[needs("read")], summary="List consents")
def list_consents(
    account: AccountDep, database: DatabaseDep, limit: Limit = 20, cursor: Cursor = None
) -> ListOut[ConsentOut]:
    """Newest first, whatever became of them."""
    with database.read() as session:
        page = ConsentRepository(session).page(account.tenant_id, limit=limit, cursor=cursor)
        return ListOut(data=[consent_view(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get(
    "/{consent_id}", responses=answers(NotFound), dependencies=[needs("read")], summary="Look at a consent"
)
def get_consent(consent_id: str, account: AccountDep, database: DatabaseDep) -> ConsentOut:
    """Its status, and once its recording was checked the report."""
    return _read(database, account, consent_id)


@router.post(
    "/{consent_id}/recording",
    status_code=202,
    responses=changes(NotFound, Conflict, QuotaExceeded),
    dependencies=[needs("train")],
    summary="Hand in the recording",
)
def add_recording(
    consent_id: str, body: RecordingIn, account: AccountDep, database: DatabaseDep
) -> ConsentOut:
    """Queues the check; poll the consent until it is `verified` or `rejected`. A rejected one takes another recording
    until it expires."""
    record_consent(database, account, consent_id, body.upload_id)
    return _read(database, account, consent_id)


@router.post(
    "/{consent_id}/review",
    responses=changes(NotFound, Conflict),
    dependencies=[needs("admin")],
    summary="Say whether the words were heard",
)
def review(
    consent_id: str, body: ReviewIn, account: AccountDep, database: DatabaseDep, store: StoreDep
) -> ConsentOut:
    """Faces, voice and lips are checked by the service; whether the random words were said, only a human can hear.
    Without them the consent is rejected, and what was learned on it is deleted."""
    _drop(store, review_consent(database, account, consent_id, words_heard=body.words_heard))
    return _read(database, account, consent_id)


@router.post(
    "/{consent_id}/revoke",
    responses=changes(NotFound),
    dependencies=[needs("train")],
    summary="Take a consent back",
)
def revoke(consent_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> ConsentOut:
    """Stops every job that runs on it and deletes the weights that were learned on it. Videos that were made stay until
    their person is deleted."""
    _drop(store, revoke_consent(database, account, consent_id))
    return _read(database, account, consent_id)


@router.delete(
    "/{consent_id}",
    responses={202: {"model": DeletionOut}, **changes(NotFound, Conflict)},
    dependencies=[needs("train")],
    summary="Delete a consent",
)
def remove_consent(
    consent_id: str,
    response: Response,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
) -> DeletionOut:
    """With its recordings and the checks of them. Refused while weights that were learned on it, or jobs that run on
    it, are left; to take it back deletes and stops those. Finished videos stay. The answer is the receipt."""
    deletion_id = delete_consent(database, account, consent_id)
    return finish_deletion(deletion_id, response, database, store, settings)


def _drop(store: ObjectStore, prefixes: Sequence[str]) -> None:
    try:
        for prefix in prefixes:
            store.delete_prefix(prefix)
    except StoreUnavailable as problem:
        # No row names them any more, so they are swept up later.
        log.warning("weights wait for the object store to be deleted: %s", problem)


def _read(database: Database, account: Account, consent_id: str) -> ConsentOut:
    with database.read() as session:
        return consent_view(consent_or_refuse(session, consent_id, tenant_id=account.tenant_id))
