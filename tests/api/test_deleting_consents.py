"""Consents are deleted with their recordings, and no deletion leaves a name anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from likeness.clock import now
from likeness.database import Database
from likeness.housekeeping import tidy
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Base, TakePrint
from tests.api.calls import problem, train, upload
from workers.runner import Runner

SUBJECT, NAME = "Zoe Quuxley", "Frobnia"
"""Names that nothing else holds."""


def recorded(client: TestClient, runner: Runner, tries: tuple[str, ...] = ()) -> str:
    consent = client.post("/v1/consents", json={"subject_name": SUBJECT}).json()
    for words in (*tries, consent["passcode"]):
        spoken = upload(client, b"video " + words.encode(), "consent", name=f"{SUBJECT}.mp4")
        client.post(f"/v1/consents/{consent['id']}/recording", json={"upload_id": spoken})
        runner.run_all()
    return str(consent["id"])


def found(database: Database, store: LocalStore, word: str) -> list[str]:
    """Every table and object that holds a word."""
    places = []
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(table.select()):
                if word.lower() in " ".join(_texts(row)).lower():
                    places.append(f"{table.name}: {row}"[:300])
    for key in store.keys(""):
        if word.lower() in key.lower() or word.encode() in store.local_path(key).read_bytes():
            places.append(key)
    return places


def _texts(row: Any) -> list[str]:
    return [each.decode("latin-1") if isinstance(each, bytes) else str(each) for each in row]


def test_a_consent_goes_with_its_recordings(
    client: TestClient, runner: Runner, database: Database, store: LocalStore
) -> None:
    """The refused recordings, too, and what they are recognised by."""
    consent = recorded(client, runner, tries=("something else",))
    recordings = [row["id"] for row in client.get("/v1/uploads").json()["data"]]
    assert len(recordings) == 2
    with database.write() as session:
        session.add(TakePrint(upload_id=recordings[0], version=1, data=b"print", created_at=now()))
    receipt = client.delete(f"/v1/consents/{consent}").json()
    assert (receipt["status"], receipt["waiting"], receipt["subject"]) == ("done", [], consent)
    assert receipt["rows"] == {"consents": 1, "uploads": 2, "jobs": 2, "artifacts": 2, "take_prints": 1}
    assert {*recordings, consent} <= set(receipt["deleted"])
    assert list(store.keys()) == []
    assert found(database, store, SUBJECT) == []
    problem(client.get(f"/v1/consents/{consent}"), 404, "not_found")
    problem(client.delete(f"/v1/consents/{consent}"), 404, "not_found")


def test_not_while_anything_learned_on_it_is_left(
    client: TestClient, runner: Runner, database: Database
) -> None:
    consent = recorded(client, runner)
    who = client.post("/v1/persons", json={"name": NAME, "consent_id": consent}).json()["id"]
    job = train(client, who, upload(client))
    refused = problem(client.delete(f"/v1/consents/{consent}"), 409, "conflict")
    assert refused["details"] == {"jobs": [job]}
    runner.run_all()
    refused = problem(client.delete(f"/v1/consents/{consent}"), 409, "conflict")
    assert refused["details"]["versions"] == [{"person_id": who, "version": 1}]
    assert "/revoke" in refused["remedy"]
    body = {"person_id": who, "audio": {"upload_id": upload(client, b"s", "recording")}}
    video = client.post("/v1/videos", json=body).json()["id"]
    runner.run_all()
    client.post(f"/v1/consents/{consent}/revoke")
    assert client.delete(f"/v1/consents/{consent}").json()["status"] == "done"
    assert client.get(f"/v1/persons/{who}").json()["consent"] is None
    kept = client.get(f"/v1/videos/{video}").json()
    assert (kept["status"], kept["consent_id"]) == ("succeeded", consent), "a video goes on naming it"
    problem(
        client.post(f"/v1/persons/{who}/trainings", json={"upload_id": upload(client)}),
        403,
        "consent_missing",
    )


def test_half_a_training_counts_as_learned(client: TestClient, runner: Runner) -> None:
    consent = recorded(client, runner)
    who = client.post("/v1/persons", json={"name": NAME, "consent_id": consent}).json()["id"]
    job = train(client, who, upload(client))
    runner.run_once()
    runner.run_once()
    client.post(f"/v1/trainings/{job}/cancel")
    refused = problem(client.delete(f"/v1/consents/{consent}"), 409, "conflict")
    assert refused["details"] == {"versions": [], "trainings": [job]}
    client.delete(f"/v1/trainings/{job}")
    assert client.delete(f"/v1/consents/{consent}").json()["status"] == "done"


def test_in_the_dashboard(client: TestClient, runner: Runner) -> None:
    consent = recorded(client, runner)
    page = client.get(f"/consents/{consent}").text
    assert f'action="/consents/{consent}/delete"' in page
    receipt = client.post(f"/consents/{consent}/delete")
    assert "Receipt" in receipt.text
    assert consent in receipt.text
    assert SUBJECT not in client.get("/consents").text


@pytest.mark.parametrize("how", ["person", "keep_videos", "consent"])
def test_no_name_is_left_anywhere(
    client: TestClient, runner: Runner, database: Database, store: LocalStore, settings: Settings, how: str
) -> None:
    """Of the person, of who consented, of their files: in no table, receipt, delivery, kept answer or object."""
    hook = client.post("/v1/webhook-endpoints", json={"url": "https://example.com/hook"})
    assert hook.status_code == 201
    key = {"Idempotency-Key": "k-consent"}
    asked = client.post("/v1/consents", json={"subject_name": SUBJECT}, headers=key).json()
    spoken = upload(client, b"video " + asked["passcode"].encode(), "consent", name=f"{SUBJECT}.mp4")
    consent = asked["id"]
    client.post(f"/v1/consents/{consent}/recording", json={"upload_id": spoken})
    runner.run_all()
    body = {"name": NAME, "consent_id": consent, "metadata": {"who": SUBJECT}}
    who = client.post("/v1/persons", json=body, headers={"Idempotency-Key": "k-person"}).json()["id"]
    client.patch(f"/v1/persons/{who}", json={"name": f"{NAME} II"})
    clip = upload(client, b"a clip", name=f"{SUBJECT} {NAME}.mp4")
    client.post("/v1/inspections", json={"upload_id": clip})
    train(client, who, clip, metadata={"of": SUBJECT})
    runner.run_all()
    voice = upload(client, b"s", "recording", name=f"{NAME}.wav")
    said = {"person_id": who, "audio": {"upload_id": voice}, "metadata": {"note": "a talk"}}
    client.post("/v1/videos", json=said, headers={"Idempotency-Key": "k-video"})
    client.post("/v1/motions", json=said)
    client.post(f"/v1/persons/{who}/trainings", json={"upload_id": upload(client, b"no face")})
    runner.run_all()
    assert found(database, store, SUBJECT)
    if how == "consent":
        client.post(f"/v1/consents/{consent}/revoke")
        client.delete(f"/v1/consents/{consent}")
        client.delete(f"/v1/persons/{who}")
    else:
        client.delete(f"/v1/persons/{who}?keep_videos={'true' if how == 'keep_videos' else 'false'}")
    assert found(database, store, SUBJECT) == []
    assert found(database, store, NAME) == []
    replayed = client.post("/v1/persons", json=body, headers={"Idempotency-Key": "k-person"})
    problem_of = replayed.json()
    assert (replayed.status_code, problem_of["code"]) == (404, "not_found"), "it is not made a second time"


def test_every_consent_that_somebody_was_learned_on_goes_with_them(
    client: TestClient, runner: Runner, database: Database, store: LocalStore
) -> None:
    """Also those that a later one took the place of."""
    consents = [recorded(client, runner) for _ in range(2)]
    who = client.post("/v1/persons", json={"name": NAME, "consent_id": consents[0]}).json()["id"]
    train(client, who, upload(client))
    runner.run_all()
    client.patch(f"/v1/persons/{who}", json={"consent_id": consents[1]})
    receipt = client.delete(f"/v1/persons/{who}").json()
    assert (receipt["status"], receipt["rows"]["consents"]) == ("done", 2)
    assert found(database, store, SUBJECT) == []
    assert list(store.keys()) == []


def test_a_consent_outlives_a_person_whose_training_was_refused(
    client: TestClient, runner: Runner, database: Database, store: LocalStore, settings: Settings
) -> None:
    """The dashboard enters and trains in one step, and enters nobody when the training is refused."""
    consent = recorded(client, runner)
    form = {"name": NAME, "consent_id": consent, "preset": "preview", "upload_id": "upl_none"}
    client.post("/people", data=form)
    assert [each["status"] for each in client.get("/v1/persons").json()["data"]] == ["deleting"]
    tidy(database, store, settings)
    assert client.get("/v1/persons").json()["data"] == []
    assert client.get(f"/v1/consents/{consent}").json()["status"] == "verified"
