"""Sending what webhook endpoints are to be told: the relay does, and without a broker the embedded worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from likeness.clock import now
from likeness.database import Database
from likeness.repositories.webhooks import WebhookRepository
from likeness.settings import Settings
from likeness.webhooks import PAUSES_S, send

log = logging.getLogger("likeness.hooks")

_LEASE_S = 60.0
"""For so long a delivery is whose who took it; longer than a try can take."""
_LOOK_EVERY_S = 1.0


def send_due(database: Database, settings: Settings) -> int:
    """Send webhook deliveries that are due; returns how many were tried. Safe for several at once."""
    moment = now()
    with database.write() as session:
        due = WebhookRepository(session).due(moment, limit=20)
        for delivery in due:  # ours for a while, without holding locks during the call
            delivery.attempts += 1
            delivery.next_at = moment + timedelta(seconds=_LEASE_S)
    for delivery in due:
        answer = send(delivery.endpoint, delivery, private=settings.webhooks_to_private)
        with database.write() as session:
            row = WebhookRepository(session).get(delivery.id)
            if row is None or row.status != "pending":
                continue
            row.last_status, row.last_error = answer.status, answer.error
            if answer.taken:
                row.status, row.delivered_at, row.next_at = "delivered", now(), None
            elif row.attempts > len(PAUSES_S) or answer.final:
                row.status, row.next_at = "failed", None
            else:
                row.next_at = now() + timedelta(seconds=PAUSES_S[row.attempts - 1])
    return len(due)


@contextmanager
def sending(database: Database, settings: Settings) -> Iterator[None]:
    """Send in a thread while the block runs."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(_LOOK_EVERY_S):
            try:
                send_due(database, settings)
            except SQLAlchemyError:
                log.warning("webhooks wait for the database", exc_info=True)

    thread = threading.Thread(target=work, name="hooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LOOK_EVERY_S)
