"""Sending what webhook endpoints are to be told: the relay does, and without a broker the embedded worker.

Many sends are under way at once, so that an endpoint which hangs holds up nobody else's: of one endpoint and of one
tenant only a few are, and whoever has the fewest under way comes first. A delivery is leased when it is its turn to be
sent, not before; the lease is longer than a try can take.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from likeness.clock import now
from likeness.database import Database
from likeness.loops import Board, Loop, fault_of
from likeness.repositories.webhooks import WebhookRepository
from likeness.settings import Settings
from likeness.tables import WebhookDelivery
from likeness.webhooks import PAUSES_S, Answer, send

log = logging.getLogger("likeness.hooks")

LOOK_EVERY_S = 1.0
_LEASE_S = 60.0
"""For so long a delivery is whose who took it: several times what a try can take."""
_MOST_IN_A_ROW = 100
"""Deliveries of one endpoint that a thread sends before others get their turn."""


@dataclass(frozen=True)
class CourierLimits:
    """How many sends may be under way at once."""

    together: int = 64
    tenant: int = 4
    endpoint: int = 2


class Courier:
    """A context manager: sends what is due when it is told to look (:meth:`turn`). Several may share a database."""

    def __init__(self, database: Database, settings: Settings, limits: CourierLimits | None = None) -> None:
        self._database, self._settings, self._limits = database, settings, limits or CourierLimits()
        self._changed = threading.Condition()
        self._busy: Counter[str] = Counter()  # by endpoint
        self._owners: Counter[str] = Counter()  # by tenant
        self._threads: ThreadPoolExecutor | None = None
        self._closing = False
        self.tried = 0
        """Deliveries that were tried so far."""

    def __enter__(self) -> Courier:
        self._threads = ThreadPoolExecutor(self._limits.together, thread_name_prefix="hook")
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for what is under way; nothing else is begun."""
        self._closing = True
        assert self._threads is not None
        self._threads.shutdown(cancel_futures=True)

    def turn(self) -> int:
        """Begin to send what is due, as far as the limits allow; returns for how many endpoints."""
        assert self._threads is not None, "enter it first"
        limits, started = self._limits, 0
        with self._changed:
            full = [endpoint for endpoint, count in self._busy.items() if count >= limits.endpoint]
            full_owners = [tenant for tenant, count in self._owners.items() if count >= limits.tenant]
        with self._database.read() as session:
            waiting = WebhookRepository(session).due_endpoints(
                now(), limit=4 * limits.together, busy=full, busy_tenants=full_owners
            )
        while waiting and self._total() < limits.together:
            with self._changed:
                waiting = [
                    (endpoint, tenant)
                    for endpoint, tenant in waiting
                    if self._busy[endpoint] < limits.endpoint and self._owners[tenant] < limits.tenant
                ]
                if not waiting:
                    break
                # Stable: of equals, the one that has waited the longest.
                endpoint, tenant = min(waiting, key=lambda each: self._owners[each[1]])
                waiting.remove((endpoint, tenant))
                self._busy[endpoint] += 1
                self._owners[tenant] += 1
            self._threads.submit(self._serve, endpoint, tenant)
            started += 1
        return started

    def rest(self) -> None:
        """Wait until nothing is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)

    def _total(self) -> int:
        with self._changed:
            return self._busy.total()

    def _serve(self, endpoint: str, tenant: str) -> None:
        """Send an endpoint's due deliveries, one after the other, until one is not taken."""
        try:
            for _ in range(_MOST_IN_A_ROW):
                if self._closing or not self._send_next(endpoint):
                    return
        except Exception:  # of the database: what was leased is sent again after its lease
            log.exception("deliveries to %s wait", endpoint)
        finally:
            with self._changed:
                for counter, name in ((self._busy, endpoint), (self._owners, tenant)):
                    counter[name] -= 1
                    if not counter[name]:
                        del counter[name]
                self._changed.notify_all()

    def _send_next(self, endpoint: str) -> bool:
        """Send one; whether it was taken."""
        with self._database.write() as session:
            delivery = WebhookRepository(session).next_due(endpoint, now())
            if delivery is None:
                return False
            delivery.attempts += 1
            delivery.next_at = now() + timedelta(seconds=_LEASE_S)
        try:
            answer = send(delivery.endpoint, delivery, private=self._settings.webhooks_to_private)
        except Exception as error:  # a fault of ours must end the try as one of theirs does
            log.exception("the delivery %s could not be tried", delivery.id)
            answer = Answer(False, None, fault_of(error)[:500])
        with self._changed:
            self.tried += 1
        self._note(delivery, answer)
        return answer.taken

    def _note(self, delivery: WebhookDelivery, answer: Answer) -> None:
        with self._database.write() as session:
            row = WebhookRepository(session).get(delivery.id)
            # Another courier's by now, if this process slept past its lease.
            if row is None or row.status != "pending" or row.attempts != delivery.attempts:
                return
            row.last_status, row.last_error = answer.status, answer.error
            if answer.taken:
                row.status, row.delivered_at, row.next_at = "delivered", now(), None
            elif row.attempts > len(PAUSES_S) or answer.final:
                row.status, row.next_at = "failed", None
            else:
                row.next_at = now() + timedelta(seconds=PAUSES_S[row.attempts - 1])


def send_due(database: Database, settings: Settings) -> int:
    """Send what is due, and wait for the answers; returns how many deliveries were tried."""
    with Courier(database, settings) as courier:
        courier.turn()
        courier.rest()
        return courier.tried


@contextmanager
def sending(database: Database, settings: Settings, *, board: Board) -> Iterator[None]:
    """Send in threads while the block runs."""
    with (
        Courier(database, settings) as courier,
        Loop("hooks", courier.turn, pause_s=LOOK_EVERY_S, board=board).beside(),
    ):
        yield
