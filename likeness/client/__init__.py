"""The client of the REST API, on nothing but the standard library.

    from likeness.client import Client

    client = Client()  # LIKENESS_SERVER, LIKENESS_API_KEY
    clip = client.uploads.create("clip.mp4", "clip")
    consent = client.consents.create("Ada Example", attested=True)
    person = client.persons.create("Ada", consent_id=consent.id)
    client.trainings.wait(client.trainings.create(person.id, clip.id).id)

Everything that goes wrong is an :class:`ApiProblem` with the service's ``code``, message and remedy. Broken
connections and refusals that pass are tried again; see :mod:`likeness.client.transport`.
"""

from __future__ import annotations

from .client import DEFAULT_SERVER, Client
from .errors import ApiProblem
from .job_calls import succeeded, video_request
from .transport import RetryConfig
from .webhook_signatures import WebhookEvent, WebhookRefused, verify_webhook

__all__ = [
    "DEFAULT_SERVER",
    "ApiProblem",
    "Client",
    "RetryConfig",
    "WebhookEvent",
    "WebhookRefused",
    "succeeded",
    "verify_webhook",
    "video_request",
]
