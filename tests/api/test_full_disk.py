"""A full data disk: refused with a remedy, nothing half-written, and what needs no room goes on.

The disks are real ones: ``/dev/full`` refuses each write as a full disk does, and SQLite says of itself that it is full
once its file may grow no more.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event

from api.app import create_app
from api.routes import objects
from likeness import intake
from likeness.accounts import create_key, create_tenant
from likeness.database import Database
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Upload
from tests.api.calls import problem, upload
from tests.api.conftest import Watch

ATTESTED = {"attested": True, "subject_name": "Ada"}


def leftovers(settings: Settings, store: LocalStore) -> list[str]:
    folders = (settings.incoming_dir, store.root / ".incoming", store.root / ".parts")
    found = [path for folder in folders if folder.is_dir() for path in folder.rglob("*")]
    return [path.name for path in found if path.name != ".probe"]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """New files of the data folder lie on a device that is full."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")

    def onto_full(path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
        if "x" not in mode and "w" not in mode:
            return builtins.open(path, mode, *more, **options)
        # The name is taken as it would be; the bytes go to the device.
        Path(path).touch()
        return builtins.open("/dev/full", mode.replace("x", "w"), *more, **options)

    for module in (intake, objects):
        monkeypatch.setattr(module, "open", onto_full, raising=False)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("size", [5, 300_000, 2**21 - 2**17])
def test_an_upload(client: TestClient, settings: Settings, store: LocalStore, size: int) -> None:
    """Also one so small that the disk is only asked when the file is closed."""
    refused = client.post("/v1/uploads?purpose=clip", content=bytes(size), headers={"Idempotency-Key": "k"})
    body = problem(refused, 503, "out_of_disk")
    assert body["retryable"]
    assert "free some disk space" in body["remedy"]
    assert refused.headers["retry-after"]
    form = {"purpose": (None, "clip"), "file": ("a.mp4", bytes(size))}
    problem(client.post("/v1/uploads", files=form), 503, "out_of_disk")
    page = client.post(
        "/inspections", files={"file": ("a.mp4", bytes(size))}, headers={"Accept": "text/html"}
    )
    assert page.status_code == 503
    assert "disk" in page.text
    assert leftovers(settings, store) == []
    assert client.get("/v1/uploads").json()["data"] == []


@pytest.mark.usefixtures("full")
def test_a_part(client: TestClient, settings: Settings, store: LocalStore) -> None:
    upload = client.post("/v1/uploads", json={"purpose": "clip", "size": 1000}).json()
    before = leftovers(settings, store)
    problem(client.put(upload["parts"][0]["url"], content=bytes(1000)), 503, "out_of_disk")
    assert leftovers(settings, store) == before


def test_an_upload_in_parts_is_not_begun_by_half(
    client: TestClient, settings: Settings, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullPath(type(Path())):  # type: ignore[misc]
        def write_text(self, text: str, *more: Any, **options: Any) -> int:
            with open("/dev/full", "w") as stream:
                return stream.write(text)

    monkeypatch.setattr(client.app.state.store._parts, "_folder", FullPath(store.root / ".parts"))  # type: ignore[attr-defined]
    refused = client.post("/v1/uploads", json={"purpose": "clip", "size": 1000})
    problem(refused, 503, "out_of_disk")
    assert leftovers(settings, store) == []


@pytest.fixture
def crowded(settings: Settings, database: Database, watch: Watch) -> Iterator[tuple[TestClient, Database]]:
    """A service with accounts whose database may grow no more, and an admin of it."""
    app: FastAPI = create_app(settings.model_copy(update={"auth": "keys"}), watch=watch)
    _, key = create_key(database, tenant_id=create_tenant(database, "t"), name="k", scopes=["admin"])
    client = TestClient(app, raise_server_exceptions=False)
    client.headers["Authorization"] = f"Bearer {key}"
    return client, app.state.database


def fill(database: Database) -> None:
    """Let the file grow no more; what is free in it is used up."""

    def no_more(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("pragma page_count")
        cursor.execute(f"pragma max_page_count = {cursor.fetchone()[0]}")
        cursor.close()

    event.listen(database.engine, "connect", no_more)
    database.engine.dispose()
    row = "insert into tenants (id, name, limits, created_at) values ('{}', 'x', '{}', '2026-01-01 00:00:00')"
    number = 0
    with pytest.raises(Exception, match="full"):
        while number < 10_000:
            with database.write() as session:
                filler = '{"a": "%s"}' % ("x" * 3000)
                session.connection().exec_driver_sql(row.format(f"ten_{number}", filler))
            number += 1


def test_a_database_that_is_full(
    crowded: tuple[TestClient, Database], settings: Settings, store: LocalStore
) -> None:
    client, database = crowded
    kept = upload(client)
    fill(database)
    for path, body in (
        ("/v1/uploads", {"purpose": "clip", "size": 10, "filename": "x" * 200}),
        ("/v1/consents", {"subject_name": "x" * 200}),
        ("/v1/persons", {"name": "x", "metadata": {"a": "x" * 500}, "consent": ATTESTED}),
    ):
        for _ in range(200):  # until the last free row of a page is used
            answer = client.post(path, json=body)
            if answer.status_code != 201:
                break
        assert "free some disk space" in problem(answer, 503, "out_of_disk")["remedy"]
    refused = client.post("/v1/uploads?purpose=clip&filename=" + "x" * 200, content=b"x")
    problem(refused, 503, "out_of_disk")
    # looking needs no room
    assert client.get(f"/v1/uploads/{kept}").status_code == 200
    assert client.get("/").status_code == 200
    # and nothing is there that no row names
    assert list(store.keys("uploads")) == [f"uploads/{kept}/original"]
    with database.read() as session:
        begun = {row.multipart_id for row in session.query(Upload) if row.multipart_id}
    assert {path.name for path in (store.root / ".parts").iterdir()} == begun
    assert list((store.root / ".incoming").iterdir()) == []
