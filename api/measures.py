"""What Prometheus reads at /metrics.

Queues, jobs, workers and webhooks are counted from rows when somebody asks, so every API process says the same and none
forgets at a restart. Requests are counted per process, as Prometheus expects. No label holds an id, a name or anything
else of a tenant or a person.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeHistogramMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from likeness.clock import now
from likeness.database import Database
from likeness.health import alive_within, loops_in_trouble
from likeness.repositories.leases import QUEUES
from likeness.repositories.measures import ENDED, LIVE, MeasureRepository
from likeness.repositories.workers import WorkerRepository
from likeness.requests import PLANS
from likeness.settings import Settings

log = logging.getLogger("likeness.metrics")

WINDOW = timedelta(days=1)
STAGE_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400)
"""Upper bounds of the histogram of stages, s."""
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
"""Upper bounds of the histogram of requests, s."""
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class RequestMeasures:
    """Requests of this process, by route template: a path would have as many values as there are ids."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "likeness_http_request_seconds",
            "Time to answer a request to its last byte; streams of events last as long as somebody listens",
            ("method", "route", "status"),
            buckets=REQUEST_SECONDS,
            registry=registry,
        )

    def count(self, scope: Scope, status: int, seconds: float, *, refused: bool) -> None:
        """Take note of a request that was answered."""
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", None)
        if refused or route is None:
            route = "refused" if refused else "static" if scope["path"].startswith("/static/") else "unknown"
        self._seconds.labels(method, route, str(status)).observe(seconds)


class RowMeasures(Collector):
    """The state of queues, jobs, workers and webhooks, read from the database at each scrape."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings

    def collect(self) -> Iterator[Metric]:
        try:
            found = list(self._read())
        except SQLAlchemyError:
            log.warning("the measurements can't be read from the database", exc_info=True)
            found = []
        up = float(bool(found))
        yield GaugeMetricFamily("likeness_database_up", "1 when the database answered this scrape", up)
        yield from found

    def _read(self) -> Iterator[Metric]:
        moment = now()
        with self._database.read() as session:
            measures = MeasureRepository(session)
            live = measures.live_stages()
            oldest = {queue: measures.oldest_wait(moment, queue) for queue in QUEUES}
            silent = measures.silent(moment)
            open_jobs = measures.live_jobs(PLANS)
            ended = measures.ended(moment, within=WINDOW)
            durations = measures.durations(moment, within=WINDOW)
            wakes, wakes_age = measures.outbox(moment)
            deliveries = measures.deliveries()
            seen = WorkerRepository(session).seen_since(moment - alive_within(self._settings))
        depth = Counter({(queue, status): 0 for queue in QUEUES for status in ("queued", "running")})
        running: Counter[tuple[str, ...]] = Counter()
        for queue, name, status, count in live:
            depth[queue, status] += count
            if status == "running":
                running[name,] += count
        yield _gauge("queue_stages", "Stages by queue: queued or running", ("queue", "status"), depth.items())
        yield _gauge("running_stages", "Running stages by name", ("stage",), running.items())
        yield _gauge(
            "queue_oldest_wait_seconds",
            "Longest that a due stage of the queue has waited for a worker",
            ("queue",),
            (((queue,), seconds) for queue, seconds in oldest.items()),
        )
        yield GaugeMetricFamily("likeness_silent_stages", "Running stages without a sign of life", silent)
        workers: Counter[tuple[str, ...]] = Counter({(queue,): 0 for queue in QUEUES})
        workers.update((queue,) for worker in seen for queue in worker.queues.split(",") if queue)
        yield _gauge("workers_alive", "Workers that take the queue's stages", ("queue",), workers.items())
        relays = sum(worker.slot.startswith("relay") for worker in seen)
        yield GaugeMetricFamily("likeness_relays_alive", "Relays that are alive", relays)
        yield GaugeMetricFamily(
            "likeness_loops_in_trouble",
            "What processes do again and again that fails, or stands still",
            sum(len(loops_in_trouble(worker, self._settings)) for worker in seen),
        )
        live_jobs: Counter[tuple[str, str]] = Counter(
            {(kind, status): 0 for kind in PLANS for status in LIVE}
        )
        live_jobs.update(open_jobs)
        yield _gauge("jobs", "Jobs that have not ended", ("kind", "status"), live_jobs.items())
        jobs: Counter[tuple[str, str]] = Counter({(kind, status): 0 for kind in PLANS for status in ENDED})
        jobs.update(ended)
        yield _gauge(
            "jobs_ended_last_day", "Jobs that ended in the last 24 h", ("kind", "status"), jobs.items()
        )
        yield _histogram(
            "stage_seconds_last_day",
            "Seconds of each run of a stage in the last 24 h that ended well",
            durations,
        )
        yield GaugeMetricFamily("likeness_outbox_wakes", "Due wake-ups not yet handed to the broker", wakes)
        yield GaugeMetricFamily(
            "likeness_outbox_oldest_seconds", "For how long the oldest of them has been due", wakes_age
        )
        yield _gauge(
            "webhook_deliveries",
            "Webhook deliveries that are pending, or were given up (counted up to 10,000)",
            ("status",),
            (((status,), count) for status, count in deliveries.items()),
        )


def _gauge(
    name: str, help_text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(f"likeness_{name}", help_text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(name: str, help_text: str, seconds: Iterable[tuple[str, float]]) -> Metric:
    """A histogram whose counts may fall, since rows leave its window."""
    family = GaugeHistogramMetricFamily(f"likeness_{name}", help_text, labels=("stage",))
    by_stage: dict[str, list[float]] = defaultdict(list)
    for stage, value in seconds:
        by_stage[stage].append(value)
    for stage, values in by_stage.items():
        buckets = [(str(float(bound)), float(sum(v <= bound for v in values))) for bound in STAGE_SECONDS]
        family.add_metric((stage,), [*buckets, ("+Inf", float(len(values)))], sum(values))
    return family
