"""What all kinds of jobs can do: be listed, looked at, followed, canceled, tried again, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response

from api.dependencies import AccountDep, Cursor, DatabaseDep, Limit, SettingsDep, StoreDep, needs
from api.follow import EVENT_STREAM, follow
from api.problem_details import answers, changes
from api.routes.deleting import finish_deletion
from api.schemas import DeletionOut, EventOut, EventsOut, ListOut, RetryIn, Scope, Status
from api.views import ACTIVE, job_view
from likeness.accounts import Account
from likeness.database import Database
from likeness.deletion import delete_job
from likeness.refusals import ConsentMissing, QuotaExceeded
from likeness.repositories.events import EventRepository
from likeness.repositories.job_records import JobRecords
from likeness.requests import Kind, cancel, record_or_refuse, retry
from problems import Conflict, InvalidParameter, NotFound

StatusFilter = Annotated[Status | None, Query(alias="status", description="Only jobs of this status")]
PersonFilter = Annotated[str | None, Query(max_length=64, description="Only jobs of this person")]
_LAST_EVENT = 2**53
BatchFilter = Annotated[str | None, Query(max_length=64, description="Only videos of this batch")]


def scope_of(kind: str) -> Scope:
    """What a key needs to stop, repeat or delete a job of this kind: what it takes to ask for one."""
    scopes: dict[str, Scope] = {"video": "render", "motion": "render", "verification": "read"}
    return scopes.get(kind, "train")


def require_change(job_id: str, account: Account, database: Database, kind: Kind | None = None) -> None:
    """Raise Forbidden when the key may not change this job; of a kind whose routes ask for it, it may."""
    if kind is None:
        with database.read() as session:
            account.require(scope_of(record_or_refuse(session, job_id, tenant_id=account.tenant_id).kind))


def add_job_routes(router: APIRouter, model: Any, kind: Kind | None, scope: Scope) -> None:
    """Add the routes of a kind of job (None: of all) to ``router``; ``model`` is the answers' schema, and ``scope``
    what a key needs to change something.
    """
    noun = kind or "job"
    a_noun = f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    reads = [needs("read")]
    # Of all kinds, each job asks for what its own kind does: see require_change.
    writes = [needs(scope)] if kind else [needs("train", "render")]

    @router.get(
        "",
        response_model=ListOut[model],
        responses=answers(InvalidParameter),
        dependencies=reads,
        summary=f"List {noun}s",
        operation_id=f"list_{noun}s",
        name=f"list_{noun}s",
    )
    def list_jobs(
        account: AccountDep,
        database: DatabaseDep,
        status: StatusFilter = None,
        person_id: PersonFilter = None,
        batch_id: BatchFilter = None,
        limit: Limit = 20,
        cursor: Cursor = None,
    ) -> Any:
        """Newest first. What is made meanwhile does not shift the pages."""
        with database.read() as session:
            page = JobRecords(session).page(
                limit=limit,
                cursor=cursor,
                kind=kind,
                status=status,
                person_id=person_id,
                batch_id=batch_id,
                tenant_id=account.tenant_id,
            )
            views = [job_view(session, row) for row in page.rows]
        return ListOut[Any](data=views, next_cursor=page.next_cursor)

    @router.get(
        "/{job_id}",
        response_model=model,
        responses=answers(NotFound),
        dependencies=reads,
        summary=f"Look at {a_noun}",
        operation_id=f"get_{noun}",
        name=f"get_{noun}",
    )
    def get_job(job_id: str, account: AccountDep, database: DatabaseDep) -> Response:
        """Poll this; `Retry-After` says when to come again, and is absent once the job has ended."""
        return _read(database, account, job_id)

    @router.get(
        "/{job_id}/events",
        response_model=EventsOut,
        responses={
            200: {
                "description": "JSON, or with Accept: text/event-stream a stream",
                "content": {EVENT_STREAM: {}},
            },
            **answers(NotFound, InvalidParameter),
        },
        dependencies=reads,
        summary=f"What happened to {a_noun}",
        operation_id=f"list_{noun}_events",
        name=f"list_{noun}_events",
    )
    def list_events(
        job_id: str,
        request: Request,
        account: AccountDep,
        database: DatabaseDep,
        after: Annotated[int, Query(ge=0, le=_LAST_EVENT, description="Only events after this one")] = 0,
        last_event_id: Annotated[
            str | None, Header(max_length=20, description="As after; of a stream")
        ] = None,
    ) -> Any:
        """Changes of status and stage, and every few seconds the progress with its metrics. As a stream
        (`Accept: text/event-stream`) it goes on until the job has ended, and has `progress` events in between."""
        with database.read() as session:
            record_or_refuse(session, job_id, kind=kind, tenant_id=account.tenant_id)
            if EVENT_STREAM not in request.headers.get("accept", ""):
                events = EventRepository(session).after(job_id, after)
                return EventsOut(data=[EventOut.of(event) for event in events])
        given = last_event_id if last_event_id and last_event_id.isdecimal() else after
        return follow(database, account, job_id, min(int(given), _LAST_EVENT))

    @router.post(
        "/{job_id}/cancel",
        status_code=202,
        response_model=model,
        responses=changes(NotFound, Conflict),
        dependencies=writes,
        summary=f"Cancel {a_noun}",
        operation_id=f"cancel_{noun}",
        name=f"cancel_{noun}",
    )
    def cancel_job(job_id: str, account: AccountDep, database: DatabaseDep) -> Response:
        """At once when it is queued; when it runs, its status is `canceling` until the worker has stopped."""
        require_change(job_id, account, database, kind)
        cancel(database, job_id, kind=kind, tenant_id=account.tenant_id)
        return _read(database, account, job_id, 202)

    @router.post(
        "/{job_id}/retry",
        status_code=202,
        response_model=model,
        responses=changes(NotFound, Conflict, InvalidParameter, ConsentMissing, QuotaExceeded),
        dependencies=writes,
        summary=f"Retry {a_noun}",
        operation_id=f"retry_{noun}",
        name=f"retry_{noun}",
    )
    def retry_job(
        job_id: str,
        account: AccountDep,
        database: DatabaseDep,
        store: StoreDep,
        settings: SettingsDep,
        body: Annotated[RetryIn | None, Body()] = None,
    ) -> Response:
        """Go on from the stage it ended in and that stage's last checkpoint, or from `from_stage` anew. What a first
        request needs (consent, quota, no other training of the person) is asked for again."""
        require_change(job_id, account, database, kind)
        stage = body.from_stage if body is not None else None
        retry(database, store, settings, job_id, kind=kind, from_stage=stage, tenant_id=account.tenant_id)
        return _read(database, account, job_id, 202)

    @router.delete(
        "/{job_id}",
        responses={202: {"model": DeletionOut}, **changes(NotFound)},
        dependencies=writes,
        summary=f"Delete {a_noun}",
        operation_id=f"delete_{noun}",
        name=f"delete_{noun}",
    )
    def remove_job(
        job_id: str,
        response: Response,
        account: AccountDep,
        database: DatabaseDep,
        store: StoreDep,
        settings: SettingsDep,
    ) -> DeletionOut:
        """Stops it first if it runs. Its outputs go; the weights a person uses stay until the person goes."""
        require_change(job_id, account, database, kind)
        deletion_id = delete_job(database, job_id, kind=kind, tenant_id=account.tenant_id)
        return finish_deletion(deletion_id, response, database, store, settings)

    def _read(database: Database, account: Account, job_id: str, status_code: int = 200) -> Response:
        with database.read() as session:
            job = record_or_refuse(session, job_id, kind=kind, tenant_id=account.tenant_id)
            # Written here: the framework would check the answer against its schema a second time, and this is what
            # hundreds of clients poll.
            body = job_view(session, job).model_dump_json()
        answer = Response(body, status_code, media_type="application/json")
        if job.status in ACTIVE:
            answer.headers["Retry-After"] = "2"
        return answer
