"""What Prometheus reads, after real stages have run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import update

from api.app import create_app
from likeness.accounts import create_key, create_tenant
from likeness.clock import now
from likeness.database import Database
from likeness.ids import new_id
from likeness.repositories.workers import WorkerRepository
from likeness.requests import PLANS
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Job, Stage, WebhookDelivery, WebhookEndpoint, Worker
from tests.api.conftest import Watch
from tests.likeness.service import (  # noqa: F401
    either_database,
    postgres_url,
    training,
    upload,
)
from tests.workers.tiny_stages import REGISTRY
from workers.runner import Runner


@pytest.fixture
def scraped(settings: Settings, either_database: Database) -> Iterator[TestClient]:
    settings = settings.model_copy(
        update={"database_url": either_database.engine.url.render_as_string(hide_password=False)}
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def scrape(client: TestClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name.removeprefix("likeness_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_queues_jobs_and_stages(
    scraped: TestClient, settings: Settings, either_database: Database, store: LocalStore
) -> None:
    database = either_database
    _, job = training(settings, database, store)
    training(settings, database, store, b"a clip with no face")
    with database.write() as session:
        session.execute(update(Stage).values(queued_at=now() - timedelta(seconds=100)))
    found = scrape(scraped)
    assert value(found, "database_up") == 1
    assert value(found, "queue_stages", queue="cpu", status="queued") == 2
    assert value(found, "queue_stages", queue="gpu", status="queued") == 0
    assert value(found, "queue_oldest_wait_seconds", queue="cpu") == pytest.approx(100, abs=20)
    assert value(found, "queue_oldest_wait_seconds", queue="gpu") == 0
    assert value(found, "outbox_wakes") == 2
    assert value(found, "outbox_oldest_seconds") < 60
    assert value(found, "jobs_ended_last_day", kind="training", status="succeeded") == 0
    assert value(found, "jobs", kind="training", status="queued") == 2
    assert value(found, "jobs", kind="video", status="running") == 0

    Runner(database, store, settings, registry=REGISTRY).run_all()
    found = scrape(scraped)
    assert value(found, "queue_stages", queue="cpu", status="queued") == 0
    assert value(found, "outbox_wakes") == 0
    assert value(found, "outbox_oldest_seconds") == 0
    assert value(found, "jobs", kind="training", status="queued") == 0
    assert value(found, "jobs_ended_last_day", kind="training", status="succeeded") == 1
    assert value(found, "jobs_ended_last_day", kind="training", status="failed") == 1
    assert value(found, "jobs_ended_last_day", kind="video", status="canceled") == 0
    for name in ("validate", "fit", "render", "publish"):
        assert value(found, "stage_seconds_last_day_bucket", stage=name, le="+Inf") == 1, name
    with database.write() as session:
        stages = {row.name: row for row in session.query(Stage).filter_by(job_id=job)}
        stages["render"].started_at = stages["render"].finished_at - timedelta(seconds=45)
    found = scrape(scraped)
    assert value(found, "stage_seconds_last_day_bucket", stage="render", le="30.0") == 0
    assert value(found, "stage_seconds_last_day_bucket", stage="render", le="60.0") == 1
    assert value(found, "stage_seconds_last_day_gsum", stage="render") == pytest.approx(45)


def test_a_later_stage_waits_since_the_one_before_it_was_done(
    scraped: TestClient, settings: Settings, either_database: Database, store: LocalStore
) -> None:
    """Its place in the queue is older than that: the job keeps it from stage to stage."""
    training(settings, either_database, store)
    Runner(either_database, store, settings, registry=REGISTRY).run_once()
    with either_database.write() as session:
        session.execute(
            update(Stage).where(Stage.status == "queued").values(queued_at=now() - timedelta(hours=1))
        )
    assert value(scrape(scraped), "queue_oldest_wait_seconds", queue="cpu") < 60


def test_running_and_silent_stages(
    scraped: TestClient, settings: Settings, either_database: Database, store: LocalStore
) -> None:
    training(settings, either_database, store)
    with either_database.write() as session:
        session.execute(
            update(Stage)
            .where(Stage.name == "validate")
            .values(status="running", lease_owner="w/1", lease_until=now() + timedelta(seconds=60))
        )
    found = scrape(scraped)
    assert value(found, "queue_stages", queue="cpu", status="running") == 1
    assert value(found, "running_stages", stage="validate") == 1
    assert value(found, "silent_stages") == 0
    with either_database.write() as session:
        session.execute(
            update(Stage).where(Stage.status == "running").values(lease_until=now() - timedelta(seconds=1))
        )
    assert value(scrape(scraped), "silent_stages") == 1


def test_workers_relays_and_webhooks(
    scraped: TestClient, settings: Settings, either_database: Database
) -> None:
    moment = now()
    with either_database.write() as session:
        register = WorkerRepository(session)
        for slot, queues, age_s in (
            *(("host-cpu-1", "cpu", 0), ("host-gpu-1", "gpu", 0), ("host-both-1", "cpu,gpu", 0)),
            *(("host-gone-1", "gpu", 3600), ("relay-host-1", "", 0)),
        ):
            seen = moment - timedelta(seconds=age_s)
            register.register(
                Worker(
                    id=f"{slot}/1",
                    slot=slot,
                    host="host",
                    pid=1,
                    queues=queues,
                    started_at=seen,
                    last_seen=seen,
                )
            )
        session.add(WebhookEndpoint(id="whe_1", url="https://x", secret="s", events=[], created_at=moment))
        session.flush()
        for number, status in enumerate(("pending", "failed", "failed", "delivered")):
            session.add(
                WebhookDelivery(
                    id=f"dlv_{number}",
                    endpoint_id="whe_1",
                    event_id="evt",
                    event="training.failed",
                    payload={},
                    status=status,
                    created_at=moment,
                )
            )
    found = scrape(scraped)
    assert value(found, "workers_alive", queue="cpu") == 2
    assert value(found, "workers_alive", queue="gpu") == 2
    assert value(found, "relays_alive") == 1
    assert value(found, "webhook_deliveries", status="pending") == 1
    assert value(found, "webhook_deliveries", status="failed") == 2


def test_requests_are_counted_by_template(scraped: TestClient) -> None:
    scraped.get("/v1/persons/per_secret1")
    scraped.get("/v1/persons/per_secret2")
    scraped.get("/no/such/place")
    scraped.get("/static/style.css")
    scraped.get("/v1/persons", headers={"Host": "evil.example"})
    scraped.request("BREW", "/healthz")
    found = scrape(scraped)

    def counted(method: str, route: str, status: str) -> float:
        return value(found, "http_request_seconds_count", method=method, route=route, status=status)

    assert counted("GET", "/v1/persons/{person_id}", "404") == 2
    assert counted("GET", "unknown", "404") == 1
    assert counted("GET", "static", "200") == 1
    assert counted("GET", "refused", "400") == 1
    assert counted("other", "/healthz", "405") == 1
    text = scraped.get("/metrics").text
    for said in ("per_secret", "evil.example", "BREW", "ten_embedded"):
        assert said not in text


def test_a_lost_database_is_said(client: TestClient, settings: Settings) -> None:
    for name in ("likeness.db", "likeness.db-wal", "likeness.db-shm"):
        (settings.data_dir / name).unlink(missing_ok=True)
    client.app.state.database.engine.dispose()  # type: ignore[attr-defined]
    found = scrape(client)
    assert value(found, "database_up") == 0
    assert not [name for name, _ in found if name.startswith("queue_")]


def test_where_keys_are_needed_strangers_are_told_nothing(
    settings: Settings, database: Database, watch: Watch
) -> None:
    """An admin's key and the token of those who watch the service see everything, on both pages."""
    token = "t" * 32
    app = create_app(
        settings.model_copy(update={"auth": "keys", "metrics_token": SecretStr(token)}), watch=watch
    )
    tenant = create_tenant(database, "Ada Ltd")
    keys = {
        scope: create_key(database, tenant_id=tenant, name=scope, scopes=[scope])[1]
        for scope in ("read", "admin")
    }
    client = TestClient(app, raise_server_exceptions=False)

    def ask(path: str, secret: str) -> httpx.Response:
        return client.get(path, headers={"Authorization": f"Bearer {secret}"} if secret else {})

    for secret, status in (
        ("", 401),
        ("wrong", 401),
        (keys["read"], 403),
        (keys["admin"], 200),
        (token, 200),
    ):
        answer = ask("/metrics", secret)
        assert answer.status_code == status, secret
        assert ("likeness_queue_stages" in answer.text) is (status == 200)
    assert ask("/v1/jobs", token).status_code == 401, "it opens nothing else"
    for alive, status in ((True, 200), (False, 503)):
        watch.alive = alive
        for secret, whole in (("", False), (keys["read"], False), (keys["admin"], True), (token, True)):
            answer = ask("/readyz", secret)
            assert answer.status_code == status
            assert (str(settings.data_dir) in answer.text) is whole
            assert ("worker" in answer.text) is whole
        assert ask("/healthz", "").status_code == 200


def test_without_a_token_nobody_guesses_it(settings: Settings, database: Database, watch: Watch) -> None:
    with TestClient(create_app(settings.model_copy(update={"auth": "keys"}), watch=watch)) as client:
        for header in ("Bearer", "Bearer ", "Bearer  ", "Basic "):
            assert client.get("/metrics", headers={"Authorization": header}).status_code == 401


def test_every_kind_of_job_is_counted(scraped: TestClient, either_database: Database) -> None:
    """Alive and ended, whatever kinds there are."""
    moment = now()
    kinds = list(PLANS)
    with either_database.write() as session:
        for kind in kinds:
            for status in ("queued", "failed"):
                session.add(
                    Job(
                        id=new_id("job"),
                        kind=kind,
                        scope="uploads/upl_x",
                        status=status,
                        params={},
                        progress={},
                        created_at=moment,
                        finished_at=moment if status == "failed" else None,
                    )
                )
    found = scrape(scraped)
    for kind in kinds:
        assert value(found, "jobs", kind=kind, status="queued") == 1
        assert value(found, "jobs", kind=kind, status="running") == 0
        assert value(found, "jobs_ended_last_day", kind=kind, status="failed") == 1
        assert value(found, "jobs_ended_last_day", kind=kind, status="succeeded") == 0
