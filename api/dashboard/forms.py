"""What forms send: fields, and files that come along or were uploaded before by the page's script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from api.problem_details import misfit
from api.receive import receive_files
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
    """A form with the ids of its files."""

    fields: Mapping[str, str]
    uploads: Mapping[str, str]
    """By the name of the file's field."""
    came_along: tuple[str, ...]
    """Those that were in the form itself, so that nobody knows of them if the form is refused."""

    @property
    def upload_id(self) -> str:
        """The form's own file."""
        return self.uploads["file"]

    async def start(
        self, work: Callable[[], str], database: Database, store: ObjectStore, settings: Settings
    ) -> str:
        """Run ``work`` on a thread; when it refuses, files that came with the form are not kept either."""
        try:
            return await run_in_threadpool(work)
        except Problem:
            if self.came_along:
                await run_in_threadpool(self._drop, database, store, settings)
            raise

    def _drop(self, database: Database, store: ObjectStore, settings: Settings) -> None:
        for upload_id in self.came_along:
            delete_upload(database, upload_id)
        purge_quietly(database, store, settings)


async def receive_form(
    request: Request,
    account: Account,
    settings: Settings,
    database: Database,
    store: ObjectStore,
    *,
    purpose: str,
    also: Mapping[str, str] | None = None,
) -> Sent:
    """A multipart form may bring its file along; else it is named as ``upload_id``.

    Args:
        also: fields of further files that a form may have, with their purposes: ``pose_file`` is what is otherwise
            named as ``pose_upload_id``.

    Raises:
        InvalidParameter: there is neither.
    """
    purposes = {"file": purpose, **(also or {})}
    uploads: dict[str, str] = {}
    came_along: tuple[str, ...] = ()
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        received, fields = await receive_files(
            request, settings, database, store, purposes=purposes, tenant_id=account.tenant_id
        )
        uploads = {name: upload.id for name, upload in received.items()}
        came_along = tuple(uploads.values())
    else:
        form = await request.form(max_fields=_MOST_FIELDS)
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    for name in purposes:
        named = fields.get(name.replace("file", "upload_id"), "")
        if name not in uploads and named:
            uploads[name] = named[:64]
    sent = Sent(fields, uploads, came_along)
    if "file" not in uploads:
        await sent.start(_no_file, database, store, settings)  # which drops what came without it
    return sent


def _no_file() -> str:
    raise InvalidParameter(
        "the form has no file", remedy="choose a file and send the form again", details={"field": "file"}
    )


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
        remedy = "go back, correct the field and send the form again"
        raise misfit(error.errors(), whole="the form", remedy=remedy) from error


def see(path: str) -> RedirectResponse:
    """Where to look after a form was taken."""
    return RedirectResponse(path, 303)
