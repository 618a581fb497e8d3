"""What goes wrong for a client: one class, whose ``slug`` is the ``code`` that the service answered with.

Codes of the client's own, for what never reached the service or came back damaged:

=================== ====================================================================
unreachable         no connection, or it broke more often than it is worth trying; retryable
unexpected_answer   an answer that is not this API's, from a proxy for instance
damaged_transfer    the bytes that came are not those that were promised
still_running       a wait was as long as it was allowed to be
file_changed        the local file is not the one that the upload was begun with
=================== ====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ClientProblem(Exception):
    """Base of what the client raises on purpose. It has what the service's own problems have, but is a class of its
    own: the client is installed without the service (``clients/python``).

    Args:
        message: one sentence that names what is wrong.
        remedy: one sentence that says what to do about it.
        details: machine-readable facts (JSON types only).
    """

    slug, title, status, retryable = "client_problem", "Something went wrong", 500, False

    def __init__(self, message: str, *, remedy: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message, self.remedy, self.details = message, remedy, dict(details or {})

    def as_dict(self) -> dict[str, Any]:
        """The error as JSON types: slug, title, status, retryable, message, remedy, details."""
        names = ("slug", "title", "status", "retryable", "message", "remedy", "details")
        return {name: getattr(self, name) for name in names}


class ApiProblem(ClientProblem):
    """An error of the service (RFC 9457), or of the way to it.

    Args:
        code: stable name of the kind of error; programs go by it.
        title: the kind of error in a few words.
        status: HTTP status; that of the job's error where a job failed.
        retryable: whether the same may succeed later.
        request_id: finds the request in the service's log.
    """

    slug, title, status = "api_problem", "The service refused", 500

    def __init__(
        self,
        message: str,
        *,
        remedy: str,
        details: Mapping[str, Any] | None = None,
        code: str = "api_problem",
        title: str = "The service refused",
        status: int = 500,
        retryable: bool = False,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy, details=details)
        # Facts of the instance, not of a class: the service may know more kinds than this client does.
        self.slug, self.title, self.status, self.retryable = code, title, status, retryable
        self.request_id = request_id

    @property
    def code(self) -> str:
        """The ``code`` of the answer."""
        return self.slug

    @classmethod
    def from_answer(cls, body: Mapping[str, Any]) -> ApiProblem:
        """From the JSON of an answer, or from a job's ``error``."""
        return cls(
            str(body.get("detail", "the service refused")),
            remedy=str(body.get("remedy", "see the service's log")),
            details=body.get("details") or {},
            code=str(body.get("code", "api_problem")),
            title=str(body.get("title", "The service refused")),
            status=int(body.get("status", 500)),
            retryable=bool(body.get("retryable", False)),
            request_id=body.get("request_id"),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (
            {**self.as_dict(), "code": self.slug, "detail": self.message, "request_id": self.request_id},
        )


def _rebuild(body: Mapping[str, Any]) -> ApiProblem:
    return ApiProblem.from_answer(body)
