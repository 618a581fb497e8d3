"""Files that somebody hands in: at once, in parts, or by an address."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.dependencies import AccountDep, Cursor, DatabaseDep, Limit, SettingsDep, StoreDep, needs
from api.problem_details import answers, changes, misfit
from api.receive import receive_upload
from api.routes.deleting import finish_deletion
from api.schemas import DeletionOut, ListOut, Purpose, UploadIn, UploadOut
from api.views import upload_view
from likeness.accounts import Account
from likeness.database import Database
from likeness.deletion import delete_upload
from likeness.fetch import fetch
from likeness.fetch_turns import FetchTurns
from likeness.intake import Intake, require_purpose
from likeness.refusals import (
    FetchFailed,
    FetchRefused,
    NothingToFetch,
    NotReady,
    QuotaExceeded,
    UploadStalled,
)
from likeness.repositories.uploads import UploadRepository
from likeness.requests import upload_or_refuse
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.tables import Upload
from likeness.upload_sessions import announce_upload, complete_upload, part_addresses
from problems import Conflict, InvalidParameter, NotFound, OutOfDisk, UnreadableMedia

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_EITHER = [needs("train", "render")]
"""Clips are for training, recordings for videos."""
_FETCHES = FetchTurns()
_FETCH_DEADLINE_S = 300.0

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/UploadIn"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "The file"},
                        "purpose": {
                            "type": "string",
                            "enum": ["clip", "recording", "consent", "video"],
                            "description": "What the file is for",
                        },
                        "sha256": {"type": "string", "description": "Refuse the file if it differs"},
                    },
                }
            },
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary"},
            },
        },
    }
}


@router.post(
    "",
    status_code=201,
    responses=changes(
        UnreadableMedia,
        UploadStalled,
        OutOfDisk,
        QuotaExceeded,
        FetchRefused,
        NothingToFetch,
        FetchFailed,
        NotReady,
    ),
    openapi_extra=_BODY,
    dependencies=_EITHER,
    summary="Upload a file",
)
async def create_upload(
    request: Request,
    response: Response,
    account: AccountDep,
    settings: SettingsDep,
    database: DatabaseDep,
    store: StoreDep,
    purpose: Annotated[Purpose | None, Query(description="Plain body only")] = None,
    filename: Annotated[str | None, Query(max_length=1000, description="Plain body only")] = None,
    sha256: Annotated[str | None, Query(max_length=64, description="Plain body only")] = None,
) -> UploadOut:
    """A small file at once, as a multipart form or as the plain body with its facts in the query. A large one in parts:
    send JSON with its size, PUT each part to its address, then `POST …/complete`; a client that was cut off asks with
    GET which parts have come. Or JSON with `source_url`, which the service fetches."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json":
        body = await _json(request)
        upload, parts = await run_in_threadpool(_announced, body, account, settings, database, store)
    else:
        upload, _ = await receive_upload(request, settings, database, store, tenant_id=account.tenant_id)
        parts = []
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return upload_view(upload, parts)


@router.get("", responses=answers(InvalidParameter), dependencies=[needs("read")], summary="List uploads")
def list_uploads(
    account: AccountDep,
    database: DatabaseDep,
    purpose: Annotated[Purpose | None, Query(description="Only uploads of this purpose")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> ListOut[UploadOut]:
    """Newest first; those that are still awaited too."""
    with database.read() as session:
        page = UploadRepository(session).page(
            limit=limit, cursor=cursor, purpose=purpose, tenant_id=account.tenant_id
        )
        return ListOut(data=[upload_view(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get(
    "/{upload_id}", responses=answers(NotFound), dependencies=[needs("read")], summary="Look at an upload"
)
def get_upload(upload_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> UploadOut:
    """Of one that is awaited: which parts have come, and fresh addresses for all of them."""
    with database.read() as session:
        upload = upload_or_refuse(session, upload_id, tenant_id=account.tenant_id, whole=False)
    return upload_view(upload, part_addresses(store, upload))


@router.post(
    "/{upload_id}/complete",
    responses=changes(NotFound, Conflict),
    dependencies=_EITHER,
    summary="Put the parts together",
)
def finish_upload(upload_id: str, account: AccountDep, database: DatabaseDep, store: StoreDep) -> UploadOut:
    """Reads the file once and holds it against the announced size and sha256. Again is no error."""
    return upload_view(complete_upload(database, store, account, upload_id))


@router.delete(
    "/{upload_id}",
    responses={202: {"model": DeletionOut}, **changes(NotFound, Conflict)},
    dependencies=_EITHER,
    summary="Delete an upload",
)
def remove_upload(
    upload_id: str,
    response: Response,
    account: AccountDep,
    database: DatabaseDep,
    store: StoreDep,
    settings: SettingsDep,
) -> DeletionOut:
    """Its inspections go with it. Refused while an unfinished training or video reads it."""
    deletion_id = delete_upload(database, upload_id, tenant_id=account.tenant_id)
    return finish_deletion(deletion_id, response, database, store, settings)


async def _json(request: Request) -> UploadIn:
    body = await request.body()
    try:
        announced = UploadIn.model_validate_json(body)
    except ValidationError as error:
        raise misfit(error.errors()) from error
    if (announced.size is None) == (announced.source_url is None):
        raise InvalidParameter(
            "an upload has either a size, and comes in parts, or a source_url",
            remedy="send one of the two",
            details={"field": "size"},
        )
    return announced


def _announced(
    body: UploadIn, account: Account, settings: Settings, database: Database, store: ObjectStore
) -> tuple[Upload, list[Any]]:
    if body.source_url is not None:
        return fetch_upload(
            body.source_url, body.purpose, account, settings, database, store, body.filename, body.sha256
        ), []
    assert body.size is not None
    upload = announce_upload(
        settings,
        database,
        store,
        account,
        filename=body.filename,
        size=body.size,
        purpose=body.purpose,
        media_type=body.media_type,
        sha256=body.sha256,
    )
    return upload, part_addresses(store, upload)


def fetch_upload(
    url: str,
    purpose: str,
    account: Account,
    settings: Settings,
    database: Database,
    store: ObjectStore,
    filename: str = "",
    sha256: str | None = None,
) -> Upload:
    """Fetch a file from a public address and enter it as an upload.

    Raises:
        FetchRefused, FetchFailed: the address may not be asked, or did not give the file.
        NotReady: too many are being fetched for this tenant, or for all together.
    """
    require_purpose(purpose)
    with (
        _FETCHES.take(account.tenant_id),
        Intake(settings, database, store, tenant_id=account.tenant_id) as intake,
    ):
        found = fetch(
            url,
            intake.write,
            limit_bytes=settings.max_upload_bytes,
            deadline_s=_FETCH_DEADLINE_S,
            allow_private=settings.fetch_from_private,
        )
        return intake.finish(
            filename=filename or found.filename,
            media_type=found.media_type,
            purpose=purpose,
            sha256=sha256,
            source_url=url,
        )
