"""Objects at their signed addresses: those of the local store, and those of an S3 server that clients can't reach.
Where they can, addresses lead to the bucket instead.

The address is the whole permission (:mod:`likeness.signed_urls`), so these routes ask for nothing else.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.bodies import announced_bytes
from api.dependencies import SettingsDep, StoreDep
from api.object_response import ObjectResponse
from api.problem_details import answers, changes
from api.receive import pump
from api.routes.downloads import saved_as
from api.threads import Threads
from likeness.intake import require_free_disk
from likeness.refusals import RangeNotSatisfiable, SignatureRefused, UploadStalled
from likeness.settings import MEBIBYTE, Settings
from likeness.signed_urls import Grant
from likeness.store import LocalStore, ObjectStore
from problems import InvalidParameter, MediaTooLarge, NotFound, OutOfDisk

router = APIRouter(prefix="/v1/objects", tags=["objects"])

_STORERS = Threads("parts to the store", 8)
_CHECK_DISK_EVERY = 16 * MEBIBYTE
_OCTETS = "application/octet-stream"

Expires = Annotated[int | None, Query(description="Unix seconds; part of the signed address")]
Signature = Annotated[str | None, Query(max_length=64, description="Part of the signed address")]


@router.api_route(
    "/{key:path}",
    methods=["GET"],
    response_class=Response,
    responses={
        200: {"content": {_OCTETS: {}}},
        206: {"description": "The part that the Range header asks for", "content": {_OCTETS: {}}},
        304: {"description": "The copy that If-None-Match or If-Modified-Since names is still right"},
        **answers(SignatureRefused, NotFound, InvalidParameter, RangeNotSatisfiable),
    },
    summary="Read an object at its signed address",
)
def read_object(
    key: str, request: Request, store: StoreDep, expires: Expires = None, signature: Signature = None
) -> Response:
    """Answers range requests and conditional ones, and `HEAD`."""
    grant = store.check_signature(request.method, key, request.query_params)
    return ObjectResponse(store, key, request, grant.type or _OCTETS, saved_as(grant.filename))


@router.put(
    "/{key:path}",
    response_class=Response,
    responses={
        200: {"description": "Taken; the ETag header is the part's tag"},
        **changes(SignatureRefused, NotFound, UploadStalled, OutOfDisk),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {_OCTETS: {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    summary="Send an object, or a part of one, to its signed address",
)
async def write_object(
    key: str,
    request: Request,
    store: StoreDep,
    settings: SettingsDep,
    expires: Expires = None,
    signature: Signature = None,
) -> Response:
    """The body is the bytes; of an object exactly as many as were announced when the address was made."""
    grant = await run_in_threadpool(store.check_signature, request.method, key, request.query_params)
    sent_type = request.headers.get("content-type", _OCTETS)
    if grant.type is not None and sent_type != grant.type:
        raise InvalidParameter(
            f"the bytes are sent as {sent_type[:100]!r}, but the address is for {grant.type}",
            remedy=f"send the header Content-Type: {grant.type}",
            details={"field": "Content-Type"},
        )
    received = _incoming_file(store, settings)
    try:
        sha256 = await _receive(request, settings, grant, received)
        if grant.upload is not None and grant.part is not None:
            part = await _STORERS.run(
                partial(store.take_part, key, grant.upload, grant.part, received, sha256)
            )
            tag = part.tag
        else:
            await _STORERS.run(partial(store.put_file, key, received, move=True))
            tag = f'"{sha256}"'
    finally:
        received.unlink(missing_ok=True)
    return Response(headers={"ETag": tag})


async def _receive(request: Request, settings: Settings, grant: Grant, target: Path) -> str:
    """Stream the body into a new file; returns its sha256."""
    limit = settings.max_upload_bytes if grant.size is None else grant.size
    digest, size, next_check = hashlib.sha256(), 0, 0
    with open(target, "xb") as stream:

        def take(block: bytes) -> None:
            nonlocal size, next_check
            size += len(block)
            if size > limit:
                raise _too_large(grant, limit)
            if size >= next_check:
                require_free_disk(settings)
                next_check = size + _CHECK_DISK_EVERY
            digest.update(block)
            stream.write(block)

        announced = announced_bytes(request.headers)
        if announced is not None and announced > limit:
            raise _too_large(grant, limit)
        await pump(request, take)
    if grant.size is not None and size != grant.size:
        raise InvalidParameter(
            f"{size} bytes came, but the address is for {grant.size}",
            remedy="send the whole file, and no other",
            details={"field": "body", "expected": grant.size, "received": size},
        )
    return digest.hexdigest()


def _too_large(grant: Grant, limit: int) -> MediaTooLarge:
    remedy = "send the file that the address was made for"
    return MediaTooLarge(
        f"the body has more than {limit} bytes",
        remedy=remedy if grant.size is not None else "send smaller parts, or raise LIKENESS_MAX_UPLOAD_MB",
        details={"limit_bytes": limit},
    )


def _incoming_file(store: ObjectStore, settings: Settings) -> Path:
    """A fresh name where bytes may wait until they are whole."""
    if isinstance(store, LocalStore):
        return store.incoming_file()
    settings.incoming_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return settings.incoming_dir / secrets.token_hex(16)
