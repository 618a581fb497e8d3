"""Receipts: what was deleted, and what went with it."""

from __future__ import annotations

from fastapi import APIRouter

from api.dependencies import AccountDep, Cursor, DatabaseDep, Limit, needs
from api.problem_details import answers
from api.schemas import DeletionOut, ListOut
from api.views import deletion_view
from likeness.repositories.deletions import DeletionRepository
from problems import InvalidParameter, NotFound

router = APIRouter(prefix="/v1/deletions", tags=["deletions"], dependencies=[needs("read")])


@router.get("", responses=answers(InvalidParameter), summary="List deletions")
def list_deletions(
    account: AccountDep, database: DatabaseDep, limit: Limit = 20, cursor: Cursor = None
) -> ListOut[DeletionOut]:
    """Receipts, newest first."""
    with database.read() as session:
        page = DeletionRepository(session).page(account.tenant_id, limit=limit, cursor=cursor)
        return ListOut(data=[deletion_view(row) for row in page.rows], next_cursor=page.next_cursor)


@router.get("/{deletion_id}", responses=answers(NotFound), summary="Look at a receipt")
def get_deletion(deletion_id: str, account: AccountDep, database: DatabaseDep) -> DeletionOut:
    """`done` once every row and object it lists is gone."""
    with database.read() as session:
        deletion = DeletionRepository(session).get(deletion_id)
        if deletion is None or deletion.tenant_id != account.tenant_id:
            raise NotFound(
                f"there is no deletion {deletion_id!r}",
                remedy="list them with GET /v1/deletions",
                details={"id": deletion_id},
            )
        return deletion_view(deletion)
