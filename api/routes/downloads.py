"""Handing a stored object to the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from api.head import without_body
from api.object_response import ObjectResponse
from api.problem_details import answers
from likeness.refusals import RangeNotSatisfiable
from likeness.store import ObjectStore
from problems import Conflict, NotFound

FILE_EXPIRES_S = 3600.0
"""A player asks for ranges of a long video as it plays, always by the same address."""


def download(
    store: ObjectStore, entry: Mapping[str, object], filename: str, media_type: str, request: Request
) -> Response:
    """Answer with the bytes of a manifest's entry, or with a redirect to where the store hands them out; ranges
    and conditional requests are honoured by both.

    Raises:
        NotFound: the file is gone from the store.
        RangeNotSatisfiable: the range begins behind its end.
    """
    key, digest = str(entry["key"]), {"Digest": f"sha-256={entry['sha256']}"}
    # HEAD is answered here in any case: elsewhere an address that is signed for GET is refused to it.
    if store.answered_by_api or without_body(request):
        return ObjectResponse(store, key, request, media_type, {**digest, **saved_as(filename)})
    address = store.signed_get(key, expires_s=FILE_EXPIRES_S, filename=filename, media_type=media_type)
    return RedirectResponse(address, status_code=307, headers=digest)


def file_answers(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """The ``responses=`` of a route that answers with :func:`download`."""
    content: dict[str, Any] = {kind: {} for kind in media_types}
    return {
        200: {"content": content},
        206: {"description": "The part that the Range header asks for", "content": content},
        304: {"description": "The copy that If-None-Match or If-Modified-Since names is still right"},
        307: {"description": "Where the object store hands it out"},
        **answers(NotFound, Conflict, RangeNotSatisfiable),
    }


def saved_as(filename: str | None) -> dict[str, str]:
    """The header that makes a browser save a file under this name; none for no name."""
    if filename is None:
        return {}
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}"}
