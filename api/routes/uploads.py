"""Files that somebody hands in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import Cursor, DatabaseDep, Limit, SettingsDep, StoreDep
from api.problem_details import answers, changes
from api.receive import receive_upload
from api.routes.deleting import finish_deletion
from api.schemas import DeletionOut, ListOut, Purpose, UploadOut
from api.views import upload_view
from likeness.deletion import delete_upload
from likeness.repositories.uploads import UploadRepository
from likeness.requests import upload_or_refuse
from problems import Conflict, InvalidParameter, NotFound, OutOfDisk, UnreadableMedia

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": ["clip", "recording"]},
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
    responses=changes(UnreadableMedia, OutOfDisk),
    openapi_extra=_BODY,
    summary="Upload a file",
)
async def create_upload(
    request: Request,
    response: Response,
    settings: SettingsDep,
    database: DatabaseDep,
    store: StoreDep,
    purpose: Annotated[Purpose | None, Query(description="Plain body only")] = None,
    filename: Annotated[str | None, Query(max_length=1000, description="Plain body only")] = None,
    sha256: Annotated[str | None, Query(max_length=64, description="Plain body only")] = None,
) -> UploadOut:
    """Send one file as a multipart form, or as the plain body with its facts in the query."""
    upload, _ = await receive_upload(request, settings, database, store)
    response.headers["Location"] = f"/v1/uploads/{upload.id}"
    return upload_view(upload)


@router.get("", responses=answers(InvalidParameter), summary="List uploads")
def list_uploads(
    database: DatabaseDep, purpose: Purpose | None = None, limit: Limit = 20, cursor: Cursor = None
) -> ListOut[UploadOut]:
    with database.read() as session:
        page = UploadRepository(session).page(limit=limit, cursor=cursor, purpose=purpose)
        return ListOut(data=[upload_view(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/{upload_id}", responses=answers(NotFound), summary="Look at an upload")
def get_upload(upload_id: str, database: DatabaseDep) -> UploadOut:
    with database.read() as session:
        return upload_view(upload_or_refuse(session, upload_id))


@router.delete(
    "/{upload_id}",
    responses={202: {"model": DeletionOut}, **changes(NotFound, Conflict)},
    summary="Delete an upload",
)
def remove_upload(
    upload_id: str, response: Response, database: DatabaseDep, store: StoreDep, settings: SettingsDep
) -> DeletionOut:
    """Its inspections go with it. Refused while an unfinished training or video reads it."""
    delete_upload(database, upload_id)
    return finish_deletion(upload_id, response, database, store, settings)
