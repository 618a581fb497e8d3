"""Consents: asked for, recorded, checked, reviewed, revoked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from api.app import create_app
from likeness.clock import now
from likeness.database import Database
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Consent
from tests.api.calls import CONSENT, person, problem, train, upload
from tests.api.conftest import Watch
from workers.runner import Runner, StageContext, StageSpec


@pytest.fixture
def strict(settings: Settings, database: Database, watch: Watch) -> Iterator[TestClient]:
    """A service that takes nobody's word."""
    app = create_app(settings.model_copy(update={"consent": "recorded"}), watch=watch)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def ask(client: TestClient, **more: object) -> dict[str, str]:
    answer = client.post("/v1/consents", json={"subject_name": "Ada Example", **more})
    assert answer.status_code == 201, answer.text
    body: dict[str, str] = answer.json()
    return body


def record(client: TestClient, consent: dict[str, str], words: str | None = None) -> None:
    spoken = (words if words is not None else consent["passcode"]).encode()
    body = {"upload_id": upload(client, b"video " + spoken, "consent")}
    answer = client.post(f"/v1/consents/{consent['id']}/recording", json=body)
    assert (answer.status_code, answer.json()["status"]) == (202, "verifying"), answer.text


def status(client: TestClient, consent: dict[str, str]) -> str:
    found: str = client.get(f"/v1/consents/{consent['id']}").json()["status"]
    return found


def test_a_statement_with_random_words(client: TestClient) -> None:
    first, second, german = ask(client), ask(client), ask(client, language="de")
    assert first["status"] == "awaiting_recording"
    assert first["passcode"] != second["passcode"]
    assert len(first["passcode"].split()) == 4
    for consent in (first, second, german):
        assert consent["passcode"] in consent["statement"]
        assert "Ada Example" in consent["statement"]
    problem(
        client.post("/v1/consents", json={"subject_name": "A", "language": "tlh"}), 422, "invalid_parameter"
    )


def test_from_words_to_weights_and_back(strict: TestClient, runner: Runner, store: LocalStore) -> None:
    consent = ask(strict)
    problem(
        strict.post("/v1/persons", json={"name": "Ada", "consent_id": consent["id"]}), 403, "consent_missing"
    )
    record(strict, consent, "other words")
    runner.run_all()
    rejected = strict.get(f"/v1/consents/{consent['id']}").json()
    assert (rejected["status"], rejected["report"]["findings"][0]["remedy"]) == ("rejected", "again")
    record(strict, consent)
    runner.run_all()
    assert status(strict, consent) == "verified"
    made = strict.post("/v1/persons", json={"name": "Ada", "consent_id": consent["id"]})
    who = made.json()["id"]
    assert (made.status_code, made.json()["consent"]["status"]) == (201, "verified")
    train(strict, who, upload(strict))
    runner.run_all()
    assert strict.get(f"/v1/persons/{who}").json()["status"] == "ready"
    waiting = strict.post(
        "/v1/videos", json={"person_id": who, "audio": {"upload_id": upload(strict, b"s", "recording")}}
    ).json()["id"]

    revoked = strict.post(f"/v1/consents/{consent['id']}/revoke").json()
    assert revoked["status"] == "revoked"
    assert strict.get(f"/v1/videos/{waiting}").json()["status"] == "canceled"
    after = strict.get(f"/v1/persons/{who}").json()
    assert (after["weights"], after["consent"]["status"]) == (None, "revoked")
    assert [key for key in store.keys(f"people/{who}") if "stages" in key] == []
    problem(
        strict.post(f"/v1/persons/{who}/trainings", json={"upload_id": upload(strict)}),
        403,
        "consent_missing",
    )
    assert strict.post(f"/v1/consents/{consent['id']}/revoke").json()["status"] == "revoked", (
        "again is no error"
    )


def test_nobodys_word_where_a_recording_is_wanted(strict: TestClient, client: TestClient) -> None:
    problem(strict.post("/v1/persons", json={"name": "Ada", "consent": CONSENT}), 403, "consent_missing")
    problem(strict.post("/v1/consents", json={"subject_name": "A", "attested": True}), 403, "consent_missing")
    # entered where a word is enough, trained where it is not
    who = client.post("/v1/persons", json={"name": "Ada", "consent": CONSENT}).json()["id"]
    body = {"upload_id": upload(client)}
    refused = problem(strict.post(f"/v1/persons/{who}/trainings", json=body), 403, "consent_missing")
    assert "recorded" in refused["detail"]
    assert client.post(f"/v1/persons/{who}/trainings", json=body).status_code == 202


def test_too_late(client: TestClient, database: Database) -> None:
    consent = ask(client)
    with database.write() as session:
        session.execute(update(Consent).values(expires_at=now() - timedelta(seconds=1)))
    assert status(client, consent) == "expired"
    body = {"upload_id": upload(client, b"x", "consent")}
    refused = problem(client.post(f"/v1/consents/{consent['id']}/recording", json=body), 409, "conflict")
    assert refused["details"] == {"status": "expired"}


def test_somebody_listens(client: TestClient, runner: Runner) -> None:
    consent = ask(client)
    problem(client.post(f"/v1/consents/{consent['id']}/review", json={"words_heard": True}), 409, "conflict")
    record(client, consent)
    runner.run_all()
    heard = client.post(f"/v1/consents/{consent['id']}/review", json={"words_heard": True}).json()
    assert (heard["status"], heard["report"]["review"]["words_heard"]) == ("verified", True)
    not_heard = client.post(f"/v1/consents/{consent['id']}/review", json={"words_heard": False}).json()
    assert not_heard["status"] == "rejected"


def test_somebody_listens_in_the_dashboard(client: TestClient, runner: Runner) -> None:
    consent = ask(client)
    record(client, consent)
    runner.run_all()
    page = f"/consents/{consent['id']}"
    assert consent["passcode"] in client.get(page).text
    assert client.get(f"{page}/recording").content == b"video " + consent["passcode"].encode()
    assert "Yes, says <code>local</code>." in client.post(f"{page}/review", data={"words": "heard"}).text
    client.post(f"{page}/review", data={"words": "missing"})
    assert status(client, consent) == "rejected"
    assert "Were the words said?" not in client.get(page).text


def test_the_recording_stays_while_the_consent_does(
    client: TestClient, runner: Runner, store: LocalStore
) -> None:
    consent = ask(client)
    record(client, consent)
    runner.run_all()
    recording = client.get(f"/v1/consents/{consent['id']}").json()["recording_upload_id"]
    refused = problem(client.delete(f"/v1/uploads/{recording}"), 409, "conflict")
    assert refused["details"] == {"consent_id": consent["id"]}
    who = client.post("/v1/persons", json={"name": "Ada", "consent_id": consent["id"]}).json()["id"]
    train(client, who, upload(client))
    runner.run_all()
    check = client.get(f"/v1/consents/{consent['id']}").json()["job_id"]
    assert client.delete(f"/v1/jobs/{check}").status_code == 200
    receipt = client.delete(f"/v1/persons/{who}").json()
    assert (receipt["status"], receipt["waiting"]) == ("done", [])
    assert recording in receipt["deleted"]
    assert list(store.keys()) == []
    problem(client.get(f"/v1/consents/{consent['id']}"), 404, "not_found")


def test_only_what_was_agreed_to(client: TestClient, runner: Runner) -> None:
    consent = client.post(
        "/v1/consents", json={"subject_name": "Ada", "attested": True, "purposes": ["train"]}
    ).json()
    who = client.post("/v1/persons", json={"name": "Ada", "consent_id": consent["id"]}).json()["id"]
    train(client, who, upload(client))
    runner.run_all()
    video = {"person_id": who, "audio": {"upload_id": upload(client, b"s", "recording")}}
    refused = problem(client.post("/v1/videos", json=video), 403, "consent_missing")
    assert "not for dub" in refused["detail"]


def test_a_revoked_consent_is_not_verified_by_a_late_check(client: TestClient, runner: Runner) -> None:
    consent = ask(client)
    record(client, consent)
    client.post(f"/v1/consents/{consent['id']}/revoke")
    runner.run_all()
    assert status(client, consent) == "revoked"


@pytest.mark.parametrize("purpose", ["clip", "recording", "video", "consent"])
def test_what_was_handed_in_before_is_no_recording(client: TestClient, runner: Runner, purpose: str) -> None:
    """The same bytes again, or the very upload: with its own words said in it, so only that it is old is wrong."""
    consent = ask(client)
    spoken = b"video " + consent["passcode"].encode()
    old = upload(client, spoken, purpose)
    path = f"/v1/consents/{consent['id']}/recording"
    new = upload(client, spoken, "consent")
    refused = problem(client.post(path, json={"upload_id": new}), 422, "recording_reused")
    assert old in refused["detail"]
    assert status(client, consent) == "awaiting_recording", "another recording may follow"
    client.delete(f"/v1/uploads/{old}")
    assert client.post(path, json={"upload_id": new}).status_code == 202


def test_a_clip_that_was_deleted_is_remembered_by_the_job_that_read_it(
    client: TestClient, runner: Runner
) -> None:
    consent = ask(client)
    spoken = b"video " + consent["passcode"].encode()
    who, clip = person(client), upload(client, spoken)
    train(client, who, clip)
    runner.run_all()
    client.delete(f"/v1/uploads/{clip}")
    path = f"/v1/consents/{consent['id']}/recording"
    body = {"upload_id": upload(client, spoken, "consent")}
    assert "clip of job_" in problem(client.post(path, json=body), 422, "recording_reused")["detail"]


def test_one_recording_for_one_consent(client: TestClient, runner: Runner) -> None:
    one, two = ask(client), ask(client)
    both = upload(client, f"{one['passcode']} {two['passcode']}".encode(), "consent")
    path = "/v1/consents/{}/recording"
    assert client.post(path.format(one["id"]), json={"upload_id": both}).status_code == 202
    problem(client.post(path.format(two["id"]), json={"upload_id": both}), 422, "recording_reused")
    runner.run_all()
    assert status(client, one) == "verified"
    problem(client.post(path.format(two["id"]), json={"upload_id": both}), 422, "recording_reused")


def test_the_same_recording_may_be_checked_again_for_its_own_consent(
    client: TestClient, runner: Runner
) -> None:
    """Its check was canceled, or came to nothing."""
    consent = ask(client)
    path = f"/v1/consents/{consent['id']}/recording"
    body = {"upload_id": upload(client, consent["passcode"].encode(), "consent")}
    check = client.post(path, json=body).json()["job_id"]
    client.post(f"/v1/jobs/{check}/cancel")
    assert client.post(path, json=body).status_code == 202
    runner.run_all()
    assert status(client, consent) == "verified"


def test_the_state_says_what_was_checked(client: TestClient, runner: Runner) -> None:
    consent = ask(client)
    path = f"/v1/consents/{consent['id']}"
    assert client.get(path).json()["checked"] == []
    record(client, consent)
    runner.run_all()
    assert client.get(path).json()["checked"] == ["face and voice match"]
    heard = client.post(f"{path}/review", json={"words_heard": True}).json()
    face, words = heard["checked"]
    assert face == "face and voice match"
    assert words == f"words heard by local at {heard['report']['review']['at']}"
    assert words in client.get(f"/consents/{consent['id']}").text
    attested = client.post("/v1/consents", json={"subject_name": "Ada", "attested": True}).json()
    assert attested["checked"] == []


def test_in_production_the_words_must_have_been_heard(
    settings: Settings, database: Database, watch: Watch, runner: Runner
) -> None:
    """By default; and a deployment that says otherwise is believed."""
    facts = {"environment": "production", "secret_key": "0123456789abcdef" * 4}
    assert Settings(**facts).words_needed  # type: ignore[arg-type]
    assert not Settings(**facts, consent_words=False).words_needed  # type: ignore[arg-type]
    assert not Settings().words_needed
    strict = settings.model_copy(update={"consent_words": True})
    with (
        TestClient(create_app(strict, watch=watch)) as client,
        TestClient(create_app(settings, watch=watch)) as lenient,
    ):
        consent = ask(client)
        record(client, consent)
        runner.run_all()
        who = client.post("/v1/persons", json={"name": "Ada", "consent_id": consent["id"]}).json()["id"]
        train_at, body = f"/v1/persons/{who}/trainings", {"upload_id": upload(client)}
        refused = problem(client.post(train_at, json=body), 403, "consent_missing")
        assert f"/v1/consents/{consent['id']}/review" in refused["remedy"]
        form = {"name": "Bob", "consent_id": consent["id"], "upload_id": body["upload_id"]}
        assert "nobody has heard" in client.post("/people", data=form).text.lower()
        assert client.get(f"/v1/consents/{consent['id']}").json()["status"] == "verified", "it outlives that"
        job = lenient.post(train_at, json=body).json()["id"]
        lenient.post(f"/v1/trainings/{job}/cancel")
        client.post(f"/v1/consents/{consent['id']}/review", json={"words_heard": True})
        assert client.post(train_at, json=body).status_code == 202


def test_what_a_recogniser_heard_counts_and_what_it_did_not_is_left_to_a_person(
    client: TestClient, runner: Runner
) -> None:
    """The report of the check says so; the recogniser itself is tested in tests/workers/test_hearing.py."""

    def heard(context: StageContext) -> dict[str, object]:
        words = context.params["passcode"].encode() in context.inputs["consent"].read_bytes()
        return {"accepted": True, "findings": [], "words": {"heard": words, "by": "ear", "missing": []}}

    runner.registry = {
        **runner.registry,
        "consent": StageSpec(heard, "h", reads=("consent",), params=("passcode",)),
    }
    one, two = ask(client), ask(client)
    record(client, one)
    record(client, two, "mumbling")
    runner.run_all()
    checked = [client.get(f"/v1/consents/{each['id']}").json() for each in (one, two)]
    assert [each["status"] for each in checked] == ["verified", "verified"]
    assert checked[0]["checked"][1].startswith("words heard by ear at 20")
    assert checked[1]["checked"] == ["face and voice match"]
