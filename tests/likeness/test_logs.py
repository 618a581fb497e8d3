"""Log lines: as JSON, bound to ids, without secrets."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from likeness.logs import Redaction, Writer, bound, bound_ids, write_logs
from likeness.settings import Settings

KEY = "9f2c4b6d8e1a3057c4d6e8fa1b2c3d4e"
PASSWORD = "3f9a8b7c6d5e4f3a"
log = logging.getLogger("likeness.test")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        log_format="json",
        secret_key=KEY,
        database_url=f"postgresql://likeness:{PASSWORD}@db/likeness",
    )


@pytest.fixture
def stream(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is written to standard error; the root logger is put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []  # write_logs closes what it replaces, and pytest's own are still needed
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    write_logs(settings)
    yield written
    root.handlers, root.level = before, level
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_object(stream: io.StringIO) -> None:
    log.info("two\nlines of %s", "text")
    log.debug("too quiet")
    [line] = lines(stream)
    assert line["message"] == "two\nlines of text"
    assert (line["level"], line["logger"]) == ("INFO", "likeness.test")
    assert line["time"].endswith("+00:00")
    assert set(line) == {"time", "level", "logger", "message"}


def test_ids_are_on_every_line_of_the_block(stream: io.StringIO) -> None:
    with bound(job_id="job_1", stage="fit"):
        log.info("outer")
        with bound(stage="render", tenant_id="ten_1"):
            log.info("inner")
        with pytest.raises(ValueError, match="x"), bound(request_id="req_1"):
            raise ValueError("x")
        log.info("outer again")
    log.info("outside")
    outer, inner, again, outside = lines(stream)
    assert (outer["job_id"], outer["stage"]) == ("job_1", "fit")
    assert (inner["job_id"], inner["stage"], inner["tenant_id"]) == ("job_1", "render", "ten_1")
    assert "request_id" not in again
    assert again["stage"] == "fit"
    assert "job_id" not in outside


def test_threads_do_not_share_ids() -> None:
    seen: list[dict[str, str]] = []
    with bound(job_id="job_1"):
        thread = threading.Thread(target=lambda: seen.append(dict(bound_ids())))
        thread.start()
        thread.join()
    assert seen == [{}]


def test_secrets_are_hidden_wherever_they_stand(stream: io.StringIO, settings: Settings) -> None:
    log.info("the key is %s", KEY)
    log.info("connecting to %s", settings.database_url)
    log.info("headers: %s", {"Authorization": "Bearer lk_live_0123456789", "Accept": "text/html"})
    log.info("Authorization: Basic dXNlcjpwYXNz")
    try:
        raise RuntimeError(f"can't log in with {PASSWORD}")
    except RuntimeError:
        log.exception("failed")
    said = stream.getvalue()
    for secret in (KEY, PASSWORD, "lk_live_0123456789", "dXNlcjpwYXNz"):
        assert secret not in said
    assert said.count("[hidden]") >= 5
    assert "RuntimeError: can't log in with [hidden]" in said
    assert "text/html" in said, "only the secret goes"
    assert "postgresql://likeness:[hidden]@db/likeness" in said


def test_a_line_that_can_not_be_formatted_tells_nothing(stream: io.StringIO) -> None:
    # Not through the logger: pytest's own handler there raises what ours must not.
    [handler] = [each for each in logging.getLogger().handlers if isinstance(each, Writer)]
    handler.handle(log.makeRecord(log.name, logging.INFO, __file__, 1, "%d", (KEY,), None))
    assert KEY not in stream.getvalue()
    assert "a line of the log likeness.test could not be written (TypeError)" in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "GET /v1/persons 200 3 ms",
        "http://127.0.0.1:8000 is ready",
        "author: somebody, authorisation is another word",
        "mail ada@example.org",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert Redaction([KEY, "short"])(text) == text
    assert Redaction(["short"])("a short word") == "a short word"


def test_a_password_of_another_url_is_hidden() -> None:
    assert Redaction([])("redis://:abc@host:6379/0 and amqp://u:p@h") == (
        "redis://:[hidden]@host:6379/0 and amqp://u:[hidden]@h"
    )


def test_text_is_the_default(tmp_path: Path) -> None:
    code = (
        "import logging; from likeness.logs import write_logs; from likeness.settings import Settings; "
        f"write_logs(Settings(secret_key={KEY!r})); logging.getLogger('a').warning('hello %s', {KEY!r})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr.rstrip().endswith("WARNING a hello [hidden]")
