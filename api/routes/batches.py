"""Many videos at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from api.dependencies import AccountDep, Cursor, DatabaseDep, Limit, needs
from api.problem_details import answers, changes
from api.routes.videos import uploaded, wanted
from api.schemas import BatchIn, BatchOut, DryRunOut, ListOut, VideoIn
from likeness.accounts import Account
from likeness.clock import now
from likeness.ids import new_id
from likeness.refusals import ConsentMissing, QuotaExceeded
from likeness.repositories.batches import BatchRepository
from likeness.repositories.jobs import JobRepository
from likeness.requests import cancel_all, enter_video
from likeness.tables import Batch
from problems import Conflict, InvalidParameter, NotFound, Problem

router = APIRouter(prefix="/v1/batches", tags=["batches"])


@router.post(
    "",
    status_code=202,
    response_model=BatchOut,
    responses={
        200: {"model": DryRunOut, "description": "With dry_run: what is wrong with which item"},
        **changes(NotFound, Conflict, ConsentMissing, QuotaExceeded),
    },
    dependencies=[needs("render")],
    summary="Make many videos",
)
def add_batch(body: BatchIn, response: Response, account: AccountDep, database: DatabaseDep) -> Any:
    """Every item is checked before any is queued: when one is wrong, nothing is. Its videos are in
    `GET /v1/videos?batch_id=…`. Sound must have been uploaded before."""
    batch = Batch(
        id=new_id("bat"),
        tenant_id=account.tenant_id,
        name=body.name,
        total=len(body.items),
        created_at=now(),
    )
    with (
        database.write() as session
    ):  # of all of them: a quota or a crash half-way leaves nothing of the batch
        errors = _wrong_items(session, body.items, account)
        if body.dry_run:
            return Response(
                DryRunOut(items=len(body.items), errors=errors).model_dump_json(),
                200,
                media_type="application/json",
            )
        if errors:
            raise InvalidParameter(
                f"{len(errors)} of {len(body.items)} items are wrong; the first: {errors[0]['detail']}",
                remedy="correct the items that details.errors names; nothing was queued",
                details={"field": f"items.{errors[0]['index']}", "errors": errors},
            )
        BatchRepository(session).add(batch)
        for item in body.items:
            enter_video(
                session, **wanted(item, uploaded(item)), batch_id=batch.id, tenant_id=account.tenant_id
            )
    response.headers["Location"] = f"/v1/batches/{batch.id}"
    with database.read() as session:
        return _view(session, batch)


@router.get("", responses=answers(InvalidParameter), dependencies=[needs("read")], summary="List batches")
def list_batches(
    account: AccountDep, database: DatabaseDep, limit: Limit = 20, cursor: Cursor = None
) -> ListOut[BatchOut]:
    """Newest first, each with how many of its videos have which status."""
    with database.read() as session:
        page = BatchRepository(session).page(account.tenant_id, limit=limit, cursor=cursor)
        return ListOut(data=[_view(session, row) for row in page.rows], next_cursor=page.next_cursor)


@router.get(
    "/{batch_id}", responses=answers(NotFound), dependencies=[needs("read")], summary="Look at a batch"
)
def get_batch(batch_id: str, account: AccountDep, database: DatabaseDep) -> BatchOut:
    """How many of its videos have which status; `GET /v1/videos?batch_id=…` lists them."""
    with database.read() as session:
        return _view(session, _batch(session, batch_id, account.tenant_id))


@router.post(
    "/{batch_id}/cancel",
    status_code=202,
    responses=changes(NotFound),
    dependencies=[needs("render")],
    summary="Cancel a batch",
)
def cancel_batch(batch_id: str, account: AccountDep, database: DatabaseDep) -> BatchOut:
    """Those of its videos that have not ended."""
    with database.read() as session:
        _batch(session, batch_id, account.tenant_id)
        active = BatchRepository(session).active_jobs(batch_id)
    cancel_all(database, active, kind="video")
    return get_batch(batch_id, account, database)


def _wrong_items(session: Session, items: Sequence[VideoIn], account: Account) -> list[dict[str, Any]]:
    """Which items can't be made, and why."""
    errors: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        try:
            if item.dry_run:
                raise InvalidParameter(
                    "one item of a batch can't be a dry run",
                    remedy="send dry_run beside items, for all of them",
                    details={"field": "dry_run"},
                )
            enter_video(session, **wanted(item, uploaded(item)), tenant_id=account.tenant_id, dry_run=True)
        except Problem as problem:
            errors.append(
                {"index": index, "code": problem.slug, "detail": problem.message, **problem.details}
            )
    return errors


def _batch(session: Session, batch_id: str, tenant_id: str) -> Batch:
    batch = BatchRepository(session).get(batch_id)
    if batch is None or batch.tenant_id != tenant_id:
        raise NotFound(
            f"there is no batch {batch_id!r}",
            remedy="list them with GET /v1/batches",
            details={"id": batch_id},
        )
    return batch


def _view(session: Session, batch: Batch) -> BatchOut:
    counts = JobRepository(session).of_batch(batch.id)
    active = sum(counts.get(status, 0) for status in ("queued", "running", "canceling"))
    return BatchOut.model_validate(
        {
            "id": batch.id,
            "name": batch.name,
            "status": "running" if active else "done",
            "total": batch.total,
            "counts": counts,
            "created_at": batch.created_at,
        }
    )
