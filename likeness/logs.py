"""Log lines: for people or as JSON, with the ids of what is being worked on, and without secrets.

    with bound(request_id="req_1"):      # every line in the block carries it, in this thread or task
        log.info("...")

A thread that is started inside a block begins without its ids; what it logs names them itself.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from likeness.settings import Settings

IDS = ("request_id", "job_id", "stage", "tenant_id")
"""What a line may be bound to, in the order in which it is written."""

_bound: ContextVar[Mapping[str, str]] = ContextVar("likeness_log_ids", default={})  # noqa: B039 (never changed)

_HIDDEN = "[hidden]"
_SHORTEST = 6
"""A secret of fewer characters is not looked for: it would be found inside of ordinary words."""
# To the end of the line or the closing quote: what follows has words of its own ("Bearer …", "AWS4-HMAC-SHA256 …").
_AUTHORIZATION = re.compile(r"""((?:proxy-)?authorization["']?\s*[:=,]\s*b?["']?)[^"'\r\n]+""", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\w://[^\s:/@]*:)[^\s/@]+(?=@)")
_API_KEY = re.compile(r"\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Have every line of the block carry these ids; see :data:`IDS`."""
    token = _bound.set({**_bound.get(), **ids})
    try:
        yield
    finally:
        _bound.reset(token)


def bound_ids() -> Mapping[str, str]:
    """The ids in force here."""
    return _bound.get()


class Redaction:
    """Takes secrets out of text: the given ones, passwords in URLs, and what follows ``Authorization``."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # The longest first: one secret may be part of another.
        known = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(_HIDDEN, text)
        text = _AUTHORIZATION.sub(rf"\1{_HIDDEN}", text)
        text = _API_KEY.sub(rf"\1{_HIDDEN}", text)
        return _URL_PASSWORD.sub(rf"\1{_HIDDEN}", text)


class TextFormatter(logging.Formatter):
    """A line for people; tracebacks follow it."""

    def __init__(self, redact: Redaction) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        # Last of all, so that a secret in an argument, in an exception's text or in a traceback goes too.
        return self._redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message, the bound ids, and exception."""

    def __init__(self, redact: Redaction) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._redact(record.getMessage()),
        }
        ids = bound_ids()
        line.update({name: ids[name] for name in IDS if name in ids})
        if record.exc_info:
            line["exception"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class Writer(logging.StreamHandler[TextIO]):
    """Writes to standard error. What can't be written is lost quietly: the standard handler would print the line's
    arguments, secrets included."""

    def handleError(self, record: logging.LogRecord) -> None:
        kind = sys.exc_info()[0]
        reason = kind.__name__ if kind else "unknown reason"
        try:
            self.stream.write(f"a line of the log {record.name} could not be written ({reason})\n")
        except (OSError, ValueError):
            pass


def write_logs(settings: Settings) -> None:
    """Write this process's log lines to standard error in the format of the settings; earlier handlers go."""
    redact = Redaction(settings.secret_values.values())
    handler = Writer(sys.stderr)
    handler.setFormatter(JsonFormatter(redact) if settings.log_format == "json" else TextFormatter(redact))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
