"""Signing out, and streams that end when whoever follows may not any more; against the real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text, update

from api import follow
from likeness.accounts import authenticate, create_key, create_tenant, revoke_key
from likeness.clock import now
from likeness.database import Database
from likeness.housekeeping import tidy
from likeness.sessions import MOST_SESSIONS, account_of_session, end_session, open_session
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import SignIn
from tests.likeness.service import either_database, postgres_url  # noqa: F401
from tests.served import Service, served


@dataclass
class Signed:
    """A service with accounts, a training that nobody runs, and a browser that is signed in."""

    service: Service
    key_id: str
    key: str
    job: str
    browser: httpx.Client

    def follow(self, client: httpx.Client, **headers: str) -> Iterator[str]:
        path = f"/v1/trainings/{self.job}/events"
        with client.stream("GET", path, headers={"Accept": "text/event-stream", **headers}) as answer:
            assert answer.status_code == 200
            yield from answer.iter_lines()


@pytest.fixture
def signed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Signed]:
    monkeypatch.setattr(follow, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(follow, "_STANDS_EVERY_S", 0.05)
    with served(settings.model_copy(update={"auth": "keys"}), works=False) as service:
        tenant = create_tenant(service.database, "Ada Ltd")
        row, key = create_key(service.database, tenant_id=tenant, name="k", scopes=["read", "train"])
        with httpx.Client(base_url=service.url, timeout=20) as browser:
            bearer = {"Authorization": f"Bearer {key}"}
            clip = browser.post("/v1/uploads?purpose=clip", content=b"a clip", headers=bearer).json()["id"]
            person = {"name": "Ada", "consent": {"attested": True, "subject_name": "Ada"}}
            who = browser.post("/v1/persons", json=person, headers=bearer).json()["id"]
            job = browser.post(
                f"/v1/persons/{who}/trainings", json={"upload_id": clip}, headers=bearer
            ).json()["id"]
            assert browser.post("/sign-in", data={"key": key}).status_code == 303
            yield Signed(service, row.id, key, job, browser)


def test_signing_out_ends_the_session_for_everybody(signed: Signed) -> None:
    """A cookie that was copied before is worth nothing afterwards."""
    copied = httpx.Client(base_url=signed.service.url, cookies=dict(signed.browser.cookies))
    other = httpx.Client(base_url=signed.service.url)
    other.post("/sign-in", data={"key": signed.key})
    assert copied.get("/jobs").status_code == 200
    assert signed.browser.post("/sign-out").status_code == 303
    assert copied.get("/jobs").status_code == 303
    assert copied.get("/v1/jobs").status_code == 401
    assert other.get("/jobs").status_code == 200, "another browser's session goes on"
    for client in (copied, other):
        client.close()


@pytest.mark.parametrize("way", ["sign-out", "revoked", "expired"])
def test_a_stream_ends_with_its_session(signed: Signed, way: str) -> None:
    def ended() -> None:
        if way == "sign-out":
            httpx.post(f"{signed.service.url}/sign-out", cookies=dict(signed.browser.cookies))
        elif way == "revoked":
            revoke_key(signed.service.database, signed.key_id)
        else:
            with signed.service.database.write() as session:
                session.execute(update(SignIn).values(expires_at=now() - timedelta(seconds=1)))

    assert_ends(signed.follow(signed.browser), ended)


@pytest.mark.parametrize("way", ["revoked", "closed"])
def test_a_stream_ends_with_its_key(signed: Signed, way: str) -> None:
    def ended() -> None:
        if way == "revoked":
            revoke_key(signed.service.database, signed.key_id)
            return
        with signed.service.database.write() as session:
            session.execute(text("delete from sign_ins"))
            session.execute(text("delete from api_keys"))

    with httpx.Client(base_url=signed.service.url, timeout=20) as program:
        assert_ends(signed.follow(program, Authorization=f"Bearer {signed.key}"), ended)


def assert_ends(lines: Iterator[str], end: Callable[[], None]) -> None:
    """The stream has begun, and ends by itself after ``end``; else its client's patience does."""
    while "event: status" not in next(lines):
        pass
    end()
    rest = list(lines)
    assert not [line for line in rest if line.startswith("event: end")], "that is said of jobs"


def test_sessions_are_bounded_and_swept(
    either_database: Database,
    settings: Settings,
    store: LocalStore,
) -> None:
    database = either_database
    _, key = create_key(database, tenant_id=create_tenant(database, "t"), name="k", scopes=["read"])
    account = authenticate(database, key)
    tokens = [open_session(database, account) for _ in range(MOST_SESSIONS + 3)]
    standing = [token for token in tokens if account_of_session(database, token) is not None]
    assert len(standing) == MOST_SESSIONS
    assert tokens[-1] in standing
    assert tokens[0] not in standing
    found = end_session(database, tokens[-1])
    assert found is not None
    assert found.key_id == account.key_id
    assert account_of_session(database, tokens[-1]) is None
    assert end_session(database, tokens[-1]) is None
    with database.write() as session:
        session.execute(update(SignIn).values(expires_at=now() - timedelta(seconds=1)))
    assert account_of_session(database, tokens[-2]) is None
    tidy(database, store, settings)
    with database.read() as session:
        assert session.query(SignIn).count() == 0


def test_the_token_is_nowhere(either_database: Database) -> None:
    database = either_database
    _, key = create_key(database, tenant_id=create_tenant(database, "t"), name="k", scopes=["read"])
    token = open_session(database, authenticate(database, key))
    with database.read() as session:
        rows = str(session.execute(text("select * from sign_ins")).all())
    assert token not in rows


@pytest.mark.parametrize(
    "cookie",
    [
        b"likeness_session=k\xc3\xa9y_1.9999999999.abc",
        b"likeness_session=\xff",
        b"likeness_session=",
        b"a[b]=1; likeness_session=x",
        b";;;=;",
    ],
)
def test_cookies_of_any_bytes(client: TestClient, cookie: bytes) -> None:
    assert client.get("/", headers={"Cookie": cookie}).status_code == 200  # type: ignore[dict-item]


def test_another_sites_odd_cookie_does_not_sign_out(signed: Signed) -> None:
    """All that runs on localhost shares its cookies."""
    token = signed.browser.cookies["likeness_session"]
    for odd in ("a[b]=1", '{"json": "cookie"}', "x=\u00e9"):
        header = f"{odd}; likeness_session={token}".encode()
        answer = httpx.get(f"{signed.service.url}/jobs", headers={"Cookie": header})
        assert answer.status_code == 200, odd
