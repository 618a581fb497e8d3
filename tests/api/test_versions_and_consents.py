"""Weights stay bound to the consent that they were learned on, whichever their person names later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from likeness.accounts import LOCAL
from likeness.clock import now
from likeness.consents import revoke_consent
from likeness.database import Database
from likeness.learned import sweep_revoked
from likeness.repositories.leases import LeaseRepository
from likeness.repositories.people import PersonRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import AuditEvent, Consent, Job, Person, Stage
from tests.api.calls import problem, train, upload
from tests.likeness.service import training
from tests.workers.tiny_stages import REGISTRY
from workers.runner import Runner


def attest(client: TestClient, name: str = "Ada Example", **more: object) -> str:
    answer = client.post("/v1/consents", json={"subject_name": name, "attested": True, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def learned(client: TestClient, runner: Runner, consent: str) -> str:
    who: str = client.post("/v1/persons", json={"name": "Ada", "consent_id": consent}).json()["id"]
    train(client, who, upload(client))
    runner.run_all()
    return who


def speak(client: TestClient, who: str) -> str:
    body = {"person_id": who, "audio": {"upload_id": upload(client, b"s", "recording")}}
    answer = client.post("/v1/videos", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def versions(client: TestClient, who: str) -> list[tuple[int, str]]:
    data = client.get(f"/v1/persons/{who}/versions").json()["data"]
    return [(each["number"], each["consent_id"]) for each in data]


def test_a_consent_that_is_replaced_still_revokes_what_was_learned_on_it(
    client: TestClient, runner: Runner, store: LocalStore
) -> None:
    old, new = attest(client), attest(client, " ada  EXAMPLE")
    who = learned(client, runner, old)
    assert client.patch(f"/v1/persons/{who}", json={"consent_id": new}).status_code == 200
    video = speak(client, who)
    runner.run_all()
    assert client.get(f"/v1/videos/{video}").json()["consent_id"] == old
    waiting = speak(client, who)
    client.post(f"/v1/consents/{old}/revoke")
    assert client.get(f"/v1/videos/{waiting}").json()["status"] == "canceled"
    after = client.get(f"/v1/persons/{who}").json()
    assert (after["status"], after["weights"], after["consent"]["id"]) == ("untrained", None, new)
    assert versions(client, who) == []
    of_videos = ("video.mp4", "thumbnail.jpg", "manifest.json")
    left = [key for key in store.keys(f"people/{who}") if not key.endswith(of_videos)]
    assert left == []
    train(client, who, upload(client))
    runner.run_all()
    assert versions(client, who) == [(1, new)], "the same clip is learned anew, nothing of it is reused"


def test_what_was_learned_on_another_consent_stays(client: TestClient, runner: Runner) -> None:
    """Also where both learned the same clip with the same settings."""
    old, new = attest(client), attest(client)
    who = learned(client, runner, old)
    client.patch(f"/v1/persons/{who}", json={"consent_id": new})
    train(client, who, upload(client))
    runner.run_all()
    assert versions(client, who) == [(2, new), (1, old)]
    client.post(f"/v1/consents/{old}/revoke")
    assert versions(client, who) == [(2, new)]
    assert client.get(f"/v1/persons/{who}").json()["status"] == "ready"
    video = speak(client, who)
    runner.run_all()
    done = client.get(f"/v1/videos/{video}").json()
    assert (done["status"], done["consent_id"]) == ("succeeded", new)


def test_somebody_elses_consent_is_refused_once_a_person_was_learned(
    client: TestClient, runner: Runner
) -> None:
    ada, bob = attest(client), attest(client, "Bob Other")
    who = client.post("/v1/persons", json={"name": "Ada", "consent_id": bob}).json()["id"]
    assert client.patch(f"/v1/persons/{who}", json={"consent_id": ada}).status_code == 200, "nothing learned"
    job = train(client, who, upload(client))
    swap = {"consent_id": bob}
    refused = problem(client.patch(f"/v1/persons/{who}", json=swap), 409, "conflict")
    assert refused["details"]["learned_on"] == [ada], "a training that waits counts, too"
    runner.run_all()
    assert client.get(f"/v1/trainings/{job}").json()["consent_id"] == ada
    problem(client.patch(f"/v1/persons/{who}", json=swap), 409, "conflict")
    page = client.post(f"/people/{who}/consent", data=swap)
    assert "another name" in page.text
    assert client.get(f"/v1/persons/{who}").json()["consent"]["id"] == ada


def test_only_what_its_own_consent_allows(client: TestClient, runner: Runner) -> None:
    """The purposes of the weights' consent count, not those of the one that the person names now."""
    narrow, wide = attest(client, purposes=["train"]), attest(client)
    who = learned(client, runner, narrow)
    client.patch(f"/v1/persons/{who}", json={"consent_id": wide})
    body = {"person_id": who, "audio": {"upload_id": upload(client, b"s", "recording")}}
    refused = problem(client.post("/v1/videos", json=body), 403, "consent_missing")
    assert refused["details"]["consent_id"] == narrow


def test_an_older_version_is_promoted_only_on_a_consent_that_stands(
    client: TestClient, runner: Runner, database: Database
) -> None:
    consent = attest(client)
    who = learned(client, runner, consent)
    train(client, who, upload(client, b"another clip"))
    runner.run_all()
    client.post(f"/v1/persons/{who}/versions/1/promote")
    entry = entries(database, "person.version_promoted")[-1]
    assert entry == {"before": {"version": 2}, "after": {"version": 1, "consent_id": consent}}
    client.post(f"/v1/consents/{consent}/revoke")
    problem(client.post(f"/v1/persons/{who}/versions/2/promote"), 404, "not_found")


@pytest.mark.parametrize("last", [False, True])
def test_a_running_training_commits_nothing_after_revocation(
    client: TestClient, runner: Runner, database: Database, store: LocalStore, settings: Settings, last: bool
) -> None:
    """Also in its last stage, in the moment between the work and the commit."""
    consent = attest(client)
    who = client.post("/v1/persons", json={"name": "Ada", "consent_id": consent}).json()["id"]
    job = train(client, who, upload(client))
    stage = "publish" if last else "fit"

    def revoked_meanwhile(context: Any) -> Any:
        result = REGISTRY[stage].run(context)
        client.post(f"/v1/consents/{consent}/revoke")
        return result

    spec = REGISTRY[stage]
    runner.registry = {**REGISTRY, stage: type(spec)(revoked_meanwhile, spec.version, params=spec.params)}
    runner.run_all()
    assert client.get(f"/v1/trainings/{job}").json()["status"] == "canceled"
    assert versions(client, who) == []
    assert client.get(f"/v1/persons/{who}").json()["status"] == "untrained"
    assert list(store.keys(f"people/{who}")) == []
    assert not (settings.work_dir / job).exists(), "its work folder holds half of a likeness"


def test_a_checkpoint_goes_with_the_consent(
    client: TestClient, database: Database, store: LocalStore, settings: Settings, tmp_path: Path
) -> None:
    """A worker that died left it; a retry would go on from it."""
    consent = attest(client)
    who = client.post("/v1/persons", json={"name": "Ada", "consent_id": consent}).json()["id"]
    job = train(client, who, upload(client))
    client.post(f"/v1/trainings/{job}/cancel")
    with database.write() as session:
        stage = session.scalars(select(Stage).where(Stage.job_id == job)).first()
        assert stage is not None
        prefix = f"people/{who}/checkpoints/{stage.id}"
        stage.checkpoint = {"prefix": f"{prefix}/1-1", "files": []}
    (tmp_path / "weights").write_bytes(b"half")
    store.put_file(f"{prefix}/1-1/weights", tmp_path / "weights")
    client.post(f"/v1/consents/{consent}/revoke")
    sweep_revoked(database, store, settings)
    assert list(store.keys(prefix)) == []
    with database.read() as session:
        assert session.scalars(select(Stage.checkpoint).where(Stage.job_id == job)).first() is None


def test_a_job_that_was_queued_between_is_not_run(
    client: TestClient, runner: Runner, database: Database
) -> None:
    """Revocation that another process wrote without stopping the job: whoever claims it asks again."""
    consent = attest(client)
    who = learned(client, runner, consent)
    other = attest(client)
    video = speak(client, who)
    client.patch(f"/v1/persons/{who}", json={"consent_id": other})
    with database.write() as session:
        session.execute(update(Consent).where(Consent.id == consent).values(status="revoked"))
    runner.run_all()
    ended = client.get(f"/v1/videos/{video}").json()
    assert (ended["status"], ended["error"]["code"]) == ("failed", "consent_missing")


@pytest.mark.parametrize("end", ["cancel", "fail", "revoke", "delete", "corrupt"])
def test_the_status_of_a_person_is_what_it_is(
    client: TestClient, runner: Runner, database: Database, store: LocalStore, end: str
) -> None:
    consent = attest(client)
    who = client.post("/v1/persons", json={"name": "Ada", "consent_id": consent}).json()["id"]
    job = train(client, who, upload(client, b"no face" if end == "fail" else b"a clip"))
    assert client.get(f"/v1/persons/{who}").json()["status"] == "training"
    if end == "cancel":
        client.post(f"/v1/trainings/{job}/cancel")
    runner.run_all()
    if end == "revoke":
        client.post(f"/v1/consents/{consent}/revoke")
    if end == "delete":
        with database.write() as session:
            session.execute(update(Person).values(package_artifact_id=None))
        client.delete(f"/v1/persons/{who}/versions/1")
    if end == "corrupt":
        with database.write() as session:
            artifact = session.get(Person, who).package_artifact_id  # type: ignore[union-attr]
            PersonRepository(session).mark_corrupt(artifact or "")
    found = client.get(f"/v1/persons/{who}").json()["status"]
    assert found == ("failed" if end == "fail" else "untrained")


def entries(database: Database, action: str) -> list[dict[str, Any]]:
    with database.read() as session:
        rows = session.scalars(select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id))
        return [row.details for row in rows]


def test_the_audit_log_has_before_and_after(client: TestClient, runner: Runner, database: Database) -> None:
    old, new = attest(client), attest(client)
    who = learned(client, runner, old)
    client.patch(f"/v1/persons/{who}", json={"consent_id": new, "name": "Ada Again"})
    video = speak(client, who)
    runner.run_all()
    client.post(f"/v1/consents/{old}/revoke")
    assert entries(database, "person.created")[0] == {"after": {"consent_id": old}}
    assert entries(database, "person.changed") == [
        {"changed": ["name", "consent_id"], "before": {"consent_id": old}, "after": {"consent_id": new}}
    ]
    assert entries(database, "person.learned")[0]["after"]["consent_id"] == old
    assert entries(database, "video.made") == [{"person_id": who, "consent_id": old}]
    assert entries(database, "consent.revoked") == [
        {
            "before": {"status": "attested"},
            "after": {"status": "revoked"},
            "versions": [{"person_id": who, "version": 1}],
        }
    ]
    assert client.get(f"/v1/videos/{video}").json()["consent_id"] == old


def test_a_canceled_check_leaves_the_consent_waiting(client: TestClient, runner: Runner) -> None:
    """It said ``verifying`` for ever; and a check that was tried again changed nothing."""
    consent = client.post("/v1/consents", json={"subject_name": "Ada"}).json()
    spoken = upload(client, consent["passcode"].encode(), "consent")
    path = f"/v1/consents/{consent['id']}"
    check = client.post(f"{path}/recording", json={"upload_id": spoken}).json()["job_id"]
    client.post(f"/v1/jobs/{check}/cancel")
    assert client.get(path).json()["status"] == "awaiting_recording"
    client.post(f"/v1/jobs/{check}/retry")
    assert client.get(path).json()["status"] == "verifying"
    runner.run_all()
    assert client.get(path).json()["status"] == "verified"


def test_on_postgres_revocation_and_the_last_commit_take_turns(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    """A claim from before the revocation can't make a version after it."""
    _, job = training(settings, either_database, store)
    runner = Runner(either_database, store, settings, registry=REGISTRY)
    for _ in range(4):
        runner.run_once()
    with either_database.write() as session:
        claim = LeaseRepository(session).claim(owner="w", now=now(), lease_s=60)
    assert claim is not None
    assert (claim.job_id, claim.stage) == (job, "publish")
    assert claim.consent_id is not None
    revoke_consent(either_database, LOCAL, claim.consent_id)
    files = [{"name": "person.likeness", "size": 1, "sha256": "0"}]
    with either_database.write() as session:
        held = LeaseRepository(session).complete(
            claim, key="k", prefix="p", manifest={"files": files}, now=now()
        )
    assert not held
    with either_database.read() as session:
        row = session.get(Job, job)
        assert row is not None
        assert row.status == "canceled"
        assert session.get(Person, row.person_id).package_artifact_id is None  # type: ignore[union-attr]


def test_changes_of_endpoints_and_keys_are_told_from_before_to_after(
    client: TestClient, database: Database
) -> None:
    """An endpoint's path may be a secret: its host is named."""
    url = "https://example.com/hooks/s3cr3t"
    hook = client.post("/v1/webhook-endpoints", json={"url": url, "events": ["training.succeeded"]}).json()[
        "id"
    ]
    client.patch(f"/v1/webhook-endpoints/{hook}", json={"enabled": False, "events": []})
    client.post(f"/v1/webhook-endpoints/{hook}/rotate")
    client.delete(f"/v1/webhook-endpoints/{hook}")
    one = {"host": "example.com", "events": ["training.succeeded"], "enabled": True}
    other = {"host": "example.com", "events": [], "enabled": False}
    assert entries(database, "webhook.created") == [{"before": None, "after": one}]
    assert entries(database, "webhook.changed") == [{"before": one, "after": other}]
    assert entries(database, "webhook.secret_rotated") == [{"before": other, "after": other}]
    assert entries(database, "webhook.deleted") == [{"before": other, "after": None}]
    key = client.post("/v1/api-keys", json={"name": "a", "scopes": ["read"]}).json()["id"]
    client.delete(f"/v1/api-keys/{key}")
    [revoked] = entries(database, "api_key.revoked")
    assert (revoked["before"]["revoked"], revoked["after"]["revoked"]) == (False, True)
    with database.read() as session:
        assert not any("s3cr3t" in str(row.details) for row in session.scalars(select(AuditEvent)))
