"""Two requests at one moment on Postgres: what one of them decides by still holds when it is written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from likeness.accounts import LOCAL, Limits, create_key, revoke_key, set_limits
from likeness.clock import now
from likeness.consents import record_consent, request_consent, revoke_consent
from likeness.database import Database
from likeness.deletion import delete_job, delete_person, delete_upload, delete_version, purge
from likeness.housekeeping import tidy
from likeness.refusals import ConsentMissing, QuotaExceeded
from likeness.repositories.leases import Claim, LeaseRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import cancel, request_inspection, request_training, request_video, retry
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import EMBEDDED, Consent, Deletion, Job, Person, Upload
from problems import Conflict, NotFound, Problem
from tests.likeness.overlap import overlap
from tests.likeness.service import training, upload
from tests.workers.tiny_stages import REGISTRY
from workers.runner import Runner


def status(database: Database, job_id: str) -> str:
    with database.read() as session:
        return session.get_one(Job, job_id).status


def active_trainings(database: Database) -> int:
    with database.read() as session:
        query = select(func.count()).where(Job.kind == "training", Job.status.in_(("queued", "running")))
        return session.scalar(query) or 0


@pytest.fixture
def learn(postgres_database: Database, settings: Settings, store: LocalStore) -> Callable[[str], str]:
    """Ask for a training of somebody, from a clip of its own each time."""

    def ask(person_id: str) -> str:
        return request_training(
            postgres_database,
            person_id=person_id,
            upload_id=upload(settings, postgres_database, store),
            preset="preview",
            seed=0,
        )

    return ask


def test_a_person_is_learned_once_at_a_time(
    postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    person, job = training(settings, postgres_database, store)
    cancel(postgres_database, job)
    clip = upload(settings, postgres_database, store)

    def ask() -> str:
        return request_training(postgres_database, person_id=person, upload_id=clip, preset="preview", seed=0)

    first, second = overlap(postgres_database, ask, ask)
    assert isinstance(first, str)
    assert isinstance(second, Conflict)
    assert second.details["training_id"] == first
    assert active_trainings(postgres_database) == 1


def test_a_retry_and_a_request_do_not_both_learn_a_person(
    postgres_database: Database, settings: Settings, store: LocalStore, learn: Callable[[str], str]
) -> None:
    person, old = training(settings, postgres_database, store)
    cancel(postgres_database, old)
    newer = learn(person)
    cancel(postgres_database, newer)
    clip = upload(settings, postgres_database, store)
    first, second = overlap(
        postgres_database,
        lambda: retry(postgres_database, store, settings, old),
        lambda: retry(postgres_database, store, settings, newer),
    )
    assert first is None
    assert isinstance(second, Conflict)
    cancel(postgres_database, old)
    first, second = overlap(
        postgres_database,
        lambda: request_training(
            postgres_database, person_id=person, upload_id=clip, preset="preview", seed=0
        ),
        lambda: retry(postgres_database, store, settings, newer),
    )
    assert isinstance(first, str)
    assert isinstance(second, Conflict)
    assert active_trainings(postgres_database) == 1


def test_a_quota_of_jobs_is_not_passed_by_two_at_once(
    postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    set_limits(postgres_database, EMBEDDED, Limits(concurrent_jobs=1))
    clip = upload(settings, postgres_database, store)
    first, second = overlap(
        postgres_database,
        lambda: request_inspection(postgres_database, upload_id=clip),
        lambda: request_inspection(postgres_database, upload_id=clip),
    )
    assert isinstance(first, str)
    assert isinstance(second, QuotaExceeded)
    cancel(postgres_database, first)
    again = request_inspection(postgres_database, upload_id=clip)
    with pytest.raises(QuotaExceeded):
        retry(postgres_database, store, settings, first)
    cancel(postgres_database, again)
    retry(postgres_database, store, settings, first)


def test_a_quota_of_bytes_is_not_passed_by_two_at_once(
    postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    set_limits(postgres_database, EMBEDDED, Limits(storage_bytes=15))
    first, second = overlap(
        postgres_database,
        lambda: upload(settings, postgres_database, store, b"ten bytes."),
        lambda: upload(settings, postgres_database, store, b"ten others"),
    )
    assert isinstance(first, str)
    assert isinstance(second, QuotaExceeded)
    assert list(store.keys("uploads")) == [f"uploads/{first}/original"]


@pytest.mark.parametrize("revoked_first", [False, True])
def test_no_training_goes_on_after_its_consent_was_taken_back(
    revoked_first: bool,
    postgres_database: Database,
    settings: Settings,
    store: LocalStore,
) -> None:
    person, job = training(settings, postgres_database, store)
    cancel(postgres_database, job)
    with postgres_database.read() as session:
        consent_id = session.get_one(Person, person).consent_id
    assert consent_id is not None
    clip = upload(settings, postgres_database, store)

    def ask() -> str:
        return request_training(postgres_database, person_id=person, upload_id=clip, preset="preview", seed=0)

    def revoke() -> list[str]:
        return revoke_consent(postgres_database, LOCAL, consent_id)

    if revoked_first:
        _, asked = overlap(postgres_database, revoke, ask)
        assert isinstance(asked, ConsentMissing)
    else:
        asked, _ = overlap(postgres_database, ask, revoke)
        assert status(postgres_database, asked) == "canceled"
    assert active_trainings(postgres_database) == 0
    with pytest.raises(ConsentMissing):
        retry(postgres_database, store, settings, job)


@pytest.mark.parametrize("deleted_first", [False, True])
def test_no_training_outlives_its_person(
    deleted_first: bool,
    postgres_database: Database,
    settings: Settings,
    store: LocalStore,
) -> None:
    person, job = training(settings, postgres_database, store)
    cancel(postgres_database, job)
    clip = upload(settings, postgres_database, store)

    def ask() -> str:
        return request_training(postgres_database, person_id=person, upload_id=clip, preset="preview", seed=0)

    def delete() -> str:
        return delete_person(postgres_database, person)

    if deleted_first:
        _, asked = overlap(postgres_database, delete, ask)
        assert isinstance(asked, NotFound)
    else:
        asked, _ = overlap(postgres_database, ask, delete)
        assert status(postgres_database, asked) == "canceled"
    with pytest.raises(NotFound):
        retry(postgres_database, store, settings, job)
    purge(postgres_database, store, settings)
    assert_all_receipts_are_done(postgres_database)


@pytest.mark.parametrize("deleted_first", [False, True])
def test_an_upload_is_not_deleted_under_a_job(
    deleted_first: bool,
    postgres_database: Database,
    settings: Settings,
    store: LocalStore,
) -> None:
    person, _ = training(settings, postgres_database, store)
    Runner(postgres_database, store, settings, registry=REGISTRY).run_all()
    sound = upload(settings, postgres_database, store, b"sound", "recording")

    def ask() -> str:
        return request_video(postgres_database, person_id=person, recording_id=sound, pose="still", seed=0)

    def delete() -> str:
        return delete_upload(postgres_database, sound)

    if deleted_first:
        _, asked = overlap(postgres_database, delete, ask)
        assert isinstance(asked, NotFound)
    else:
        _, deleted = overlap(postgres_database, ask, delete)
        assert isinstance(deleted, Conflict)


def assert_all_receipts_are_done(database: Database) -> None:
    with database.read() as session:
        assert {deletion.status for deletion in session.scalars(select(Deletion))} == {"done"}


@pytest.mark.parametrize("what", ["person", "job", "upload"])
def test_two_deletions_of_one_thing_are_one(
    what: str, postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    person, job = training(settings, postgres_database, store)
    loose = upload(settings, postgres_database, store)
    delete = {
        "person": lambda: delete_person(postgres_database, person),
        "job": lambda: delete_job(postgres_database, job),
        "upload": lambda: delete_upload(postgres_database, loose),
    }[what]
    first, second = overlap(postgres_database, delete, delete)
    assert isinstance(first, str)
    assert second == first or (what == "upload" and isinstance(second, NotFound))
    with postgres_database.read() as session:
        assert session.scalar(select(func.count()).select_from(Deletion)) == 1
    purge(postgres_database, store, settings)
    assert_all_receipts_are_done(postgres_database)


def test_a_receipt_does_not_wait_for_what_has_just_gone(
    postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    person, job = training(settings, postgres_database, store)
    delete_job(postgres_database, job)
    overlap(
        postgres_database,
        lambda: purge(postgres_database, store, settings),
        lambda: delete_person(postgres_database, person),
    )
    purge(postgres_database, store, settings)
    assert_all_receipts_are_done(postgres_database)


def test_a_consent_takes_one_recording(
    postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    consent = request_consent(postgres_database, LOCAL, subject_name="Ada Example")
    spoken = [upload(settings, postgres_database, store, word, "consent") for word in (b"one", b"two")]
    _, second = overlap(
        postgres_database,
        lambda: record_consent(postgres_database, LOCAL, consent.id, spoken[0]),
        lambda: record_consent(postgres_database, LOCAL, consent.id, spoken[1]),
    )
    assert isinstance(second, Conflict)
    with postgres_database.read() as session:
        row = session.get_one(Consent, consent.id)
        assert (row.status, row.recording_upload_id) == ("verifying", spoken[0])
        assert session.scalar(select(func.count()).where(Job.kind == "consent")) == 1


def test_the_last_two_keys_do_not_end_each_other(postgres_database: Database) -> None:
    keys = [
        create_key(postgres_database, tenant_id=EMBEDDED, name=name, scopes=["admin"])[0].id
        for name in ("one", "other")
    ]
    first, second = overlap(
        postgres_database,
        lambda: revoke_key(postgres_database, keys[0], tenant_id=EMBEDDED),
        lambda: revoke_key(postgres_database, keys[1], tenant_id=EMBEDDED),
    )
    assert first is None
    assert isinstance(second, Conflict)


def test_an_upload_that_becomes_whole_at_the_last_moment_stays(
    postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    clip = upload(settings, postgres_database, store)
    late = now() - timedelta(seconds=1)
    with postgres_database.write() as session:
        session.execute(update(Upload).where(Upload.id == clip).values(status="awaiting", expires_at=late))

    def complete() -> None:
        with postgres_database.write() as session:
            session.execute(update(Upload).where(Upload.id == clip).values(status="ready"))

    overlap(postgres_database, complete, lambda: tidy(postgres_database, store, settings))
    with postgres_database.read() as session:
        assert session.get_one(Upload, clip).deleting_at is None


def test_a_version_is_not_deleted_as_it_is_promoted(
    postgres_database: Database, settings: Settings, store: LocalStore, learn: Callable[[str], str]
) -> None:
    person, _ = training(settings, postgres_database, store)
    runner = Runner(postgres_database, store, settings, registry=REGISTRY)
    runner.run_all()
    learn(person)
    with postgres_database.read() as session:
        job = session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()
    with postgres_database.write() as session:
        session.get_one(Job, job.id).params = {"preset": "preview", "seed": 7}
    runner.run_all()

    def promote() -> None:
        from api.routes.persons import promote_version

        promote_version(person, 1, LOCAL, postgres_database)

    with postgres_database.read() as session:
        assert len(PersonRepository(session).versions(person)) == 2
    _, deleted = overlap(postgres_database, promote, lambda: delete_version(postgres_database, person, 1))
    assert isinstance(deleted, Conflict)


def claim(database: Database) -> Claim | None:
    with database.write() as session:
        return LeaseRepository(session).claim(owner="w/1", now=now(), lease_s=60)


@pytest.mark.parametrize("canceled_first", [False, True])
def test_a_claim_and_a_cancellation(
    canceled_first: bool, postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    _, job = training(settings, postgres_database, store)
    if canceled_first:
        _, held = overlap(
            postgres_database, lambda: cancel(postgres_database, job), lambda: claim(postgres_database)
        )
        assert (held, status(postgres_database, job)) == (None, "canceled")
    else:
        held, _ = overlap(
            postgres_database, lambda: claim(postgres_database), lambda: cancel(postgres_database, job)
        )
        assert isinstance(held, Claim)
        assert status(postgres_database, job) == "canceling"


@pytest.mark.parametrize("canceled_first", [False, True])
@pytest.mark.parametrize("end", ["complete", "postpone", "release", "fail"])
def test_the_end_of_a_stage_and_a_cancellation(
    end: str, canceled_first: bool, postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    """Whichever comes first, the job ends or is canceled, and nothing is left that nobody will do."""
    _, job = training(settings, postgres_database, store)
    held = claim(postgres_database)
    assert held is not None

    def finish() -> None:
        with postgres_database.write() as session:
            leases, problem = LeaseRepository(session), Problem("x", remedy="y")
            if end == "complete":
                leases.complete(held, key="k", prefix="p", manifest={"files": []}, now=now())
            elif end == "postpone":
                leases.postpone(held, problem, now=now(), not_before=now())
            elif end == "release":
                leases.release(held, now=now())
            else:
                leases.fail(held, problem, now=now())

    def stop() -> None:
        cancel(postgres_database, job)

    if canceled_first:
        assert overlap(postgres_database, stop, finish) == (None, None)
        assert status(postgres_database, job) == "canceled"
    else:
        _, stopped = overlap(postgres_database, finish, stop)
        if end == "fail":
            assert isinstance(stopped, Conflict)
            assert status(postgres_database, job) == "failed"
        else:
            assert stopped is None
            assert status(postgres_database, job) == "canceled"
    assert claim(postgres_database) is None
