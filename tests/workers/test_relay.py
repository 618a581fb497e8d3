"""The relay against a real Redis: what it sends, what it survives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from kombu.exceptions import OperationalError
from sqlalchemy import func, select

from benchmarks.job_stack import RedisServer
from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.repositories.leases import LeaseRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Stage, Wake, WebhookDelivery, WebhookEndpoint
from likeness.webhooks import PAUSES_S, new_secret
from problems import InvalidParameter, NoFace
from tests.likeness.service import training
from tests.likeness.test_webhooks import Receiver, receiver  # noqa: F401 - a fixture
from workers.hooks import send_due
from workers.relay import Relay


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def broker(server: RedisServer) -> redis.Redis:
    client = redis.Redis.from_url(server.url)
    client.flushall()
    return client


@pytest.fixture
def relay(either_database: Database, store: LocalStore, settings: Settings, server: RedisServer) -> Relay:
    served = settings.model_copy(update={"broker_url": server.url, "webhooks_to_private": True})
    return Relay(either_database, store, served)


def outbox(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(Wake)) or 0


def test_a_wait_reaches_the_broker_once(
    relay: Relay, broker: redis.Redis, settings: Settings, store: LocalStore
) -> None:
    training(settings, relay.database, store)
    assert relay.dispatch() == 1
    assert relay.dispatch() == 0
    assert broker.llen("cpu") == 1
    assert broker.llen("gpu") == 0
    assert outbox(relay.database) == 0


def test_what_is_not_due_stays(
    relay: Relay, broker: redis.Redis, settings: Settings, store: LocalStore
) -> None:
    training(settings, relay.database, store)
    with relay.database.write() as session:
        wake = session.scalars(select(Wake)).one()
        wake.not_before = now() + timedelta(minutes=5)
    assert relay.dispatch() == 0
    assert broker.llen("cpu") == 0
    assert outbox(relay.database) == 1


def test_without_a_broker_nothing_is_forgotten(
    relay: Relay, broker: redis.Redis, server: RedisServer, settings: Settings, store: LocalStore
) -> None:
    training(settings, relay.database, store)
    server.stop()
    with pytest.raises((OperationalError, redis.RedisError, OSError)):
        relay.dispatch()
    assert outbox(relay.database) == 1
    server.start()
    assert relay.dispatch() == 1
    assert broker.llen("cpu") == 1


def test_an_emptied_broker_is_filled_again_and_no_more_than_once(
    relay: Relay, broker: redis.Redis, settings: Settings, store: LocalStore
) -> None:
    for _ in range(3):
        training(settings, relay.database, store)
    relay.dispatch()
    broker.flushall()
    assert relay.sweep() == 3
    assert broker.llen("cpu") == 3
    assert relay.sweep() == 0, "what waits already is enough"


def test_what_a_dead_worker_held_is_queued_and_woken_for(
    relay: Relay, broker: redis.Redis, settings: Settings, store: LocalStore
) -> None:
    training(settings, relay.database, store)
    with relay.database.write() as session:
        moment = now() - timedelta(minutes=10)
        held = LeaseRepository(session).claim(owner="w/1", now=moment, lease_s=60)
        assert held is not None
    relay.sweep()
    with relay.database.read() as session:
        stage = session.get(Stage, held.stage_id)
        assert stage is not None
        assert (stage.status, stage.fence) == ("queued", 1)
    assert broker.llen("cpu") == 1


def failed_job(relay: Relay, settings: Settings, store: LocalStore, url: str) -> str:
    """A job whose failure is to be told to ``url``."""
    _, job = training(settings, relay.database, store)
    with relay.database.write() as session:
        session.add(
            WebhookEndpoint(id=new_id("whk"), url=url, secret=new_secret(), events=[], created_at=now())
        )
    with relay.database.write() as session:
        leases = LeaseRepository(session)
        held = leases.claim(owner="w/1", now=now(), lease_s=60)
        assert held is not None
        leases.fail(held, NoFace("no face in frame 7", remedy="film again"), now=now())
    return job


def deliveries(relay: Relay) -> list[WebhookDelivery]:
    with relay.database.read() as session:
        return list(session.scalars(select(WebhookDelivery)))


def test_a_client_is_told_once(
    relay: Relay, settings: Settings, store: LocalStore, receiver: Receiver
) -> None:
    job = failed_job(relay, settings, store, receiver.url)
    assert send_due(relay.database, relay.settings) == 1
    assert send_due(relay.database, relay.settings) == 0
    [(_, body)] = receiver.requests
    assert job in body.decode()
    [row] = deliveries(relay)
    assert (row.status, row.attempts, row.last_status) == ("delivered", 1, 200)


def test_a_client_that_is_away_is_told_later_and_given_up_in_the_end(
    relay: Relay, settings: Settings, store: LocalStore, receiver: Receiver
) -> None:
    failed_job(relay, settings, store, receiver.url)
    receiver.status = 503
    for attempt in range(1, len(PAUSES_S) + 2):
        assert send_due(relay.database, relay.settings) == 1
        [row] = deliveries(relay)
        assert row.attempts == attempt
        if attempt <= len(PAUSES_S):
            assert row.next_at is not None
            wait = (row.next_at - now()).total_seconds()
            assert PAUSES_S[attempt - 1] - 5 < wait <= PAUSES_S[attempt - 1]
            with relay.database.write() as session:
                session.merge(row).next_at = now()
    assert row.status == "failed"
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1


def test_a_relay_needs_a_broker(database: Database, store: LocalStore, settings: Settings) -> None:
    with pytest.raises(InvalidParameter, match="broker"):
        Relay(database, store, settings)
