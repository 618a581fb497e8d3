from __future__ import annotations

import json
import time

import pytest

from likeness.client import WebhookRefused, verify_webhook
from likeness.clock import now
from likeness.tables import WebhookEndpoint
from likeness.webhooks import new_secret, rotate_secret, signatures

BODY = json.dumps(
    {"type": "video.succeeded", "timestamp": "2026-11-28T00:00:00+00:00", "data": {"id": "job_1"}}
)


def signed(endpoint: WebhookEndpoint, body: bytes = BODY.encode(), at: int | None = None) -> dict[str, str]:
    """The headers that the service sends."""
    timestamp = int(time.time()) if at is None else at
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": signatures(endpoint, "evt_1", timestamp, body),
    }


@pytest.fixture
def endpoint() -> WebhookEndpoint:
    return WebhookEndpoint(
        id="whk_1", url="https://a.example", secret=new_secret(), events=[], created_at=now()
    )


def test_what_the_service_signs_is_believed(endpoint: WebhookEndpoint) -> None:
    event = verify_webhook(signed(endpoint), BODY.encode(), endpoint.secret)
    assert (event.id, event.type, event.data) == ("evt_1", "video.succeeded", {"id": "job_1"})


def test_the_vector_of_the_standard() -> None:
    # https://github.com/standard-webhooks/standard-webhooks, its libraries' common test
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    with pytest.raises(WebhookRefused, match="no event"):
        verify_webhook(
            headers, b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", now=1614265330
        )


def test_both_secrets_fit_after_a_rotation(endpoint: WebhookEndpoint) -> None:
    old = endpoint.secret
    rotate_secret(endpoint)
    headers = signed(endpoint)
    assert len(headers["Webhook-Signature"].split()) == 2
    for secret in (old, endpoint.secret, [new_secret(), old]):
        assert verify_webhook(headers, BODY.encode(), secret).id == "evt_1"


@pytest.mark.parametrize("case", ["body", "id", "secret", "missing", "version", "time"])
def test_what_was_changed_is_refused(endpoint: WebhookEndpoint, case: str) -> None:
    headers, body, secret = signed(endpoint), BODY.encode(), endpoint.secret
    if case == "body":
        body += b" "
    elif case == "id":
        headers["Webhook-Id"] = "evt_2"
    elif case == "secret":
        secret = new_secret()
    elif case == "missing":
        del headers["Webhook-Timestamp"]
    elif case == "version":
        headers["Webhook-Signature"] = headers["Webhook-Signature"].replace("v1,", "v1a,")
    else:
        headers["Webhook-Timestamp"] = str(int(headers["Webhook-Timestamp"]) + 1)
    with pytest.raises(WebhookRefused):
        verify_webhook(headers, body, secret)


@pytest.mark.parametrize("shift", [-301, 302])
def test_a_message_of_another_time_is_refused(endpoint: WebhookEndpoint, shift: int) -> None:
    headers = signed(endpoint, at=int(time.time()) + shift)
    with pytest.raises(WebhookRefused, match="300 s"):
        verify_webhook(headers, BODY.encode(), endpoint.secret)
    assert verify_webhook(headers, BODY.encode(), endpoint.secret, tolerance_s=400).id == "evt_1"


def test_a_secret_that_is_none_is_said() -> None:
    headers = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
    with pytest.raises(WebhookRefused) as refused:
        verify_webhook(headers, b"{}", "not base64!")
    assert "whsec_" in refused.value.remedy
