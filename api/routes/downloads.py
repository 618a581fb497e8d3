"""Handing a stored object to the client."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response
from fastapi.responses import FileResponse, RedirectResponse

from likeness.store import ObjectStore

FILE_EXPIRES_S = 3600.0
"""A player asks for ranges of a long video as it plays, always by the same address."""


def download(store: ObjectStore, entry: Mapping[str, object], filename: str, media_type: str) -> Response:
    """Answer with the bytes of a manifest's entry, or with a redirect to where the store hands them out; ranges
    and conditional requests are honoured by both.

    Raises:
        NotFound: the file is gone from the store.
    """
    key, digest = str(entry["key"]), {"Digest": f"sha-256={entry['sha256']}"}
    path = store.local_path(key)
    if path is None:
        address = store.signed_get(key, expires_s=FILE_EXPIRES_S, filename=filename, media_type=media_type)
        return RedirectResponse(address, status_code=307, headers=digest)
    return FileResponse(path, media_type=media_type, filename=filename, headers=digest)
