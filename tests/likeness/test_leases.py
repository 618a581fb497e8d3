"""Leases and fences, on both databases."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from likeness.clock import now
from likeness.database import Database
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.jobs import JobRepository
from likeness.repositories.leases import Claim, LeaseRepository, Standing
from likeness.repositories.people import PersonRepository
from likeness.requests import cancel, retry
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Job
from problems import InternalProblem, OutOfDisk
from tests.likeness.service import training

LEASE_S = 60.0
MANIFEST = {"files": [{"name": "clip.mp4", "size": 1, "sha256": "00"}], "result": {}}


def claim(database: Database, owner: str = "a/1", at: datetime | None = None, **which: str) -> Claim | None:
    with database.write() as session:
        return LeaseRepository(session).claim(owner=owner, now=at or now(), lease_s=LEASE_S, **which)


def reap(database: Database, at: datetime, attempts: int = 4) -> int:
    with database.write() as session:
        return LeaseRepository(session).reap(now=at, max_attempts=attempts)


def beat(database: Database, held: Claim, at: datetime) -> Standing:
    with database.write() as session:
        return LeaseRepository(session).heartbeat(held, now=at, lease_s=LEASE_S)


def complete(database: Database, held: Claim, key: str = "k", prefix: str = "p") -> bool:
    with database.write() as session:
        return LeaseRepository(session).complete(held, key=key, prefix=prefix, manifest=MANIFEST, now=now())


def status(database: Database, job_id: str) -> tuple[str, list[str]]:
    with database.read() as session:
        job = JobRepository(session).get(job_id)
        assert job is not None
        return job.status, [stage.status for stage in job.stages]


def test_a_stage_is_claimed_once(either_database: Database, settings: Settings, store: LocalStore) -> None:
    _, job = training(settings, either_database, store)
    first = claim(either_database)
    assert first is not None
    assert (first.stage, first.attempt, first.fence) == ("validate", 1, 1)
    assert claim(either_database) is None
    assert claim(either_database, stage_id=first.stage_id) is None, "a second delivery of the same message"
    assert status(either_database, job) == ("running", ["running", *["pending"] * 4])


def test_competing_workers_never_share_a_stage(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    for _ in range(6):
        training(settings, either_database, store)
    claimed: list[str] = []
    start = threading.Barrier(4)

    def compete(owner: str) -> None:
        start.wait()
        for _ in range(6):
            held = claim(either_database, owner)
            if held is not None:
                claimed.append(held.stage_id)

    threads = [threading.Thread(target=compete, args=(f"w{index}/1",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 6
    assert len(set(claimed)) == 6


def test_heartbeats_keep_a_lease_and_silence_loses_it(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    training(settings, either_database, store)
    start = now()
    held = claim(either_database, at=start)
    assert held is not None
    assert beat(either_database, held, start + timedelta(seconds=50)) is Standing.HELD
    assert reap(either_database, start + timedelta(seconds=100)) == 0
    assert reap(either_database, start + timedelta(seconds=111)) == 1
    second = claim(either_database, "b/1")
    assert second is not None
    assert (second.stage_id, second.fence, second.attempt) == (held.stage_id, held.fence + 1, 2)


def test_a_stale_fence_can_write_nothing(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    _, job = training(settings, either_database, store)
    sleeper = claim(either_database)
    assert sleeper is not None
    reap(either_database, now() + timedelta(seconds=61))
    owner = claim(either_database, "b/1")
    assert owner is not None
    assert beat(either_database, sleeper, now()) is Standing.LOST
    with either_database.write() as session:
        leases = LeaseRepository(session)
        problem = InternalProblem("x", remedy="y")
        assert leases.report(sleeper, {"percent": 99.0}) is Standing.LOST
        assert leases.set_key(sleeper, "stale") is Standing.LOST
        assert not leases.fail(sleeper, problem, now=now())
        assert not leases.postpone(sleeper, problem, now=now(), not_before=now())
        assert not leases.release(sleeper, now=now())
        assert not leases.cancel(sleeper, now=now())
    assert not complete(either_database, sleeper, prefix="stale")
    with either_database.read() as session:
        assert ArtifactRepository(session).committed("k") is None
    assert status(either_database, job) == ("running", ["running", *["pending"] * 4])
    assert complete(either_database, owner)
    assert not complete(either_database, owner), "a commit happens once"
    assert status(either_database, job) == ("running", ["succeeded", "queued", *["pending"] * 3])


def test_one_manifest_per_key(either_database: Database, settings: Settings, store: LocalStore) -> None:
    training(settings, either_database, store)
    training(settings, either_database, store)
    one = claim(either_database)
    two = claim(either_database, "b/1")
    assert one is not None
    assert two is not None
    assert complete(either_database, one, key="same", prefix="one")
    assert complete(either_database, two, key="same", prefix="two")
    with either_database.read() as session:
        artifact = ArtifactRepository(session).committed("same")
        assert artifact is not None
        assert artifact.prefix == "one"
        job = JobRepository(session).get(two.job_id)
        assert job is not None
        assert job.stages[0].artifact_id == artifact.id
        assert job.stages[0].reused


def test_a_stage_that_keeps_killing_its_worker_is_given_up(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    _, job = training(settings, either_database, store)
    for attempt in range(1, 4):
        held = claim(either_database)
        assert held is not None
        assert held.attempt == attempt
        assert reap(either_database, now() + timedelta(seconds=61), attempts=3) == 1
    assert claim(either_database) is None
    assert status(either_database, job)[0] == "failed"
    with either_database.read() as session:
        row = JobRepository(session).get(job)
        assert row is not None
        assert row.error is not None
        assert row.error["slug"] == "poisoned"


def test_a_successor_takes_over_only_the_leases_of_its_predecessor(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    training(settings, either_database, store)
    training(settings, either_database, store)
    mine, other = claim(either_database, "cpu-host-1/a"), claim(either_database, "cpu-host-1/b")
    assert mine is not None
    assert other is not None
    with either_database.write() as session:
        assert LeaseRepository(session).reclaim("cpu-host-1/a", now=now()) == 1
    assert reap(either_database, now()) == 1
    again = claim(either_database, "cpu-host-2/c")
    assert again is not None
    assert again.stage_id == mine.stage_id
    assert beat(either_database, other, now()) is Standing.HELD


def test_a_postponed_stage_waits_for_its_time(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    training(settings, either_database, store)
    held = claim(either_database)
    assert held is not None
    later = now() + timedelta(seconds=30)
    with either_database.write() as session:
        LeaseRepository(session).postpone(held, OutOfDisk("full", remedy="free"), now=now(), not_before=later)
    assert claim(either_database) is None
    again = claim(either_database, at=later)
    assert again is not None
    assert again.attempt == 2


def test_a_released_stage_is_no_attempt(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    training(settings, either_database, store)
    held = claim(either_database)
    assert held is not None
    with either_database.write() as session:
        assert LeaseRepository(session).release(held, now=now())
    again = claim(either_database)
    assert again is not None
    assert (again.attempt, again.fence) == (1, 2)


def test_canceling_is_heard_and_survives_a_dead_worker(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    _, job = training(settings, either_database, store)
    held = claim(either_database)
    assert held is not None
    cancel(either_database, job)
    assert status(either_database, job)[0] == "canceling"
    assert beat(either_database, held, now()) is Standing.CANCELING
    reap(either_database, now() + timedelta(seconds=61))
    assert status(either_database, job) == ("canceled", ["canceled"] * 5)
    assert claim(either_database) is None


def test_a_job_canceled_while_its_stage_ends_goes_no_further(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    _, job = training(settings, either_database, store)
    held = claim(either_database)
    assert held is not None
    cancel(either_database, job)
    assert not complete(either_database, held)
    assert status(either_database, job) == ("canceled", ["canceled"] * 5)
    with either_database.read() as session:
        assert ArtifactRepository(session).committed("k") is None


def to_the_last_stage(database: Database) -> Claim:
    """Claim and commit stages until the last one is claimed."""
    held = claim(database)
    assert held is not None
    while held.stage != held.stages[-1]:
        assert complete(database, held, key=f"key of {held.stage}")
        held = claim(database)
        assert held is not None
    return held


def test_a_training_that_is_canceled_as_it_ends_promotes_no_weights(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    person_id, job = training(settings, either_database, store)
    held = to_the_last_stage(either_database)
    cancel(either_database, job)
    assert not complete(either_database, held)
    assert status(either_database, job) == ("canceled", [*["succeeded"] * 4, "canceled"])
    with either_database.read() as session:
        person = PersonRepository(session).get(person_id)
        assert person is not None
        assert person.package_artifact_id is None


@pytest.mark.parametrize("how", ["postpone", "release", "fail", "reuse", "expire", "poison"])
def test_no_end_of_a_stage_undoes_a_cancellation(
    how: str, either_database: Database, settings: Settings, store: LocalStore
) -> None:
    _, job = training(settings, either_database, store)
    held = claim(either_database)
    assert held is not None
    cancel(either_database, job)
    problem = OutOfDisk("full", remedy="free some")
    with either_database.write() as session:
        leases = LeaseRepository(session)
        if how == "postpone":
            leases.postpone(held, problem, now=now(), not_before=now())
        elif how == "release":
            leases.release(held, now=now())
        elif how == "fail":
            leases.fail(held, problem, now=now())
        elif how == "reuse":  # what it would have taken is gone
            leases.complete(held, key="k", prefix="", manifest={}, now=now(), reuse="art_gone")
        else:
            leases.reap(now=now() + timedelta(seconds=61), max_attempts=1 if how == "poison" else 4)
    assert status(either_database, job) == ("canceled", ["canceled"] * 5)
    assert claim(either_database) is None
    retry(either_database, store, settings, job)
    assert claim(either_database) is not None, "and it can be tried again"


def test_a_stage_that_waits_though_its_job_was_to_stop_is_not_taken(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    """Rows as earlier versions could leave them: they end, and keep no other from its turn."""
    _, stuck = training(settings, either_database, store)
    _, ended = training(settings, either_database, store)
    _, good = training(settings, either_database, store)
    with either_database.write() as session:
        session.execute(update(Job).where(Job.id == stuck).values(status="canceling"))
        session.execute(update(Job).where(Job.id == ended).values(status="failed"))
    held = claim(either_database)
    assert held is not None
    assert held.job_id == good
    assert status(either_database, stuck) == ("canceled", ["canceled"] * 5)
    assert status(either_database, ended) == ("failed", ["canceled", *["pending"] * 4])


def test_only_who_was_asked_to_stop_is_canceled_by_its_worker(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    _, job = training(settings, either_database, store)
    held = claim(either_database)
    assert held is not None
    with either_database.write() as session:
        assert not LeaseRepository(session).cancel(held, now=now())
    assert status(either_database, job)[0] == "running"
