"""Sign-ins, downloads and refusals in the audit log, as many as there may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.audit_trail import SPELL_S, STRANGER, AuditTrail, hands_out
from api.route_table import api_routes
from likeness.accounts import Account, Limits, create_key, create_tenant, set_limits
from likeness.database import Database
from likeness.settings import Settings
from likeness.tables import EMBEDDED, AuditEvent
from tests.api.calls import person, train, upload
from tests.api.conftest import Watch
from workers.runner import Runner


@dataclass
class Place:
    app: FastAPI
    database: Database
    tenant: str

    def client(self, *scopes: str) -> TestClient:
        _, key = create_key(self.database, tenant_id=self.tenant, name="-".join(scopes), scopes=scopes)
        client = TestClient(self.app, raise_server_exceptions=False, follow_redirects=False)
        client.headers["Authorization"] = f"Bearer {key}"
        return client

    def entries(self, tenant: str | None = None) -> list[AuditEvent]:
        """Those of sign-ins, downloads and refusals, in order."""
        with self.database.read() as session:
            rows = (
                session.query(AuditEvent)
                .filter_by(tenant_id=tenant or self.tenant)
                .order_by(AuditEvent.id)
                .all()
            )
        return [row for row in rows if row.details.get("address")]


@pytest.fixture
def place(settings: Settings, database: Database, watch: Watch) -> Place:
    app = create_app(settings.model_copy(update={"auth": "keys"}), watch=watch)
    return Place(app, database, create_tenant(database, "Ada Ltd"))


def test_downloads(place: Place, runner: Runner) -> None:
    admin = place.client("admin")
    who = person(admin)
    train(admin, who, upload(admin))
    runner.run_all()
    audio = {"person_id": who, "audio": {"upload_id": upload(admin, b"sound", "recording")}}
    video = admin.post("/v1/videos", json=audio).json()["id"]
    motion = admin.post("/v1/motions", json=audio).json()["id"]
    runner.run_all()
    reader = place.client("read")
    for path in (
        f"/v1/videos/{video}/download",
        f"/v1/persons/{who}/package",
        f"/v1/motions/{motion}/preview",
        f"/v1/motions/{motion}/track",
        f"/people/{who}/clip",
    ):
        for _ in range(5):  # a player asks for ranges
            assert reader.get(path, headers={"Range": "bytes=0-1"}).status_code in (200, 206, 303), path
    found = place.entries()
    assert [(row.action, row.subject) for row in found] == [
        ("download_video", video),
        ("download_package", who),
        ("download_motion_preview", motion),
        ("download_motion_track", motion),
        ("show_clip", who),
    ]
    assert {row.actor[:4] for row in found} == {"key_"}
    assert found[0].details["path"] == f"/v1/videos/{video}/download"
    assert found[0].details["address"]
    assert reader.get(f"/v1/videos/{video}").status_code == 200
    assert len(place.entries()) == len(found), "looking is not written down"


def test_every_route_that_hands_a_file_out_is_written_down(place: Place) -> None:
    """A route whose answer is a file has a name that says so."""
    names = {
        route.name
        for route in api_routes(place.app.router.routes)
        if 206 in route.responses and "GET" in (route.methods or ())
    }
    assert len(names) >= 6
    assert {name for name in names if not hands_out(name)} == {"read_object"}, (
        "whose address was asked for before"
    )


def test_signing_in_and_out(place: Place) -> None:
    _, key = create_key(place.database, tenant_id=place.tenant, name="k", scopes=["read"])
    browser = TestClient(place.app, follow_redirects=False)
    browser.post("/sign-in", data={"key": key})
    browser.post("/sign-out")
    assert [row.action for row in place.entries()] == ["sign_in", "sign_out"]
    assert key not in str([row.details for row in place.entries()])
    browser.post("/sign-in", data={"key": "lk_wrong"})
    [row] = place.entries(EMBEDDED)
    assert (row.action, row.actor, row.details["status"]) == ("refused", STRANGER, 401)


def test_refusals(place: Place) -> None:
    reader = place.client("read")
    assert reader.post("/v1/persons", json={"name": "x"}).status_code == 403
    assert reader.get("/v1/api-keys").status_code == 403
    assert reader.get("/v1/persons/per_none").status_code == 404
    [row] = place.entries()
    assert (row.action, row.details["status"], row.details["code"]) == ("refused", 403, "forbidden")
    busy = place.client("admin")
    set_limits(place.database, place.tenant, Limits(requests_per_minute=1))
    assert [busy.get("/v1/jobs").status_code for _ in range(3)] == [200, 429, 429]
    assert [row.details["status"] for row in place.entries()] == [403, 429]
    nobody = TestClient(place.app, follow_redirects=False)
    for number in range(50):
        headers = {"Authorization": f"Bearer lk_{number}"}
        assert nobody.get(f"/v1/jobs/{number}", headers=headers).status_code == 401
    [row] = place.entries(EMBEDDED)
    assert (row.actor, row.details["path"], row.details["count"]) == (STRANGER, "/v1/jobs/0", 1)
    _, key = create_key(place.database, tenant_id=EMBEDDED, name="operator", scopes=["admin"])
    told = nobody.get("/v1/audit-events", headers={"Authorization": f"Bearer {key}"}).json()["data"]
    assert [event["details"]["path"] for event in told if event["actor"] == STRANGER] == ["/v1/jobs/0"]
    foreign = {"Origin": "https://evil.example"}
    assert reader.post("/v1/persons", json={}, headers=foreign).status_code == 403
    place.app.state.trail.close()  # as the service does when it stops
    last = place.entries(EMBEDDED)[-1]
    assert (last.details["count"], last.details["path"]) == (50, "/v1/persons")


def test_a_flood_writes_two_entries_a_minute(database: Database) -> None:
    clock = [0.0]
    trail = AuditTrail(database, lambda: clock[0])
    ada = Account(EMBEDDED, "key_ada", frozenset(("read",)), key_id="key_ada")

    def scope(address: str) -> dict[str, Any]:
        return {"type": "http", "method": "GET", "path": "/v1/jobs", "client": (address, 1), "headers": []}

    async def flood() -> None:
        for minute in range(3):
            clock[0] = minute * (SPELL_S + 1)
            for number in range(1000):
                await trail.refused(None, 401, "unauthenticated", scope(f"10.0.{number % 200}.1"))
                await trail.refused(ada, 403, "forbidden", scope("10.9.9.9"))
        clock[0] += SPELL_S + 1
        await trail.look()

    anyio.run(flood)
    with database.read() as session:
        rows = session.query(AuditEvent).order_by(AuditEvent.id).all()
    for actor in (STRANGER, "key_ada"):
        mine = [row.details for row in rows if row.actor == actor]
        assert len(mine) == 6
        assert sum(details["count"] for details in mine) == 3000, "none is lost"
        assert all(len(details.get("addresses", {})) <= 10 for details in mine)


def test_a_log_that_can_not_be_written_fails_no_request(place: Place) -> None:
    reader, writer = place.client("read"), place.client("train")
    with place.database.write() as session:
        session.connection().exec_driver_sql("drop table audit_events")
    assert reader.post("/v1/persons", json={}).status_code == 403
    assert upload(writer)
