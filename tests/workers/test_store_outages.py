"""Relay, workers and API while the object store is away, deletions waiting, and before it was ever there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from api.app import create_app
from benchmarks.job_stack import RedisServer
from likeness.clock import now
from likeness.database import Database
from likeness.deletion import delete_person
from likeness.health import check_loops
from likeness.repositories.leases import LeaseRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.store_watch import StoreWatch
from likeness.tables import Deletion, Person, Stage, Upload
from tests.likeness.service import training
from tests.workers.stores_away import AwayStore
from tests.workers.tiny_stages import REGISTRY
from workers.process import work_forever
from workers.relay import Relay
from workers.runner import Runner


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Everything is looked at several times a second."""
    changes = {"heartbeat_s": 0.05, "lease_s": 0.5, "sweep_s": 0.05, "poll_s": 0.05}
    return settings.model_copy(update=changes)


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def beside(run: Callable[[], object], stop: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def dead_workers_stage(database: Database) -> str:
    """A stage whose worker died a while ago."""
    with database.write() as session:
        held = LeaseRepository(session).claim(owner="dead/1", now=now() - timedelta(hours=1), lease_s=60)
    assert held is not None
    return held.stage_id


def status_of(database: Database, stage_id: str) -> str:
    with database.read() as session:
        stage = session.get(Stage, stage_id)
        assert stage is not None
        return stage.status


def deletion_is_done(database: Database, deletion_id: str) -> bool:
    with database.read() as session:
        deletion = session.get(Deletion, deletion_id)
        assert deletion is not None
        return deletion.status == "done"


def test_a_relay_goes_on_while_the_store_is_away_and_deletes_when_it_is_back(
    quick: Settings, database: Database, store: LocalStore, redis_url: str
) -> None:
    served = quick.model_copy(update={"broker_url": redis_url})
    person, _ = training(quick, database, store)
    deletion = delete_person(database, person)
    away = AwayStore(quick)  # not there at the relay's first start either
    stop = threading.Event()
    with beside(Relay(database, away, served, stop=stop).run, stop):
        wait_for(lambda: not check_loops(database, served).ok)
        detail = check_loops(database, served).detail
        assert "the loop tidy has failed" in detail
        assert "the object store did not answer" in detail
        assert "sweep" not in detail, "what needs no store goes well"
        training(quick, database, store, b"another clip")
        stage = dead_workers_stage(database)
        wait_for(lambda: status_of(database, stage) == "queued")
        assert not deletion_is_done(database, deletion)
        away.away = False
        wait_for(lambda: deletion_is_done(database, deletion))
        wait_for(lambda: check_loops(database, served).ok)
    assert list(store.keys(f"people/{person}")) == []


def test_a_worker_waits_for_a_store_that_is_not_there_and_says_so(
    quick: Settings, database: Database, store: LocalStore
) -> None:
    person, _ = training(quick, database, store)
    deletion = delete_person(database, person)
    away = AwayStore(quick)
    runner = Runner(database, away, quick, registry=REGISTRY)
    with beside(lambda: work_forever(runner), runner.stop):  # type: ignore[arg-type]
        wait_for(lambda: not check_loops(database, quick).ok)
        assert "the loop store has failed" in check_loops(database, quick).detail
        away.away = False
        wait_for(lambda: deletion_is_done(database, deletion))
        assert away.prepared == 1
        away.away = True  # and once more, while another deletion waits
        person, _ = training(quick, database, store, b"another clip")
        deletion = delete_person(database, person)
        wait_for(lambda: "the loop tidy has failed" in check_loops(database, quick).detail)
        training(quick, database, store, b"a third clip")
        away.away = False
        wait_for(lambda: deletion_is_done(database, deletion))


def test_an_idle_worker_frees_what_a_dead_one_held_while_it_can_not_delete(
    quick: Settings, database: Database, store: LocalStore
) -> None:
    person, _ = training(quick, database, store)
    delete_person(database, person)
    training(quick, database, store, b"another clip")
    stage = dead_workers_stage(database)
    away = AwayStore(quick, away=False)
    runner = Runner(database, away, quick, registry=REGISTRY, queues=("gpu",))  # never takes it itself
    runner.takeover = lambda: setattr(away, "away", True)  # done before its first look at anything
    with beside(lambda: work_forever(runner), runner.stop):  # type: ignore[arg-type]
        wait_for(lambda: status_of(database, stage) == "queued")


def test_one_deletion_that_fails_keeps_no_other_waiting(
    settings: Settings, database: Database, store: LocalStore
) -> None:
    from likeness.deletion import delete_upload, purge
    from problems import InternalProblem
    from tests.likeness.service import upload

    first, second = (upload(settings, database, store, content) for content in (b"one", b"two"))

    class Refusing(LocalStore):
        def delete_prefix(self, prefix: str) -> int:
            if first in prefix:
                raise InternalProblem("it refused the request", remedy="check the access key")
            return super().delete_prefix(prefix)

    for each in (first, second):
        delete_upload(database, each)
    with pytest.raises(InternalProblem):
        purge(database, Refusing(settings.objects_dir), settings)
    with database.read() as session:
        assert list(session.scalars(select(Upload.id))) == [first]
    purge(database, store, settings)
    with database.read() as session:
        assert list(session.scalars(select(Upload.id))) == []


def test_a_job_is_gone_only_once_its_objects_are(
    settings: Settings, database: Database, store: LocalStore
) -> None:
    """A receipt that names objects as deleted which are still there would be a lie for ever."""
    from likeness.deletion import delete_job, purge
    from likeness.refusals import StoreUnavailable

    _, job = training(settings, database, store)
    Runner(database, store, settings, registry=REGISTRY).run_all()
    with database.write() as session:  # its weights go with it
        person = session.scalars(select(Person)).one()
        person.package_artifact_id = None
    assert list(store.keys("people"))
    deletion = delete_job(database, job)

    class Flaky(AwayStore):
        def delete_prefix(self, prefix: str) -> int:
            self.away = True
            return super().delete_prefix(prefix)

        def keys(self, prefix: str = "") -> Iterator[str]:
            return LocalStore.keys(self, prefix)

    with pytest.raises(StoreUnavailable):
        purge(database, Flaky(settings, away=False), settings)
    assert not deletion_is_done(database, deletion)
    purge(database, store, settings)
    assert deletion_is_done(database, deletion)
    left = [key for key in store.keys("people") if "/versions/" not in key]
    assert [key for key in left if "track.safetensors" in key] == []


def test_the_api_starts_without_its_store_and_says_that_it_is_not_ready(
    settings: Settings, database: Database
) -> None:
    """Nothing listens there: not yet."""
    s3 = settings.model_copy(
        update={
            "store": "s3",
            "s3_bucket": "likeness",
            "s3_endpoint_url": "http://127.0.0.1:9",
            "s3_access_key": "key",
            "s3_secret_key": "a-secret-of-tests",
        }
    )
    s3 = Settings(**{name: getattr(s3, name) for name in s3.model_fields_set})
    with TestClient(create_app(s3)) as client:
        assert client.get("/healthz").status_code == 200
        answer = client.get("/readyz")
        assert answer.status_code == 503
        [store] = [each for each in answer.json()["details"]["checks"] if each["name"] == "store"]
        assert not store["ok"]


def test_a_store_is_asked_beside_the_requests_and_prepared_once(settings: Settings) -> None:
    settings.prepare_folders()
    away = AwayStore(settings)
    watch = StoreWatch(away)
    with watch.watching():
        assert "the object store did not answer" in watch.fault()
        away.away = False
        wait_for(lambda: watch.fault() == "")
    assert away.prepared == 1
    away.away = True
    assert "the object store did not answer" in watch.fault(), "asked at once where nobody looks beside"
    assert away.prepared == 1


def test_many_who_finish_the_same_deletions_do_not_disturb_each_other(
    settings: Settings, either_database: Database, store: LocalStore
) -> None:
    """Relays, every worker and the API do so at the same time."""
    from likeness.deletion import purge

    database = either_database
    people = [training(settings, database, store, bytes([index]))[0] for index in range(4)]
    deletions = [delete_person(database, person) for person in people]
    begin, faults = threading.Barrier(4), list[Exception]()

    def finish() -> None:
        begin.wait()
        try:
            purge(database, store, settings)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=finish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    purge(database, store, settings)
    assert all(deletion_is_done(database, deletion) for deletion in deletions)
