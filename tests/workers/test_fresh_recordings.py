"""A consent's recording is none of the tenant's uploads, in whatever file: when it is checked, and when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.app import create_app
from likeness.database import Database
from likeness.intake import Intake
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import TakePrint
from tests.api.calls import problem
from tests.media.test_takes import Presenter
from tests.workers import tiny_stages
from training.progress import silent
from workers.consent_proofs import reuse_findings
from workers.runner import Runner, StageContext, StageSpec, _require_another_take

SMALL = {"options": {"crf": "33", "preset": "ultrafast"}}


@pytest.fixture(scope="module")
def presenter(sample_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Presenter:
    return Presenter(sample_clip, tmp_path_factory.mktemp("presenter"))


def _consent(context: StageContext) -> Mapping[str, Any]:
    """The product's comparison alone: a face that speaks is not what is asked for here."""
    assert context.takes is not None
    measures: dict[str, Any] = {}
    findings = reuse_findings(context.inputs["consent"], context.takes, measures, silent)
    return {
        "accepted": not findings,
        "measures": measures,
        "findings": [{"code": each.code, "severity": each.severity, "message": each.message,
                      "remedy": each.remedy, "facts": each.facts} for each in findings],
    }  # fmt: skip


def _validate(context: StageContext) -> Mapping[str, Any]:
    if "consent" in context.inputs:
        _require_another_take(context)
    return tiny_stages.validate(context)


REGISTRY = {
    **tiny_stages.REGISTRY,
    "consent": StageSpec(_consent, "t", reads=("consent",), params=("passcode",)),
    "validate": StageSpec(_validate, "t", reads=("clip", "consent"), produces=("clip.mp4",)),
}


class House:
    """A small deployment."""

    def __init__(self, settings: Settings, database: Database, store: LocalStore) -> None:
        self.settings, self.database, self.store = settings, database, store
        self.client = TestClient(create_app(settings), raise_server_exceptions=False)
        self.runner = Runner(database, store, settings, registry=REGISTRY)

    def upload(self, path: Path, purpose: str) -> str:
        with Intake(self.settings, self.database, self.store) as intake:
            intake.write(path.read_bytes())
            return intake.finish(filename=path.name, media_type="video/mp4", purpose=purpose).id

    def consent(self, recording: str) -> dict[str, Any]:
        made = self.client.post("/v1/consents", json={"subject_name": "Ada"}).json()
        path = f"/v1/consents/{made['id']}"
        answer = self.client.post(f"{path}/recording", json={"upload_id": recording})
        assert answer.status_code == 202, answer.text
        self.runner.run_all()
        found: dict[str, Any] = self.client.get(path).json()
        return found

    def prints(self) -> set[str]:
        with self.database.read() as session:
            return set(session.scalars(select(TakePrint.upload_id)))


@pytest.fixture
def house(settings: Settings, database: Database, store: LocalStore) -> House:
    return House(settings, database, store)


def test_a_clip_encoded_anew_is_no_recording(house: House, presenter: Presenter, tmp_path: Path) -> None:
    clip = house.upload(presenter.film(tmp_path / "clip.mp4", 0, 148, **SMALL), "clip")
    note = tmp_path / "note.txt"
    note.write_bytes(b"no media at all")
    house.upload(note, "recording")
    again = presenter.film(tmp_path / "again.mkv", 12, 130, lambda image: image[:, ::-1], **SMALL)
    refused = house.consent(house.upload(again, "consent"))
    [finding] = refused["report"]["findings"]
    assert (refused["status"], finding["code"]) == ("rejected", "recording_reused")
    assert finding["facts"]["upload_id"] == clip
    assert finding["facts"]["same"] == ["picture", "sound"]
    new = house.upload(presenter.film(tmp_path / "new.mp4", 150, 140, **SMALL), "consent")
    accepted = house.consent(new)
    assert accepted["status"] == "verified"
    assert accepted["report"]["measures"] == {"compared_uploads": 3}
    twice = presenter.film(tmp_path / "twice.mp4", 150, 138, options={"crf": "24"})
    reused = house.consent(house.upload(twice, "consent"))
    assert reused["report"]["findings"][0]["facts"]["upload_id"] == new, "another consent's, encoded anew"


def test_prints_are_kept_and_go_with_the_upload(house: House, presenter: Presenter, tmp_path: Path) -> None:
    clip = house.upload(presenter.film(tmp_path / "clip.mp4", 0, 100, **SMALL), "clip")
    spoken = house.upload(presenter.film(tmp_path / "new.mp4", 150, 140, **SMALL), "consent")
    consent = house.consent(spoken)
    assert house.prints() == {clip, spoken}
    receipt = house.client.delete(f"/v1/uploads/{clip}").json()
    assert (receipt["status"], receipt["rows"]["take_prints"]) == ("done", 1)
    assert house.prints() == {spoken}
    house.client.delete(f"/v1/consents/{consent['id']}")
    assert house.prints() == set()


def test_a_clip_that_comes_after_the_consent_is_compared_when_the_training_begins(
    house: House, presenter: Presenter, tmp_path: Path
) -> None:
    recording = presenter.film(tmp_path / "new.mp4", 150, 140, **SMALL)
    consent = house.consent(house.upload(recording, "consent"))
    assert consent["status"] == "verified"
    who = house.client.post("/v1/persons", json={"name": "Ada", "consent_id": consent["id"]}).json()["id"]
    path = f"/v1/persons/{who}/trainings"
    same = house.upload(recording, "clip")
    problem(house.client.post(path, json={"upload_id": same}), 422, "recording_reused")
    again = presenter.film(tmp_path / "again.mp4", 140, 159, options={"crf": "26"})
    copy = house.upload(again, "clip")
    job = house.client.post(path, json={"upload_id": copy}).json()["id"]
    house.runner.run_all()
    ended = house.client.get(f"/v1/trainings/{job}").json()
    assert (ended["status"], ended["error"]["code"]) == ("failed", "recording_reused")
    assert house.client.get(f"/v1/persons/{who}").json()["status"] == "failed"
    other = house.upload(presenter.film(tmp_path / "other.mp4", 0, 140, **SMALL), "clip")
    job = house.client.post(path, json={"upload_id": other}).json()["id"]
    house.runner.run_all()
    assert house.client.get(f"/v1/trainings/{job}").json()["status"] == "succeeded"
