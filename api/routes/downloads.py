"""Handing a stored object to the client."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response
from fastapi.responses import FileResponse

from likeness.store import ObjectStore
from problems import InternalProblem


def download(store: ObjectStore, entry: Mapping[str, object], filename: str, media_type: str) -> Response:
    """Answer with the bytes of a manifest's entry; ranges and conditional requests are honoured.

    Raises:
        NotFound: the file is gone from the store.
    """
    path = store.local_path(str(entry["key"]))
    if path is None:
        raise InternalProblem(
            "this service can only hand out local files", remedy="use a local store with the embedded service"
        )
    return FileResponse(
        path, media_type=media_type, filename=filename, headers={"Digest": f"sha-256={entry['sha256']}"}
    )
