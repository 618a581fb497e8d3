from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from likeness.clock import now
from likeness.database import Database
from likeness.orphans import Sweeper
from likeness.repositories.leases import Claim, LeaseRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from tests.likeness.service import training

DAY = timedelta(days=1)


@pytest.fixture
def held(either_database: Database, settings: Settings, store: LocalStore) -> Claim:
    training(settings, either_database, store)
    with either_database.write() as session:
        claim = LeaseRepository(session).claim(owner="a/1", now=now(), lease_s=60)
    assert claim is not None
    return claim


def put(store: LocalStore, folder: Path, prefix: str) -> str:
    source = folder / "file"
    source.write_bytes(b"output")
    return store.put_file(f"{prefix}/clip.mp4", source).key


def test_what_no_row_names_goes_after_the_grace(
    either_database: Database, store: LocalStore, held: Claim, tmp_path: Path
) -> None:
    base, moment = f"{held.scope}/stages/key", now()
    committed = f"{base}/{held.stage_id}-{held.fence}"
    with either_database.write() as session:
        manifest = {"files": [], "result": {}}
        LeaseRepository(session).complete(held, key="key", prefix=committed, manifest=manifest, now=moment)
    kept = put(store, tmp_path, committed)
    orphan = put(store, tmp_path, f"{base}/{held.stage_id}-7")
    sweeper = Sweeper(either_database, store, grace=DAY)
    assert sweeper.sweep(moment) == 0
    assert sweeper.sweep(moment + 0.9 * DAY) == 0
    assert store.exists(orphan)
    assert sweeper.sweep(moment + DAY) == 1
    assert not store.exists(orphan)
    assert store.exists(kept)
    assert sweeper.sweep(moment + 9 * DAY) == 0


def test_what_a_worker_is_storing_stays(
    either_database: Database, store: LocalStore, held: Claim, tmp_path: Path
) -> None:
    storing = put(store, tmp_path, f"{held.scope}/stages/key/{held.stage_id}-{held.fence}")
    sweeper = Sweeper(either_database, store, grace=timedelta(0))
    assert sweeper.sweep(now()) == 0
    with either_database.write() as session:
        LeaseRepository(session).release(held, now=now())
    assert sweeper.sweep(now()) == 1
    assert not store.exists(storing)


def test_an_orphan_that_finds_its_row_in_time_stays(
    either_database: Database, store: LocalStore, held: Claim, tmp_path: Path
) -> None:
    """A worker that was frozen between storing and committing."""
    prefix, moment = f"{held.scope}/stages/key/{held.stage_id}-{held.fence}", now()
    put(store, tmp_path, f"{held.scope}/stages/key/other-1")
    key = put(store, tmp_path, prefix)
    sweeper = Sweeper(either_database, store, grace=DAY)
    sweeper.sweep(moment)
    with either_database.write() as session:
        manifest = {"files": [], "result": {}}
        assert LeaseRepository(session).complete(held, key="k", prefix=prefix, manifest=manifest, now=moment)
    assert sweeper.sweep(moment + 2 * DAY) == 1, "the other one"
    assert store.exists(key)
