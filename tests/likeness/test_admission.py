"""What is asked of a job that is tried again: all that was asked of it the first time, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from likeness.accounts import LOCAL, Limits, set_limits
from likeness.consents import record_consent, request_consent, revoke_consent
from likeness.database import Database
from likeness.deletion import delete_person, delete_version
from likeness.refusals import ConsentMissing, QuotaExceeded
from likeness.repositories.people import PersonRepository
from likeness.requests import (
    cancel,
    cancel_all,
    request_inspection,
    request_motion,
    request_training,
    request_video,
    retry,
)
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import EMBEDDED, Consent, Job, Person
from problems import Conflict, NotFound
from tests.likeness.service import training, upload
from tests.workers.tiny_stages import REGISTRY
from workers.runner import Runner


@pytest.fixture
def runner(either_database: Database, settings: Settings, store: LocalStore) -> Runner:
    return Runner(either_database, store, settings, registry=REGISTRY)


class Deployment:
    """One deployment, and what is done in it again and again."""

    def __init__(self, database: Database, settings: Settings, store: LocalStore) -> None:
        self.database, self.settings, self.store = database, settings, store

    def upload(self, content: bytes = b"a clip", purpose: str = "clip") -> str:
        return upload(self.settings, self.database, self.store, content, purpose)

    def canceled_training(self) -> tuple[str, str]:
        person, job = training(self.settings, self.database, self.store)
        cancel(self.database, job)
        return person, job

    def train(self, person: str, seed: int = 0) -> str:
        return request_training(
            self.database, person_id=person, upload_id=self.upload(), preset="preview", seed=seed
        )

    def retry(self, job: str, **settings: Any) -> None:
        retry(self.database, self.store, self.settings.model_copy(update=settings), job)

    def change_consent(self, person: str, **values: Any) -> None:
        with self.database.write() as session:
            consent_id = session.get_one(Person, person).consent_id
            session.execute(update(Consent).where(Consent.id == consent_id).values(**values))

    def status(self, job: str) -> str:
        with self.database.read() as session:
            return session.get_one(Job, job).status

    def consent(self, consent_id: str) -> Consent:
        with self.database.read() as session:
            return session.get_one(Consent, consent_id)


@pytest.fixture
def here(either_database: Database, settings: Settings, store: LocalStore) -> Deployment:
    return Deployment(either_database, settings, store)


def test_a_training_is_tried_again_with_consent_only(here: Deployment) -> None:
    person, job = here.canceled_training()
    with pytest.raises(ConsentMissing, match="recorded consent"):
        here.retry(job, consent="recorded")
    here.change_consent(person, purposes=["dub"])
    with pytest.raises(ConsentMissing, match="not for train"):
        here.retry(job)
    here.change_consent(person, purposes=["train"], status="revoked")
    with pytest.raises(ConsentMissing):
        here.retry(job)
    assert here.status(job) == "canceled"
    here.change_consent(person, status="attested")
    here.retry(job)
    assert here.status(job) == "queued"


def test_a_training_is_not_tried_again_on_another_consent(here: Deployment) -> None:
    """Its clip would be held against the recording of the first."""
    person, job = here.canceled_training()
    spoken = here.upload(b"another", "consent")
    here.change_consent(person, status="verified", recording_upload_id=spoken)
    with pytest.raises(Conflict, match="another consent"):
        here.retry(job)
    cancel(here.database, here.train(person))


def test_one_training_a_person_however_it_is_asked_for(here: Deployment, runner: Runner) -> None:
    person, old = here.canceled_training()
    newer = here.train(person)
    with pytest.raises(Conflict, match="is queued already") as caught:
        here.retry(old)
    assert caught.value.details == {"training_id": newer}
    runner.run_all()
    here.retry(old)
    # The newest training has ended; an older one runs.
    with pytest.raises(Conflict, match="is queued already"):
        here.train(person)


def test_nobody_is_learned_who_is_being_deleted(here: Deployment) -> None:
    person, job = here.canceled_training()
    with here.database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(person_id=person))
    delete_person(here.database, person)
    with here.database.write() as session:
        session.execute(update(Job).where(Job.id == job).values(deleting_at=None))
    with pytest.raises(NotFound, match=person):
        here.retry(job)


def test_the_quota_counts_what_is_tried_again(here: Deployment) -> None:
    _, job = here.canceled_training()
    set_limits(here.database, EMBEDDED, Limits(concurrent_jobs=1))
    other = request_inspection(here.database, upload_id=here.upload())
    with pytest.raises(QuotaExceeded):
        here.retry(job)
    cancel(here.database, other)
    here.retry(job)
    with pytest.raises(QuotaExceeded):
        here.retry(other)


@pytest.mark.parametrize("kind", ["video", "motion"])
def test_who_is_shown_again_still_agrees_and_has_those_weights(
    kind: str, here: Deployment, runner: Runner
) -> None:
    person, _ = training(here.settings, here.database, here.store)
    runner.run_all()
    ask = request_video if kind == "video" else request_motion
    sound = here.upload(b"sound", "recording")
    job = ask(here.database, person_id=person, recording_id=sound, pose="still", seed=0)
    cancel(here.database, job)
    here.change_consent(person, purposes=["train"])
    with pytest.raises(ConsentMissing, match="not for dub"):
        here.retry(job)
    here.change_consent(person, purposes=["train", "dub"])
    with here.database.write() as session:
        [version] = PersonRepository(session).versions(person)
        PersonRepository(session).mark_corrupt(version.artifact_id)
    with pytest.raises(Conflict, match="deleted or damaged"):
        here.retry(job)
    with here.database.write() as session:
        PersonRepository(session).promote(
            person,
            version.artifact_id,
            job_id=None,
            consent_id=version.consent_id,
            when=version.created_at,
        )
    here.train(person, seed=5)
    runner.run_all()
    delete_version(here.database, person, 1)
    with pytest.raises(Conflict, match="deleted or damaged"):
        here.retry(job)
    again = ask(here.database, person_id=person, recording_id=sound, pose="still", seed=0)
    cancel(here.database, again)
    here.retry(again)
    runner.run_all()
    assert here.status(again) == "succeeded"


def test_a_retried_video_names_the_consent_of_today(here: Deployment, runner: Runner) -> None:
    person, _ = training(here.settings, here.database, here.store)
    runner.run_all()
    sound = here.upload(b"sound", "recording")
    job = request_video(here.database, person_id=person, recording_id=sound, pose="still", seed=0)
    cancel(here.database, job)
    here.change_consent(person, status="verified")
    here.retry(job)
    with here.database.read() as session:
        assert session.get_one(Job, job).params["consent"]["kind"] == "verified"


def test_a_canceled_check_of_a_consent_can_be_done_again(here: Deployment, runner: Runner) -> None:
    """And the consent does not wait for ever for what a canceled check finds."""
    consent = request_consent(here.database, LOCAL, subject_name="Ada Example")
    spoken = here.upload(consent.passcode.encode(), "consent")
    record_consent(here.database, LOCAL, consent.id, spoken)
    job = here.consent(consent.id).job_id
    assert job is not None
    cancel(here.database, job)
    found = here.consent(consent.id)
    assert (found.status, found.report, found.recording_upload_id) == ("awaiting_recording", None, None)
    here.retry(job)
    again = here.consent(consent.id)
    assert (again.status, again.recording_upload_id) == ("verifying", spoken)
    runner.run_all()
    assert here.consent(consent.id).status == "verified"


def test_nobody_waits_for_the_check_of_a_revoked_consent(here: Deployment) -> None:
    consent = request_consent(here.database, LOCAL, subject_name="Ada Example")
    record_consent(here.database, LOCAL, consent.id, here.upload(b"x", "consent"))
    job = here.consent(consent.id).job_id
    assert job is not None
    cancel(here.database, job)
    revoke_consent(here.database, LOCAL, consent.id)
    with pytest.raises(Conflict, match="nobody waits"):
        here.retry(job)
    assert here.consent(consent.id).status == "revoked"


def test_one_that_can_not_be_canceled_keeps_no_other_from_it(here: Deployment, runner: Runner) -> None:
    jobs = [
        request_inspection(here.database, upload_id=here.upload(b"clip %d" % index)) for index in range(4)
    ]
    runner.run_once()
    with here.database.write() as session:  # it is being deleted
        session.execute(
            update(Job).where(Job.id == jobs[1]).values(deleting_at=session.get_one(Job, jobs[0]).finished_at)
        )
    cancel_all(here.database, ["job_none", *jobs])
    assert [here.status(job) for job in jobs] == ["succeeded", "queued", "canceled", "canceled"]
