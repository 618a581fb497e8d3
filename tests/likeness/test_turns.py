"""Whose turn it is: tenants take turns, priorities and age count within one, and each wait has its wake-up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.repositories.leases import Claim, LeaseRepository
from likeness.repositories.people import PersonRepository
from likeness.requests import cancel, queue_of
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Job, Person, Stage, Tenant, Wake, WebhookDelivery, WebhookEndpoint
from problems import InternalProblem, NoFace
from tests.likeness.service import training

MANIFEST = {"files": [], "result": {}}


def tenant(database: Database, name: str) -> str:
    with database.write() as session:
        row = Tenant(id=new_id("ten"), name=name, created_at=now())
        session.add(row)
    return row.id


def inspections(database: Database, tenant_id: str, count: int, *, priority: int = 10) -> list[str]:
    """Queue so many one-stage jobs; returns their ids."""
    ids = []
    with database.write() as session:
        for _ in range(count):
            job = Job(
                id=new_id("job"), tenant_id=tenant_id, kind="inspection", scope="uploads/upl_x", status="queued",
                params={}, progress={}, created_at=now(),
            )  # fmt: skip
            stage = Stage(
                id=new_id("stg"), tenant_id=tenant_id, ordinal=0, name="inspect", queue="cpu", status="queued",
                priority=priority, queued_at=now(), job=job,
            )  # fmt: skip
            session.add(stage)
            session.add(Wake(stage=stage, queue="cpu", created_at=now()))
            ids.append(job.id)
    return ids


def claim(database: Database, *queues: str) -> Claim | None:
    with database.write() as session:
        return LeaseRepository(session).claim(
            owner="w/1", now=now(), lease_s=60, queues=queues or ("cpu", "gpu")
        )


def end(database: Database, held: Claim) -> None:
    with database.write() as session:
        LeaseRepository(session).complete(held, key=held.stage_id, prefix="p", manifest=MANIFEST, now=now())


def test_a_thousand_jobs_of_one_tenant_do_not_delay_anothers(either_database: Database) -> None:
    crowd, single = tenant(either_database, "crowd"), tenant(either_database, "single")
    inspections(either_database, crowd, 200)
    running = [claim(either_database) for _ in range(3)]
    assert all(held is not None and held.tenant_id == crowd for held in running)
    [job] = inspections(either_database, single, 1)
    following = claim(either_database)
    assert following is not None
    assert following.job_id == job


def test_with_one_worker_tenants_take_turns(either_database: Database) -> None:
    crowd, pair = tenant(either_database, "crowd"), tenant(either_database, "pair")
    inspections(either_database, crowd, 6)
    inspections(either_database, pair, 2)
    order = []
    while (held := claim(either_database)) is not None:
        order.append(held.tenant_id)
        end(either_database, held)
    assert len(order) == 8
    assert order[:4] in ([crowd, pair, crowd, pair], [pair, crowd, pair, crowd])


def test_within_a_tenant_priority_and_then_age_count(either_database: Database) -> None:
    owner = tenant(either_database, "a")
    [late] = inspections(either_database, owner, 1, priority=30)
    early = inspections(either_database, owner, 2, priority=10)
    order = []
    while (held := claim(either_database)) is not None:
        order.append(held.job_id)
        end(either_database, held)
    assert order == [*early, late]


def test_a_worker_takes_its_queues_stages_only(either_database: Database) -> None:
    inspections(either_database, tenant(either_database, "a"), 1)
    assert queue_of("render") == "gpu"
    assert queue_of("fit") == "cpu"
    assert claim(either_database, "gpu") is None
    assert claim(either_database, "cpu") is not None


def wakes(database: Database) -> list[str]:
    with database.read() as session:
        return [wake.queue for wake in session.scalars(select(Wake).order_by(Wake.id))]


def test_each_wait_has_its_wake_up_and_a_claim_ends_it(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    training(settings, either_database, store)
    assert wakes(either_database) == ["cpu"]
    held = claim(either_database)
    assert held is not None
    assert wakes(either_database) == []
    end(either_database, held)
    assert wakes(either_database) == ["cpu"], "the next stage was queued by the end of this one"
    held = claim(either_database)
    assert held is not None
    with either_database.write() as session:
        later = now() + timedelta(hours=1)
        LeaseRepository(session).postpone(held, InternalProblem("x", remedy="y"), now=now(), not_before=later)
    with either_database.read() as session:
        [wake] = session.scalars(select(Wake))
        assert wake.not_before == later


def test_a_canceled_job_wakes_nobody(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    _, job = training(settings, either_database, store)
    cancel(either_database, job)
    assert wakes(either_database) == []
    assert claim(either_database) is None


def test_weights_are_versioned_and_a_corrupt_one_gives_way(
    either_database: Database, settings: Settings, store: LocalStore
) -> None:
    person_id, _ = training(settings, either_database, store)
    for _ in range(2):
        held = claim(either_database)
        while held is not None:
            with either_database.write() as session:
                LeaseRepository(session).complete(
                    held, key=f"{held.job_id}-{held.stage}", prefix="p", manifest=MANIFEST, now=now()
                )
            held = claim(either_database)
        with either_database.read() as session:
            done = len(PersonRepository(session).versions(person_id))
        if done == 1:
            from likeness.requests import request_training
            from tests.likeness.service import upload

            clip = upload(settings, either_database, store, b"another")
            request_training(either_database, person_id=person_id, upload_id=clip, preset="preview", seed=1)
    with either_database.write() as session:
        people = PersonRepository(session)
        second, first = people.versions(person_id)
        assert (second.number, first.number) == (2, 1)
        person = session.get(Person, person_id)
        assert person is not None
        assert person.package_artifact_id == second.artifact_id
        people.mark_corrupt(second.artifact_id)
    with either_database.write() as session:
        person = session.get(Person, person_id)
        assert person is not None
        assert person.package_artifact_id == first.artifact_id, "the newest whole version is used"
        PersonRepository(session).mark_corrupt(first.artifact_id)
    with either_database.read() as session:
        person = session.get(Person, person_id)
        assert person is not None
        assert person.package_artifact_id is None


@pytest.mark.parametrize(("wanted", "told"), [([], 1), (["training.failed"], 1), (["video.failed"], 0)])
def test_the_end_of_a_job_and_its_announcement_are_one_transaction(
    either_database: Database, settings: Settings, store: LocalStore, wanted: list[str], told: int
) -> None:
    _, job = training(settings, either_database, store)
    with either_database.write() as session:
        session.add(
            WebhookEndpoint(
                id=new_id("whk"), url="https://example.org", secret="whsec_x", events=wanted, created_at=now()
            )
        )
    held = claim(either_database)
    assert held is not None
    with either_database.write() as session:
        LeaseRepository(session).fail(held, NoFace("no face in frame 7", remedy="film again"), now=now())
    with either_database.read() as session:
        deliveries = list(session.scalars(select(WebhookDelivery)))
        assert len(deliveries) == told
        for delivery in deliveries:
            assert delivery.event == delivery.payload["type"] == "training.failed"
            assert delivery.payload["data"]["id"] == job
            assert delivery.payload["data"]["error"]["code"] == "no_face"
