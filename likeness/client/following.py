"""A job's events as they happen, over lines that break (https://html.spec.whatwg.org/#server-sent-events)."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

from .answers import Event
from .decoding import decode
from .errors import ApiProblem
from .transport import BROKEN, Transport

_SILENCE_S = 45.0
"""The service says at least every 15 s that it is still there."""


def follow(transport: Transport, path: str, after: int = 0) -> Iterator[Event]:
    """Events after ``after``, until the job has ended; a line that broke is taken up after the last event that came.

    Raises:
        ApiProblem: refused, or unreachable for longer than the client is patient.
    """
    last, attempt = after, 0
    while True:
        try:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
            with transport.open(path, headers, timeout_s=_SILENCE_S) as answer:
                for kind, data, identifier in messages(answer):
                    attempt = 0
                    if kind == "end":
                        return
                    if identifier is None:
                        yield Event(kind, json.loads(data))
                        continue
                    event = decode(Event, json.loads(data))
                    last = event.id or last
                    yield event
            problem = transport.unreachable(EOFError("the stream ended early"))
        except ApiProblem as error:
            problem = error
        except BROKEN as error:
            problem = transport.unreachable(error)
        transport.wait_or_raise(problem, attempt)
        attempt += 1


def messages(answer: http.client.HTTPResponse) -> Iterator[tuple[str, str, str | None]]:
    """``(event, data, id)`` of each whole message; one that a broken line cut off is dropped."""
    kind, data, identifier = "message", list[str](), None
    while raw := answer.readline():
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            if data:
                yield kind, "\n".join(data), identifier
            kind, data, identifier = "message", [], None
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            identifier = value
