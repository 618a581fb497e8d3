"""What /readyz, the dashboard and `likeness doctor` want to know about the parts of a deployment."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from likeness.clock import now, own_time
from likeness.database import Database
from likeness.loops import troubles
from likeness.repositories.deployment import DeploymentRepository
from likeness.repositories.leases import QUEUES
from likeness.repositories.outbox import OutboxRepository
from likeness.repositories.workers import WorkerRepository
from likeness.settings import MEBIBYTE, Settings
from likeness.store import ObjectStore
from likeness.store_watch import StoreWatch
from likeness.tables import Worker
from problems import InvalidParameter, Problem

GONE_AFTER = timedelta(seconds=120)
"""Three of the longest heartbeats that the settings allow: who was not seen for so long is not alive."""
MOST_SKEW_S = 5.0
"""Difference of clocks that signatures and certificates bear."""


@dataclass(frozen=True)
class WorkerState:
    """What the supervisor knows about its child."""

    alive: bool
    pid: int | None
    restarts: int
    detail: str


WorkerWatch = Callable[[], WorkerState]
"""Asks the supervisor; an API process that has none reads the register of workers instead."""


@dataclass(frozen=True)
class Check:
    """One part and whether it is fit for use."""

    name: str
    ok: bool
    detail: str
    warning: bool = False
    """With ``ok`` False: it works, but should be put right."""


def alive_within(settings: Settings) -> timedelta:
    """For how long a worker may be silent and still count as alive: two beats may be late."""
    return timedelta(seconds=3 * settings.heartbeat_s)


def check_database(database: Database) -> Check:
    """Reachable, and on the schema that this code was written for."""
    # Alembic takes a quarter of a second to import, which an API need not wait for before it answers.
    from likeness.schema import current_revision, head_revision

    try:
        found = current_revision(database)
    except SQLAlchemyError as error:
        return Check(
            "database", False, f"can't be reached ({type(error).__name__}); check LIKENESS_DATABASE_URL"
        )
    wanted = head_revision()
    if found != wanted:
        return Check(
            "database", False, f"schema is {found or 'empty'}, code wants {wanted}; run `likeness migrate`"
        )
    return Check("database", True, f"{database.engine.dialect.name}, schema {found}")


def check_disk(settings: Settings) -> Check:
    """Enough free space in the data folder, and it can be written."""
    try:
        settings.prepare_folders()
        free = shutil.disk_usage(settings.data_dir).free
        probe = settings.incoming_dir / ".probe"
        probe.write_bytes(b"1")
        probe.unlink()
    except (OSError, InvalidParameter) as error:
        reason = error.strerror if isinstance(error, OSError) else error.message
        return Check(
            "disk", False, f"{settings.data_dir} can't be written ({reason}); check LIKENESS_DATA_DIR"
        )
    detail = f"{free // MEBIBYTE} MiB free in {settings.data_dir}"
    if free < settings.min_free_bytes:
        return Check("disk", False, f"{detail}, fewer than the {settings.min_free_mb} kept; free some space")
    return Check("disk", True, detail)


def check_worker(database: Database, settings: Settings, watch: WorkerWatch | None) -> Check:
    """Somebody is there to run stages, of every queue in which one waits."""
    if watch is not None:
        state = watch()
        return Check("worker", state.alive, state.detail)
    moment = now()
    with database.read() as session:
        seen = WorkerRepository(session).seen_since(moment - alive_within(settings))
        outbox = OutboxRepository(session)
        waiting = {queue for queue in QUEUES if outbox.waiting(moment, queue, limit=1)}
    alive = [worker for worker in seen if worker.queues]  # a relay has none
    taken = {queue for worker in alive for queue in worker.queues.split(",")}
    command = "`likeness worker --queue {}`" if settings.broker_url else "`likeness worker`"
    if left := sorted(waiting - taken):
        names = " and ".join(left)
        return Check(
            "worker",
            False,
            f"no worker takes the queue {names}, where jobs wait; start one: {command.format(left[0])}",
        )
    if not alive:
        return Check(
            "worker", False, f"no worker is alive: jobs will wait; start one with {command.format('cpu')}"
        )
    count = ", ".join(
        f"{sum(queue in worker.queues.split(',') for worker in alive)} for {queue}" for queue in QUEUES
    )
    return Check("worker", True, f"{len(alive)} alive ({count})")


def check_relay(database: Database, settings: Settings) -> Check:
    """Somebody hands wake-ups to the broker; the embedded service needs nobody for it."""
    if not settings.broker_url:
        return Check("relay", True, "not needed without a broker")
    with database.read() as session:
        seen = WorkerRepository(session).seen_since(now() - alive_within(settings))
    relays = [worker for worker in seen if worker.slot.startswith("relay")]
    if not relays:
        return Check(
            "relay", False, "no relay is alive: nobody is woken for new jobs; start `likeness relay`"
        )
    return Check("relay", True, f"{len(relays)} alive")


def loops_in_trouble(worker: Worker, settings: Settings) -> list[str]:
    """A phrase for each loop of a process that stands still, or has failed for longer than two beats may be late."""
    return troubles(worker.loops, bear_s=alive_within(settings).total_seconds())


def check_loops(database: Database, settings: Settings) -> Check:
    """What the processes of the deployment do again and again goes well: the living ones note it themselves."""
    with database.read() as session:
        seen = WorkerRepository(session).seen_since(now() - alive_within(settings))
    found = [
        f"{trouble} in {worker.slot}" for worker in seen for trouble in loops_in_trouble(worker, settings)
    ]
    if found:
        return Check("loops", False, f"{'; '.join(sorted(found))}; see that process's log")
    return Check("loops", True, f"{sum(len(worker.loops) for worker in seen)} go well")


def check_store_watch(watch: StoreWatch) -> Check:
    """The object store could be used when this process last looked."""
    if fault := watch.fault():
        return Check(
            "store", False, f"can't be used: {fault}; check that it runs and the LIKENESS_S3_* settings"
        )
    return Check("store", True, "can be used")


def check_secrets(settings: Settings) -> Check:
    """What only a developer's own machine may have is not used in production."""
    if settings.environment != "production":
        return Check("secrets", True, "not checked: LIKENESS_ENVIRONMENT is development")
    try:
        settings.require_safe()
    except InvalidParameter as problem:
        return Check("secrets", False, f"{problem.message}; {problem.remedy}")
    return Check("secrets", True, "safe for production")


def check_clock(database: Database) -> Check:
    """This machine's clock and the database's agree. Rows go by the database's; signed addresses, certificates and
    logs go by this one."""
    before = own_time()
    with database.read() as session:
        theirs = DeploymentRepository(session).database_time()
    after = own_time()
    behind = (theirs - (before + (after - before) / 2)).total_seconds()
    detail = f"{abs(behind):.1f} s {'behind' if behind > 0 else 'ahead of'} the database"
    if abs(behind) > MOST_SKEW_S:
        return Check(
            "clock",
            False,
            f"{detail}, more than {MOST_SKEW_S:g}: signed addresses end early or late; set up NTP here",
        )
    return Check("clock", True, detail)


def check_store(store: ObjectStore, settings: Settings) -> Check:
    """A small object can be written, read back and deleted."""
    key = f"probes/{secrets.token_hex(8)}"
    content = secrets.token_bytes(64)
    kind = type(store).__name__
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(dir=settings.incoming_dir, prefix=".probe-") as folder:
            source, back = Path(folder) / "sent", Path(folder) / "back"
            source.write_bytes(content)
            try:
                stored = store.put_file(key, source)
                store.fetch(key, back, sha256=stored.sha256)
            finally:
                store.delete_prefix(key)
            whole = back.read_bytes() == content
        if not whole or store.exists(key):
            return Check("store", False, f"{kind}: a probe came back changed, or could not be deleted")
    except (Problem, OSError, BotoCoreError, ClientError) as error:
        return Check(
            "store",
            False,
            f"{kind}: a probe failed ({type(error).__name__}: {error}); check the store's settings",
        )
    took = (time.monotonic() - began) * 1000
    return Check("store", True, f"{kind}: a probe was written, read and deleted in {took:.0f} ms")


def check_broker(settings: Settings) -> list[Check]:
    """Redis answers, drops nothing when memory is short, and keeps what it has over a restart."""
    if not settings.broker_url:
        return [Check("broker", True, "none: one embedded worker beside the API")]
    import redis  # a third of a second, and for those who have a broker only

    try:
        with redis.Redis.from_url(
            settings.broker_url, socket_timeout=5, socket_connect_timeout=5, decode_responses=True
        ) as client:
            client.ping()
            facts: dict[str, Any] = client.info()
    except (redis.RedisError, OSError, ValueError) as error:
        return [
            Check(
                "broker", False, f"can't be used ({type(error).__name__}: {error}); check LIKENESS_BROKER_URL"
            )
        ]
    found = [Check("broker", True, f"Redis {facts.get('redis_version', '?')}")]
    policy = facts.get("maxmemory_policy", "unknown")
    if policy != "noeviction":
        found.append(
            Check(
                "broker",
                False,
                f"maxmemory-policy is {policy}: Redis may drop wake-ups; set it to noeviction",
                warning=True,
            )
        )
    if str(facts.get("aof_enabled")) != "1":
        found.append(
            Check(
                "broker",
                False,
                "no append-only file: a restart forgets wake-ups, which the relay sends again after "
                f"{settings.sweep_s:g} s; set appendonly yes",
                warning=True,
            )
        )
    return found


def checks(
    database: Database, settings: Settings, watch: WorkerWatch | None, store: StoreWatch | None = None
) -> list[Check]:
    """What /readyz looks at; worker, relay and loops only when the database can be asked."""
    found = [check_database(database), check_disk(settings)]
    if store is not None:
        found.append(check_store_watch(store))
    if found[0].ok or watch is not None:
        found.append(check_worker(database, settings, watch))
    if found[0].ok and settings.broker_url:
        found.append(check_relay(database, settings))
    if found[0].ok:
        found.append(check_loops(database, settings))
    return found


def deployment_checks(database: Database, store: ObjectStore, settings: Settings) -> list[Check]:
    """What ``likeness doctor`` looks at in the service, as seen from this machine."""
    found = [check_secrets(settings), check_disk(settings), check_database(database)]
    found += check_broker(settings)
    if found[1].ok:
        found.append(check_store(store, settings))
    if found[2].ok:
        # The embedded worker need not run while somebody looks.
        if settings.broker_url:
            found.append(check_worker(database, settings, None))
        found += [
            check_relay(database, settings),
            check_loops(database, settings),
            check_clock(database),
        ]
    return found
