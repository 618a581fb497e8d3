"""One object with every call of the API, by resource."""

from __future__ import annotations

import os
from datetime import datetime

from .account_calls import (
    ApiKeys,
    AuditEvents,
    Estimates,
    WebhookEndpoints,
    read_system,
    read_usage,
)
from .answers import Health, System, Usage
from .decoding import decode
from .job_calls import Batches, Inspections, Jobs, Motions, Trainings, Verifications, Videos
from .people_calls import Consents, Deletions, Persons, Uploads
from .transport import RetryConfig, Transport

DEFAULT_SERVER = "http://127.0.0.1:8000"
"""Where ``likeness up`` listens."""
SERVER_VARIABLE, KEY_VARIABLE = "LIKENESS_SERVER", "LIKENESS_API_KEY"


class Client:
    """Calls to one service; may be used from several threads.

    Args:
        server: its address; by default ``LIKENESS_SERVER``, else this machine's.
        key: ``lk_…``; by default ``LIKENESS_API_KEY``, else none, which a service without accounts needs.
        retry: how patient to be.
    """

    def __init__(
        self, server: str | None = None, key: str | None = None, *, retry: RetryConfig | None = None
    ) -> None:
        address = server or os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER
        secret = key or os.environ.get(KEY_VARIABLE) or None
        self._transport = transport = Transport(address, secret, retry or RetryConfig())
        self.server = transport.server
        self.uploads = Uploads(transport)
        self.inspections = Inspections(transport)
        self.consents = Consents(transport)
        self.persons = Persons(transport)
        self.trainings = Trainings(transport)
        self.motions = Motions(transport)
        self.videos = Videos(transport)
        self.batches = Batches(transport)
        self.jobs = Jobs(transport)
        self.verifications = Verifications(transport)
        self.deletions = Deletions(transport)
        self.estimates = Estimates(transport)
        self.webhook_endpoints = WebhookEndpoints(transport)
        self.api_keys = ApiKeys(transport)
        self.audit_events = AuditEvents(transport)

    def usage(self, since: datetime | None = None, until: datetime | None = None) -> Usage:
        """What was used, by default since the beginning of this month, with the limits."""
        return read_usage(self._transport, since, until)

    def health(self) -> Health:
        """Whether it answers at all; needs no key."""
        return decode(Health, self._transport.call("GET", "/healthz"))

    def system(self) -> System:
        """The deployment: its parts, who works, what waits."""
        return read_system(self._transport)
