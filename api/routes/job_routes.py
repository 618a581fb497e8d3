"""What all kinds of jobs can do: be listed, looked at, canceled, tried again, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response

from api.dependencies import Cursor, DatabaseDep, Limit, SettingsDep, StoreDep
from api.problem_details import answers, changes
from api.routes.deleting import finish_deletion
from api.schemas import DeletionOut, ListOut, RetryIn, Status
from api.views import ACTIVE, job_view
from likeness.deletion import delete_job
from likeness.repositories.job_records import JobRecords
from likeness.requests import Kind, cancel, record_or_refuse, retry
from problems import Conflict, InvalidParameter, NotFound

StatusFilter = Annotated[Status | None, Query(alias="status", description="Only jobs of this status")]
PersonFilter = Annotated[str | None, Query(max_length=64, description="Only jobs of this person")]


def add_job_routes(router: APIRouter, model: Any, kind: Kind | None) -> None:
    """Add the routes of a kind of job (None: of all) to ``router``; ``model`` is the answers' schema."""
    noun = kind or "job"

    @router.get(
        "",
        response_model=ListOut[model],
        responses=answers(InvalidParameter),
        summary=f"List {noun}s",
        operation_id=f"list_{noun}s",
    )
    def list_jobs(
        database: DatabaseDep,
        status: StatusFilter = None,
        person_id: PersonFilter = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Any:
        with database.read() as session:
            page = JobRecords(session).page(
                limit=limit, cursor=cursor, kind=kind, status=status, person_id=person_id
            )
            views = [job_view(session, row) for row in page.rows]
        return ListOut[Any](data=views, next_cursor=page.next_cursor)

    @router.get(
        "/{job_id}",
        response_model=model,
        responses=answers(NotFound),
        summary=f"Look at a {noun}",
        operation_id=f"get_{noun}",
    )
    def get_job(job_id: str, database: DatabaseDep) -> Response:
        """Poll this; `Retry-After` says when to come again, and is absent once the job has ended."""
        return _read(database, job_id)

    @router.post(
        "/{job_id}/cancel",
        status_code=202,
        response_model=model,
        responses=changes(NotFound, Conflict),
        summary=f"Cancel a {noun}",
        operation_id=f"cancel_{noun}",
    )
    def cancel_job(job_id: str, database: DatabaseDep) -> Response:
        """At once when it is queued; when it runs, its status is `canceling` until the worker has stopped."""
        cancel(database, job_id, kind=kind)
        return _read(database, job_id, 202)

    @router.post(
        "/{job_id}/retry",
        status_code=202,
        response_model=model,
        responses=changes(NotFound, Conflict, InvalidParameter),
        summary=f"Retry a {noun}",
        operation_id=f"retry_{noun}",
    )
    def retry_job(
        job_id: str,
        database: DatabaseDep,
        store: StoreDep,
        settings: SettingsDep,
        body: Annotated[RetryIn | None, Body()] = None,
    ) -> Response:
        """Go on from the stage it ended in and that stage's last checkpoint, or from `from_stage` anew."""
        stage = body.from_stage if body is not None else None
        retry(database, store, settings, job_id, kind=kind, from_stage=stage)
        return _read(database, job_id, 202)

    @router.delete(
        "/{job_id}",
        responses={202: {"model": DeletionOut}, **changes(NotFound)},
        summary=f"Delete a {noun}",
        operation_id=f"delete_{noun}",
    )
    def remove_job(
        job_id: str, response: Response, database: DatabaseDep, store: StoreDep, settings: SettingsDep
    ) -> DeletionOut:
        """Stops it first if it runs. Its outputs go; the weights a person uses stay until the person goes."""
        delete_job(database, job_id, kind=kind)
        return finish_deletion(job_id, response, database, store, settings)

    def _read(database: DatabaseDep, job_id: str, status_code: int = 200) -> Response:
        with database.read() as session:
            job = record_or_refuse(session, job_id, kind=kind)
            # Written here: the framework would check the answer against its schema a second time, and this is what
            # hundreds of clients poll.
            body = job_view(session, job).model_dump_json()
        answer = Response(body, status_code, media_type="application/json")
        if job.status in ACTIVE:
            answer.headers["Retry-After"] = "2"
        return answer
