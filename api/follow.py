"""A job's events as they happen, as server-sent events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api.schemas import EventOut
from api.views import ACTIVE
from likeness.accounts import Account
from likeness.database import Database
from likeness.repositories.events import EventRepository
from likeness.repositories.job_records import JobRecords
from likeness.sessions import still_stands

EVENT_STREAM = "text/event-stream"
_LOOK_EVERY_S = 1.0
_BREATHE_EVERY_S = 15.0
"""A comment now and then, so that no proxy takes the line for dead."""
_STANDS_EVERY_S = 2.0
"""Seconds after which a stream notices that whoever follows may not any more."""
_LONGEST_S = 3600.0
"""Then the client comes again with the last event's id, as browsers do by themselves."""


def follow(database: Database, account: Account, job_id: str, after: int) -> StreamingResponse:
    """Events after ``after``, each with its id, and unnumbered ``progress`` in between; ends when the job has ended,
    or when the account's key was revoked or its session signed out.
    """
    return StreamingResponse(
        _lines(database, account, job_id, after), media_type=EVENT_STREAM, headers={"X-Accel-Buffering": "no"}
    )


async def _lines(database: Database, account: Account, job_id: str, after: int) -> AsyncIterator[str]:
    shown: dict[str, Any] | None = None
    started = breathed = asked = time.monotonic()
    yield "retry: 2000\n\n"
    while True:
        events, status, progress = await run_in_threadpool(_look, database, job_id, after)
        for event in events:
            after = event.id
            yield _message(event.type, event.model_dump_json(), event.id)
        if status is None or status not in ACTIVE:
            yield _message("end", json.dumps({"status": status}))
            return
        if progress != shown:
            shown = progress
            yield _message("progress", json.dumps(progress))
        moment = time.monotonic()
        if moment - asked > _STANDS_EVERY_S:
            asked = moment
            if not await run_in_threadpool(still_stands, database, account):
                return
        if moment - breathed > _BREATHE_EVERY_S:
            breathed = moment
            yield ": still here\n\n"
        if moment - started > _LONGEST_S:
            return
        await anyio.sleep(_LOOK_EVERY_S)


def _look(database: Database, job_id: str, after: int) -> tuple[list[EventOut], str | None, dict[str, Any]]:
    """New events, and status and progress of the job; no status when it is gone."""
    with database.read() as session:
        # The job first: an event that belongs to the status that is read must not be missed.
        job = JobRecords(session).get(job_id)
        events = [EventOut.of(event) for event in EventRepository(session).after(job_id, after)]
    return events, (job.status if job else None), (job.progress if job else {})


def _message(kind: str, data: str, identifier: int | None = None) -> str:
    head = f"id: {identifier}\n" if identifier is not None else ""
    return f"{head}event: {kind}\ndata: {data}\n\n"
