"""What forms send: fields, and a file that comes along or was uploaded before by the page's script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from api.receive import receive_upload
from api.routes.deleting import purge_quietly
from likeness.accounts import Account
from likeness.database import Database
from likeness.deletion import delete_upload
from likeness.settings import Settings
from likeness.store import ObjectStore
from problems import InvalidParameter, Problem

Choice = TypeVar("Choice", bound=str)
Body = TypeVar("Body", bound=BaseModel)
_MOST_FIELDS = 40


@dataclass(frozen=True)
class Sent:
    """A form with the id of its file."""

    fields: Mapping[str, str]
    upload_id: str
    came_along: bool
    """The file was in the form itself, so that nobody knows of it if the form is refused."""

    async def start(
        self, work: Callable[[], str], database: Database, store: ObjectStore, settings: Settings
    ) -> str:
        """Run ``work`` on a thread; when it refuses, a file that came with the form is not kept either."""
        try:
            return await run_in_threadpool(work)
        except Problem:
            if self.came_along:
                await run_in_threadpool(self._drop, database, store, settings)
            raise

    def _drop(self, database: Database, store: ObjectStore, settings: Settings) -> None:
        delete_upload(database, self.upload_id)
        purge_quietly(database, store, settings)


async def receive_form(
    request: Request,
    account: Account,
    settings: Settings,
    database: Database,
    store: ObjectStore,
    *,
    purpose: str,
) -> Sent:
    """A multipart form brings its file along; any other names it as ``upload_id``.

    Raises:
        InvalidParameter: there is neither.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        upload, fields = await receive_upload(
            request, settings, database, store, purpose=purpose, tenant_id=account.tenant_id
        )
        return Sent(fields, upload.id, came_along=True)
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > 2**20:  # the gate leaves the paths of uploads to us
        raise InvalidParameter("the form is too long", remedy="send files as multipart/form-data")
    form = await request.form(max_fields=_MOST_FIELDS)
    found = {name: value for name, value in form.items() if isinstance(value, str)}
    if not found.get("upload_id"):
        raise InvalidParameter(
            "the form has no file", remedy="choose a file and send the form again", details={"field": "file"}
        )
    return Sent(found, found["upload_id"][:64], came_along=False)


def choice(fields: Mapping[str, str], name: str, known: tuple[Choice, ...], default: Choice) -> Choice:
    """One of the known values, or the default when the field is not there."""
    given = fields.get(name) or default
    for each in known:
        if each == given:
            return each
    raise InvalidParameter(
        f"{name} {given!r} is not known", remedy=f"use one of {', '.join(known)}", details={"field": name}
    )


def parsed(model: type[Body], values: Mapping[str, Any]) -> Body:
    """A request body of the API made of a form's values; those that are empty keep their default."""
    given = {name: value for name, value in values.items() if value not in ("", None)}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise InvalidParameter(
            f"{field.replace('_', ' ') or 'the form'}: {fault['msg']}",
            remedy="go back, correct the field and send the form again",
            details={"field": field},
        ) from error


def see(path: str) -> RedirectResponse:
    """Where to look after a form was taken."""
    return RedirectResponse(path, 303)
