"""What the disk and the database refuse, told as problems: a full disk is nobody's bug, and can be mended."""

from __future__ import annotations

import errno

from sqlalchemy.exc import DataError, DBAPIError

from problems import InvalidParameter, OutOfDisk, Problem

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SQLITE_FULL = 13
_SQLITE_NO_ROOM = (778, 1034, 4874)
"""SQLite's I/O errors of a write, of a flush and of growing the shared memory beside the database."""
_POSTGRES_FULL = "53100"


def problem_of(error: BaseException) -> Problem | None:
    """The problem that an error of the disk or of a database stands for; None when it stands for none."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, OSError) and error.errno in _FULL:
        return out_of_disk("the data folder's disk is full")
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is not None and (code & 0xFF == _SQLITE_FULL or code in _SQLITE_NO_ROOM):
            return out_of_disk("the disk of the database is full")
        if getattr(error.orig, "sqlstate", None) == _POSTGRES_FULL:
            return out_of_disk("the disk of the database is full")
        if isinstance(error, DataError):
            return _not_kept()
    if isinstance(error, OverflowError) and "SQLite" in str(error):
        return _not_kept()
    return None


def out_of_disk(message: str) -> OutOfDisk:
    """Nothing more can be written."""
    return OutOfDisk(
        f"{message}: nothing was kept of this request",
        remedy="free some disk space, delete uploads and jobs that are not needed, then send it again",
        details={"retry_after_s": 60},
    )


def _not_kept() -> InvalidParameter:
    return InvalidParameter(
        "a value of the request can't be kept in the database",
        remedy="send shorter text, smaller numbers, and no control characters",
        details={"field": ""},
    )
