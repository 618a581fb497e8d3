"""Connections that break, services that are away: what the client does by itself, and what it says."""

from __future__ import annotations

import contextlib
import pickle
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from likeness.client import ApiProblem, Client, RetryConfig
from likeness.client.files import file_sha256
from likeness.client.transport import Transport
from tests.likeness.client.conftest import QUICK
from tests.likeness.client.test_calls import learned, spoken
from tests.served import Service

MEBIBYTE = 2**20


class BreakingLine:
    """A TCP relay before the service that cuts each of the first connections after so many bytes."""

    def __init__(self, target: str, *, up: list[int] | None = None, down: list[int] | None = None) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self.up, self.down = list(up or []), list(down or [])
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                up = self.up.pop(0) if self.up else None
                down = self.down.pop(0) if self.down else None
                server = socket.create_connection(self._target)
                for source, sink, limit in ((client, server, up), (server, client, down)):
                    threading.Thread(
                        target=self._carry, args=(source, sink, limit, (client, server)), daemon=True
                    ).start()

    def _carry(
        self,
        source: socket.socket,
        sink: socket.socket,
        limit: int | None,
        both: tuple[socket.socket, socket.socket],
    ) -> None:
        left = limit
        with contextlib.suppress(OSError):
            while block := source.recv(65536 if left is None else max(1, min(65536, left))):
                sink.sendall(block)
                if left is not None:
                    left -= len(block)
                    if left <= 0:
                        break
        if limit is not None and left is not None and left <= 0:
            for line in both:
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Two parts and a bit."""
    path = tmp_path / "large.mp4"
    path.write_bytes(bytes(range(256)) * (17 * MEBIBYTE // 256))
    return path


@contextlib.contextmanager
def breaking(
    service: Service, *, up: list[int] | None = None, down: list[int] | None = None
) -> Iterator[tuple[Client, BreakingLine]]:
    line = BreakingLine(service.url, up=up, down=down)
    try:
        yield Client(line.url, retry=QUICK), line
    finally:
        line.close()


@pytest.mark.slow
def test_a_large_file_over_a_line_that_breaks(service: Service, large: Path) -> None:
    seen: list[tuple[int, int]] = []
    # the announcement passes; then the first part breaks in its middle, twice; then the second
    with breaking(service, up=[10_000_000, 3 * MEBIBYTE, MEBIBYTE, 10 * MEBIBYTE, 2 * MEBIBYTE]) as (
        client,
        line,
    ):
        upload = client.uploads.create(large, "clip", progress=lambda *sent: seen.append(sent))
    assert (upload.status, upload.sha256) == ("ready", file_sha256(large))
    assert line.connections == 1 + 3 + 2 + 1 + 1, (
        "announce, part 1 three times, part 2 twice, part 3, complete"
    )
    assert seen[0] == (0, upload.size)
    assert seen[-1] == (upload.size, upload.size)


def test_another_process_goes_on_with_an_upload(service: Service, large: Path, tmp_path: Path) -> None:
    impatient = RetryConfig(tries=1, timeout_s=20)
    line = BreakingLine(service.url, up=[10_000_000, 10_000_000, MEBIBYTE])
    with pytest.raises(ApiProblem) as broken:
        Client(line.url, retry=impatient).uploads.create(large, "clip")
    line.close()
    assert (broken.value.code, broken.value.retryable) == ("unreachable", True)
    client = Client(service.url, retry=QUICK)
    begun = next(upload for upload in client.uploads.list() if upload.status == "awaiting")
    other = tmp_path / "other.mp4"
    other.write_bytes(b"\0" * begun.size)
    with pytest.raises(ApiProblem) as refused:
        client.uploads.resume(begun.id, other)
    assert refused.value.code == "file_changed"
    seen: list[int] = []
    upload = client.uploads.resume(begun.id, large, progress=lambda sent, _: seen.append(sent))
    assert (upload.id, upload.status) == (begun.id, "ready")
    assert seen[0] == 8 * MEBIBYTE, "the part that had come was not sent again"
    assert client.uploads.resume(begun.id, large).status == "ready", "again is no error"


def test_an_answer_that_was_lost_is_given_again(service: Service) -> None:
    # The request arrives and is carried out, but the line breaks before the answer is through.
    with breaking(service, down=[1]) as (client, line):
        consent = client.consents.create("Once Only", attested=True)
    assert line.connections == 2
    names = [each.subject_name for each in Client(service.url).consents.list()]
    assert names.count("Once Only") == 1, "it was made once"
    assert consent.subject_name == "Once Only"


def test_a_key_whose_answer_was_lost_is_made_anew(service: Service) -> None:
    with breaking(service, down=[1]) as (client, _):
        key = client.api_keys.create("lost", ["read"])
    assert key.key is not None, "an answer that is given again has no key"
    standing = [each for each in Client(service.url).api_keys.list() if each.name == "lost"]
    assert [each.id for each in standing if each.revoked_at is None] == [key.id]


def test_a_download_goes_on_where_it_broke(service: Service, clip: Path, tmp_path: Path) -> None:
    client = Client(service.url, retry=QUICK)
    person = learned(client, clip, "Fe Example")
    (tmp_path / "long.wav").write_bytes(bytes(range(256)) * 4096)
    sound = client.uploads.create(tmp_path / "long.wav", "recording")
    video = client.videos.create(person.id, audio_upload_id=sound.id)
    done = client.videos.wait(video.id, timeout_s=30, poll_s=0.05)
    target, seen = tmp_path / "v.mp4", list[int]()
    with breaking(service, down=[100_000, 300_000, 400_000]) as (shaky, line):
        shaky.videos.download(video.id, target, progress=lambda sent, _: seen.append(sent))
    assert file_sha256(target) == done.sha256
    assert line.connections == 4
    assert seen == sorted(seen), "nothing was sent twice"
    # A partial file with other bytes in it is found out, and the next call is a clean one.
    assert done.sha256 is not None
    partial = tmp_path / f".w.mp4.{done.sha256[:12]}.part"
    partial.write_bytes(b"x" * 1000)
    with pytest.raises(ApiProblem) as damaged:
        client.videos.download(video.id, tmp_path / "w.mp4")
    assert damaged.value.code == "damaged_transfer"
    assert not (tmp_path / "w.mp4").exists()
    assert file_sha256(client.videos.download(video.id, tmp_path / "w.mp4")) == done.sha256


def test_events_go_on_after_a_broken_line(service: Service, clip: Path, tmp_path: Path) -> None:
    direct = Client(service.url, retry=QUICK)
    person = learned(direct, clip, "Gi Example")
    whole = [event for event in direct.trainings.events(person.training_id or "") if event.id is not None]
    with breaking(service, down=[900, 1200]) as (shaky, line):
        broken = [event for event in shaky.trainings.events(person.training_id or "") if event.id is not None]
    assert line.connections == 3
    assert [event.id for event in broken] == [event.id for event in whole], "none twice, none missing"
    assert whole[-1].data["status"] == "succeeded"
    past = direct.trainings.past_events(person.training_id or "", after=whole[0].id or 0)
    assert [event.id for event in past] == [event.id for event in whole[1:]]


def test_nobody_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = Client(f"http://127.0.0.1:{port}", retry=RetryConfig(tries=3, first_pause_s=0.01))
    with pytest.raises(ApiProblem, match="does not answer") as refused:
        client.system()
    assert "likeness up" in refused.value.remedy


@pytest.mark.parametrize("server", ["localhost:8000", "ftp://host", ""])
def test_what_is_no_address_is_said(server: str) -> None:
    with pytest.raises(ApiProblem, match="no address"):
        Transport(server, None, QUICK)


def answer_with(*answers: bytes) -> tuple[str, list[bytes]]:
    """A server that gives these answers, one a connection; and what it was sent."""
    listener, requests = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        with listener:
            for answer in answers:
                line, _ = listener.accept()
                with line:
                    requests.append(line.recv(65536))
                    line.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", requests


def raw(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_pauses_are_as_long_as_the_service_asks() -> None:
    problem = (
        b'{"code": "rate_limited", "status": 429, "retryable": true, "detail": "slow", "remedy": "wait"}'
    )
    limited = raw(
        "429 Too Many Requests", problem, "Retry-After: 7", "Content-Type: application/problem+json"
    )
    away = raw("503 Service Unavailable", b"<html>", "Content-Type: text/html")
    good = raw("200 OK", b'{"a": 1}', "Content-Type: application/json")
    url, requests = answer_with(limited, away, good)
    pauses: list[float] = []
    transport = Transport(url, "lk_secret", QUICK, sleep=pauses.append)
    assert transport.call("POST", "/v1/anything", {"b": 2}) == {"a": 1}
    assert pauses[0] == 7
    assert pauses[1] < 1
    keys = {
        line for request in requests for line in request.split(b"\r\n") if line.startswith(b"Idempotency-Key")
    }
    assert len(requests) == 3
    assert len(keys) == 1, "the same key at each try"
    assert all(b"Authorization: Bearer lk_secret" in request for request in requests)


@pytest.mark.parametrize(
    ("status", "facts", "code"),
    [
        (
            "429 Too Many Requests",
            b'"code": "quota_exceeded", "status": 429, "retryable": false',
            "quota_exceeded",
        ),
        ("422 Unprocessable", b'"code": "no_face", "status": 422, "retryable": false', "no_face"),
        (
            "429 Too Many Requests",
            b'"code": "rate_limited", "status": 429, "retryable": true',
            "rate_limited",
        ),
    ],
)
def test_what_waiting_does_not_help_is_not_tried_again(status: str, facts: bytes, code: str) -> None:
    # the last one asks for an hour, which is for the caller to decide
    url, requests = answer_with(raw(status, b"{" + facts + b"}", "Retry-After: 3600"))
    transport = Transport(url, None, QUICK, sleep=lambda _: pytest.fail("it waited"))
    with pytest.raises(ApiProblem) as refused:
        transport.call("GET", "/v1/anything")
    assert refused.value.code == code
    assert len(requests) == 1


def test_the_key_is_not_shown_to_the_object_store() -> None:
    content = b"video"
    store, seen_by_store = answer_with(raw("200 OK", content))
    service, seen_by_service = answer_with(
        raw("307 Temporary Redirect", b"", f"Location: {store}/bucket/key?x=1")
    )
    with Transport(service, "lk_secret", QUICK).open("/v1/videos/1/download") as answer:
        assert answer.read() == content
    assert b"lk_secret" in seen_by_service[0]
    assert b"lk_secret" not in seen_by_store[0]
    assert seen_by_store[0].startswith(b"GET /bucket/key?x=1 ")


def test_an_answer_of_another_program_is_said() -> None:
    url, _ = answer_with(
        raw("200 OK", b"<html>hello</html>", "Content-Type: text/html"),
        raw("200 OK", b'{"a": 1}', "Content-Type: application/json"),
    )
    client = Client(url, retry=QUICK)
    with pytest.raises(ApiProblem, match="web page"):
        client.system()
    with pytest.raises(ApiProblem) as other:
        client.system()
    assert other.value.code == "unexpected_answer"


def test_a_problem_survives_pickling() -> None:
    problem = ApiProblem(
        "m", remedy="r", details={"a": 1}, code="c", title="t", status=409, retryable=True, request_id="q"
    )
    again = pickle.loads(pickle.dumps(problem))
    assert isinstance(again, ApiProblem)
    assert again.as_dict() == problem.as_dict()
    assert (again.code, again.request_id) == ("c", "q")


def test_finished_jobs_are_not_spoken_twice(service: Service, clip: Path, tmp_path: Path) -> None:
    # One key of the caller's own: a script that is run again finds the video that it asked for.
    client = Client(service.url, retry=QUICK)
    person = learned(client, clip, "Hy Example")
    first = spoken(client, person, tmp_path)
    asked = [
        client.videos.create(person.id, audio_upload_id=first.audio_upload_id, idempotency_key="order-17").id
        for _ in range(2)
    ]
    assert asked[0] == asked[1]
