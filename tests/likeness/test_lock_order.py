"""Everything at once on Postgres: rows are locked in one order, so nobody waits for somebody who waits for them."""

from __future__ import annotations

import random
import threading
import traceback
from collections.abc import Callable

import pytest
from sqlalchemy import select

from likeness.accounts import LOCAL, Limits, set_limits
from likeness.clock import now
from likeness.consents import record_consent, request_consent, revoke_consent
from likeness.database import Database
from likeness.deletion import delete_job, delete_person, delete_upload, purge
from likeness.housekeeping import tidy
from likeness.repositories.leases import LeaseRepository
from likeness.requests import (
    cancel,
    create_person,
    request_inspection,
    request_training,
    request_video,
    retry,
)
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import EMBEDDED, Consent, Job, Person, Upload
from problems import Problem
from tests.likeness.service import upload


class Crowd:
    """Several threads that do whatever may be done, with the same few people, uploads and jobs."""

    def __init__(self, database: Database, settings: Settings, store: LocalStore) -> None:
        self.database, self.settings, self.store = database, settings, store
        self.faults: list[BaseException] = []

    def work(self, seed: int, count: int) -> None:
        rng = random.Random(seed)
        deeds: list[Callable[[random.Random], object]] = [
            *[self.enter] * 4, *[self.upload] * 4, *[self.train] * 8, *[self.speak] * 6, self.inspect, self.cancel,
            *[self.retry] * 4, self.revoke, *[self.consent] * 2, self.delete_person, self.delete_job,
            self.delete_upload, self.purge, *[self.run] * 40,
        ]  # fmt: skip
        for _ in range(count):
            try:
                rng.choice(deeds)(rng)
            except (Problem, IndexError):
                pass  # it may not be done now, or there is nothing to do it to
            except BaseException as fault:
                self.faults.append(fault)
                return

    def one(self, rng: random.Random, table: type[Job] | type[Person] | type[Upload] | type[Consent]) -> str:
        with self.database.read() as session:
            return rng.choice(list(session.scalars(select(table.id).order_by(table.id.desc()).limit(4))))

    def sent(self, rng: random.Random, purpose: str) -> str:
        query = select(Upload.id).where(Upload.purpose == purpose).order_by(Upload.id.desc()).limit(4)
        with self.database.read() as session:
            return rng.choice(list(session.scalars(query)))

    def enter(self, _rng: random.Random) -> None:
        create_person(self.database, name="Ada", consent_subject="Ada Example", attested=True)

    def upload(self, rng: random.Random) -> None:
        purpose = rng.choice(["clip", "clip", "recording", "consent"])
        upload(self.settings, self.database, self.store, rng.randbytes(8), purpose)

    def train(self, rng: random.Random) -> None:
        who, clip = self.one(rng, Person), self.sent(rng, "clip")
        request_training(
            self.database, person_id=who, upload_id=clip, preset="preview", seed=rng.randrange(99)
        )

    def speak(self, rng: random.Random) -> None:
        who, sound = self.one(rng, Person), self.sent(rng, "recording")
        request_video(self.database, person_id=who, recording_id=sound, pose="still", seed=0)

    def inspect(self, rng: random.Random) -> None:
        request_inspection(self.database, upload_id=self.one(rng, Upload))

    def cancel(self, rng: random.Random) -> None:
        cancel(self.database, self.one(rng, Job))

    def retry(self, rng: random.Random) -> None:
        retry(self.database, self.store, self.settings, self.one(rng, Job))

    def consent(self, rng: random.Random) -> None:
        consent = request_consent(self.database, LOCAL, subject_name="Ada Example")
        record_consent(self.database, LOCAL, consent.id, self.one(rng, Upload))

    def revoke(self, rng: random.Random) -> None:
        revoke_consent(self.database, LOCAL, self.one(rng, Consent))

    def delete_person(self, rng: random.Random) -> None:
        delete_person(self.database, self.one(rng, Person))

    def delete_job(self, rng: random.Random) -> None:
        delete_job(self.database, self.one(rng, Job))

    def delete_upload(self, rng: random.Random) -> None:
        delete_upload(self.database, self.one(rng, Upload))

    def purge(self, _rng: random.Random) -> None:
        purge(self.database, self.store, self.settings)
        tidy(self.database, self.store, self.settings)

    def run(self, rng: random.Random) -> None:
        """Claim a stage, and end it in one of the ways in which stages end."""
        with self.database.write() as session:
            leases = LeaseRepository(session)
            leases.reap(now=now(), max_attempts=3)
            held = leases.claim(owner="w/1", now=now(), lease_s=rng.choice([0, 60, 60, 60]))
        if held is None:
            return
        how = rng.choice([*["commit"] * 16, "fail", "postpone", "release", "sleep"])
        problem = Problem("x", remedy="y")
        with self.database.write() as session:
            leases = LeaseRepository(session)
            if how == "commit":
                files = [{"name": "person.likeness", "size": 1, "sha256": "00"}]
                key, made = f"{held.stage_id}-{held.fence}", {"files": files, "result": {"accepted": True}}
                leases.complete(held, key=key, prefix=f"{held.scope}/{key}", manifest=made, now=now())
            elif how == "fail":
                leases.fail(held, problem, now=now())
            elif how == "postpone":
                leases.postpone(held, problem, now=now(), not_before=now())
            elif how == "release":
                leases.release(held, now=now())


@pytest.mark.slow
def test_nobody_waits_for_somebody_who_waits_for_them(
    postgres_database: Database, settings: Settings, store: LocalStore
) -> None:
    set_limits(postgres_database, EMBEDDED, Limits(concurrent_jobs=50, storage_bytes=10**6))
    crowd = Crowd(postgres_database, settings, store)
    for _ in range(3):
        crowd.enter(random.Random(0))
        upload(settings, postgres_database, store)
    threads = [threading.Thread(target=crowd.work, args=(seed, 200)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not crowd.faults, "\n".join("".join(traceback.format_exception(fault)) for fault in crowd.faults)
    with postgres_database.read() as session:
        states = [
            (job.status, [stage.status for stage in job.stages]) for job in session.scalars(select(Job))
        ]
    for status, stages in states:
        assert stages.count("running") + stages.count("queued") == (
            status in ("queued", "running", "canceling")
        )
