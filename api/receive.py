"""Uploads as they come in: multipart forms and plain bodies, streamed to disk in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from api.bodies import announced_bytes
from likeness.database import Database
from likeness.deletion import delete_upload
from likeness.intake import Intake
from likeness.settings import Settings
from likeness.store import ObjectStore
from likeness.tables import EMBEDDED, Upload
from problems import InvalidParameter

_BATCH = 2**20
_MAX_FIELD = 2**16
_MAX_HEADER = 2**13
_MAX_PARTS = 32
_UNKNOWN_TYPE = "application/octet-stream"

# Threads of their own. On those that answer everybody else, each batch of an upload waited for its turn among all
# requests, and a few files that are hashed and stored at once held up everybody.
_WRITING: RunVar[CapacityLimiter] = RunVar("writes of uploads")
_STORING: RunVar[CapacityLimiter] = RunVar("uploads to the store")
_WRITERS = 4
_STORERS = 8

_Result = TypeVar("_Result")


@dataclass
class _Form:
    """Callbacks of the multipart parser: each file goes to its intake, small fields into ``fields``."""

    intakes: Mapping[str, Intake]
    """By the name of the file's field."""
    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    """File name and media type of those that came."""
    ended: bool = False
    _parts: int = 0
    _headers: dict[str, str] = field(default_factory=dict)
    _header: list[bytes] = field(default_factory=lambda: [b"", b""])
    _name: str = ""
    _intake: Intake | None = None
    _value: bytes = b""

    def parser(self, boundary: bytes) -> MultipartParser:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise _bad_form(f"the form has more than {_MAX_PARTS} parts")
        self._headers, self._value = {}, b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._grow(0, data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._grow(1, data[start:end])

    def _grow(self, which: int, data: bytes) -> None:
        self._header[which] += data
        if len(self._header[which]) > _MAX_HEADER or len(self._headers) > _MAX_PARTS:
            raise _bad_form(f"a part's headers have more than {_MAX_HEADER} bytes")

    def _header_end(self) -> None:
        name, value = self._header
        if b"\0" in name + value:
            raise _bad_form("a part's headers have a NUL character")
        # latin-1 keeps every byte, and is what the library encodes with: names in UTF-8 come out whole below.
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._intake = self.intakes.get(self._name)
        if self._intake is not None:
            if self._name in self.files:
                raise _bad_form("the form has two files")
            filename = options.get(b"filename", b"").decode("utf-8", "replace")
            self.files[self._name] = filename, self._headers.get("content-type", _UNKNOWN_TYPE)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._intake is not None:
            self._intake.write(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > _MAX_FIELD:
            raise _bad_form(f"the field {self._name[:100]!r} is longer than {_MAX_FIELD} bytes")

    def _end(self) -> None:
        if self._intake is None:
            if b"\0" in self._value:
                raise InvalidParameter(
                    f"{self._name[:100]} has a NUL character",
                    remedy="send text without it",
                    details={"field": self._name[:100]},
                )
            self.fields[self._name] = self._value.decode("utf-8", "replace")

    def _finish(self) -> None:
        self.ended = True


async def receive_upload(
    request: Request,
    settings: Settings,
    database: Database,
    store: ObjectStore,
    *,
    purpose: str | None = None,
    tenant_id: str = EMBEDDED,
) -> tuple[Upload, dict[str, str]]:
    """Take the one file of a request in, and the form fields beside it.

    A multipart form has a part ``file`` and fields ``purpose`` and ``sha256``; for any other content type the
    body is the file, and the query has ``purpose``, ``filename`` and ``sha256``. The argument ``purpose``
    overrides both.

    Raises:
        InvalidParameter, MediaTooLarge, OutOfDisk, UnreadableMedia: as :class:`likeness.intake.Intake` does.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    intake = await run_in_threadpool(partial(Intake, settings, database, store, tenant_id=tenant_id))
    with intake:
        announced = announced_bytes(request.headers)
        if announced is not None:
            # A form is a little longer than its file.
            await run_in_threadpool(intake.expect, announced - 2 * _MAX_FIELD)
        if kind == b"multipart/form-data":
            form = await _read_form(request, {"file": intake}, options.get(b"boundary", b""))
            fields, (filename, media_type) = form.fields, form.files.get("file", ("", ""))
        else:
            await _read_body(request, intake)
            fields = dict(request.query_params)
            filename, media_type = fields.get("filename", ""), kind.decode("latin-1")
        upload = await _apart(
            _STORING,
            _STORERS,
            partial(
                intake.finish,
                filename=filename,
                media_type=media_type or _UNKNOWN_TYPE,
                purpose=purpose or fields.get("purpose", ""),
                sha256=fields.get("sha256"),
            ),
        )
    return upload, fields


async def receive_files(
    request: Request,
    settings: Settings,
    database: Database,
    store: ObjectStore,
    *,
    purposes: Mapping[str, str],
    tenant_id: str,
) -> tuple[dict[str, Upload], dict[str, str]]:
    """Take in a multipart form with a file for each of the fields in ``purposes``; what was left empty is not there.

    Returns:
        uploads by field, and the form's other fields.

    Raises:
        InvalidParameter, MediaTooLarge, OutOfDisk, UnreadableMedia: as :class:`likeness.intake.Intake` does.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    uploads: dict[str, Upload] = {}
    with ExitStack() as stack:
        intakes = {}
        for name in purposes:
            intake = await run_in_threadpool(partial(Intake, settings, database, store, tenant_id=tenant_id))
            intakes[name] = stack.enter_context(intake)
        form = await _read_form(request, intakes, options.get(b"boundary", b""))
        try:
            for name, (filename, media_type) in form.files.items():
                if not filename and not intakes[name].size:
                    continue
                finish = partial(
                    intakes[name].finish,
                    filename=filename,
                    media_type=media_type,
                    purpose=purposes[name],
                )
                uploads[name] = await _apart(_STORING, _STORERS, finish)
        except BaseException:
            # Nobody would know of those that were stored before the one that is refused.
            for upload in uploads.values():
                await run_in_threadpool(delete_upload, database, upload.id)
            raise
    return uploads, form.fields


async def _read_form(request: Request, intakes: Mapping[str, Intake], boundary: bytes) -> _Form:
    if not boundary:
        raise _bad_form("the form's content type names no boundary")
    form = _Form(intakes)
    parser = form.parser(boundary)
    try:
        await pump(request, parser.write)
        parser.finalize()
    except MultipartParseError as error:
        raise _bad_form(f"the form can't be read ({error})") from error
    if not form.ended:
        raise _bad_form("the form ends in its middle")
    return form


async def _read_body(request: Request, intake: Intake) -> None:
    def write(block: bytes) -> int:
        intake.write(block)
        return len(block)

    await pump(request, write)


async def pump(request: Request, write: Callable[[bytes], object]) -> None:
    """Hand the body on in batches, on a thread: parsing and disk must not hold up other requests.

    Raises:
        MediaTooLarge, UploadStalled: as :class:`api.bodies.FileBody` does.
    """
    batch = bytearray()
    async for block in request.stream():
        batch += block
        if len(batch) >= _BATCH:
            await _apart(_WRITING, _WRITERS, partial(write, bytes(batch)))
            batch.clear()
    if batch:
        await _apart(_WRITING, _WRITERS, partial(write, bytes(batch)))


async def _apart(limiter: RunVar[CapacityLimiter], threads: int, call: Callable[[], _Result]) -> _Result:
    """Call it on one of so many threads, which the event loop keeps for this."""
    try:
        limit = limiter.get()
    except LookupError:
        limiter.set(limit := CapacityLimiter(threads))
    return await to_thread.run_sync(call, limiter=limit)


def _bad_form(message: str) -> InvalidParameter:
    return InvalidParameter(
        message,
        remedy="send one multipart form: curl -F purpose=clip -F file=@clip.mp4",
        details={"field": "file"},
    )
