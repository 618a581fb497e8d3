"""Webhooks to real servers of this machine: some answer, some hang."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import pytest
from sqlalchemy import select

from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.repositories.webhooks import WebhookRepository
from likeness.settings import Settings
from likeness.tables import Tenant, WebhookDelivery, WebhookEndpoint
from likeness.webhooks import new_secret
from tests.likeness.test_webhooks import Receiver, receiver  # noqa: F401 - a fixture
from workers.hooks import Courier, CourierLimits


class Hanging:
    """A server that takes connections and never answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.lines: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                self.lines.append(self._listener.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        with suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self.lines:
            line.close()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    server = Hanging()
    yield server
    server.close()


@pytest.fixture
def served(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks_to_private": True})


def endpoint(database: Database, tenant: str, url: str, *, deliveries: int) -> str:
    """An endpoint with so many deliveries that are due."""
    moment = now() - timedelta(minutes=1)
    with database.write() as session:
        if session.get(Tenant, tenant) is None:
            session.add(Tenant(id=tenant, name=tenant, limits={}, created_at=moment))
            session.flush()
        made = WebhookEndpoint(
            id=new_id("whk"), tenant_id=tenant, url=url, secret=new_secret(), events=[], created_at=moment
        )
        session.add(made)
        for index in range(deliveries):
            row = WebhookRepository(session).add_test(made, moment)
            row.next_at = moment + timedelta(milliseconds=index)
        return made.id


def rows(database: Database, endpoint_id: str) -> list[WebhookDelivery]:
    with database.read() as session:
        query = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == endpoint_id)
        return list(session.scalars(query.order_by(WebhookDelivery.id)))


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def courier_of(
    database: Database, settings: Settings, hanging: Hanging, limits: CourierLimits | None = None
) -> Iterator[Courier]:
    """Ends at once: what hangs is let go before it is waited for."""
    with ExitStack() as stack:
        courier = stack.enter_context(Courier(database, settings, limits))
        stack.callback(hanging.close)
        yield courier


def delivered(database: Database, endpoint_id: str) -> int:
    return sum(row.status == "delivered" for row in rows(database, endpoint_id))


def test_an_endpoint_that_hangs_holds_up_nobody(
    either_database: Database, served: Settings, receiver: Receiver, hanging: Hanging
) -> None:
    dead = endpoint(either_database, "ten_a", hanging.url, deliveries=40)
    also = endpoint(either_database, "ten_a", receiver.url, deliveries=3)
    other = endpoint(either_database, "ten_b", receiver.url, deliveries=3)
    with courier_of(either_database, served, hanging) as courier:
        for _ in range(4):
            courier.turn()
        wait_for(lambda: len(hanging.lines) == 2)
        wait_for(lambda: delivered(either_database, other) == 3)
        wait_for(lambda: delivered(either_database, also) == 3)
        courier.turn()
        assert len(hanging.lines) == 2, "of one endpoint no more are under way"
        tried = [row for row in rows(either_database, dead) if row.attempts]
        assert [row.attempts for row in tried] == [1, 1], "nothing is leased before its turn"
        leases = [row.next_at for row in tried]
        assert all(lease is not None and lease > now() + timedelta(seconds=30) for lease in leases)


def test_a_tenant_with_many_dead_endpoints_leaves_room_for_others(
    database: Database, served: Settings, receiver: Receiver, hanging: Hanging
) -> None:
    for _ in range(10):
        endpoint(database, "ten_a", hanging.url, deliveries=2)
    other = endpoint(database, "ten_b", receiver.url, deliveries=1)
    with courier_of(database, served, hanging, CourierLimits(together=5)) as courier:
        assert courier.turn() == 5
        wait_for(lambda: delivered(database, other) == 1)
        wait_for(lambda: len(hanging.lines) == 4)
        assert courier.turn() == 0, "the tenant has all that one may have"


def test_many_tenants_that_hang_are_served_in_turn(
    database: Database, served: Settings, receiver: Receiver, hanging: Hanging
) -> None:
    """Fewest under way first: the second place goes to another tenant, though the first has waited longer."""
    for _ in range(3):
        endpoint(database, "ten_a", hanging.url, deliveries=1)
    other = endpoint(database, "ten_b", receiver.url, deliveries=1)
    with courier_of(database, served, hanging, CourierLimits(together=2)) as courier:
        assert courier.turn() == 2
        wait_for(lambda: delivered(database, other) == 1)


def test_two_couriers_send_nothing_twice(
    either_database: Database, served: Settings, receiver: Receiver
) -> None:
    ours = endpoint(either_database, "ten_a", receiver.url, deliveries=12)
    with Courier(either_database, served) as one, Courier(either_database, served) as two:
        for courier in (one, two, one, two):
            courier.turn()
        one.rest()
        two.rest()
    assert delivered(either_database, ours) == 12
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == len(receiver.requests) == 12
    assert one.tried + two.tried == 12


def test_who_slept_past_the_lease_notes_nothing(
    database: Database, served: Settings, receiver: Receiver
) -> None:
    ours = endpoint(database, "ten_a", receiver.url, deliveries=1)

    def taken_meanwhile() -> None:
        with database.write() as session:
            [row] = session.scalars(select(WebhookDelivery))
            row.attempts += 1

    receiver.before_answer = taken_meanwhile
    receiver.status = 503
    with Courier(database, served) as courier:
        courier.turn()
        courier.rest()
    [row] = rows(database, ours)
    assert (row.attempts, row.last_status) == (2, None)
