"""Pictures of a running training: in the store while it runs, newest only, and gone when they are not needed."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from likeness.database import Database
from likeness.deletion import delete_job, purge
from likeness.refusals import StoreUnavailable
from likeness.repositories.jobs import JobRepository
from likeness.settings import Settings
from likeness.store import LocalStore, StoredObject
from problems import NoFace
from tests.likeness.service import training
from tests.workers.tiny_stages import REGISTRY
from training.progress import Tick
from workers.previews import MOST, PreviewShelf, previews_of
from workers.runner import Runner, StageContext

PREFIX = "people/per_1/previews/job_1"


def draw(work: Path, *steps: int) -> None:
    (work / "previews").mkdir(parents=True, exist_ok=True)
    for step in steps:
        (work / "previews" / f"preview-{step}.jpg").write_bytes(b"picture %d" % step)


def stored(store: LocalStore, prefix: str = PREFIX) -> list[int]:
    return sorted(int(key.rsplit("-", 1)[1].removesuffix(".jpg")) for key in store.keys(prefix))


def test_new_pictures_come_and_old_ones_go(store: LocalStore, tmp_path: Path) -> None:
    shelf = PreviewShelf(store, PREFIX, tmp_path)
    shelf.fill()
    assert stored(store) == []
    draw(tmp_path, 8, 90)
    (tmp_path / "previews" / "held_out.png").write_bytes(b"not one of them")
    (tmp_path / "previews" / "preview-7.jpg.tmp").write_bytes(b"nor this")
    shelf.fill()
    assert stored(store) == [8, 90]
    draw(tmp_path, *range(100, 100 + MOST - 1))
    shelf.fill()
    assert stored(store) == [90, *range(100, 100 + MOST - 1)]
    path = store.local_path(f"{PREFIX}/preview-90.jpg")
    assert path is not None
    assert path.read_bytes() == b"picture 90"


def test_another_machine_keeps_what_the_first_had_shown(store: LocalStore, tmp_path: Path) -> None:
    draw(tmp_path / "one", 10, 20)
    PreviewShelf(store, PREFIX, tmp_path / "one").fill()
    draw(tmp_path / "two", 30)
    PreviewShelf(store, PREFIX, tmp_path / "two").fill()
    assert stored(store) == [10, 20, 30]


def test_a_store_that_is_away_costs_a_picture(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> StoredObject:
        raise StoreUnavailable("the store is away", remedy="wait")

    draw(tmp_path, 1)
    shelf = PreviewShelf(store, PREFIX, tmp_path)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "likeness.previews"):
        patch.setattr(store, "put_file", away)
        shelf.fill()
    assert PREFIX in caplog.text
    assert stored(store) == []
    shelf.fill()
    assert stored(store) == [1]


def run_with_pictures(
    database: Database, store: LocalStore, settings: Settings, *, then: Exception | None = None
) -> tuple[str, str, list[list[int]]]:
    """A training whose render stage draws; returns the scope, the job, and what was in the store at each tick."""
    person, job_id = training(settings, database, store)
    prefix = previews_of(f"people/{person}", job_id)
    seen: list[list[int]] = []

    def render(context: StageContext) -> None:
        for step in (5, 10):
            draw(context.work, step)
            context.progress(Tick("render", step, 20))
            seen.append(stored(store, prefix))
        if then is not None:
            raise then
        REGISTRY["render"].run(context)

    registry = {**REGISTRY, "render": replace(REGISTRY["render"], run=render)}
    quick = settings.model_copy(update={"progress_every_s": 0.0})
    Runner(database, store, quick, registry=registry, stop=threading.Event()).run_all()
    return prefix, job_id, seen


def test_a_training_shows_its_pictures_and_leaves_them_as_outputs(
    database: Database, store: LocalStore, settings: Settings
) -> None:
    prefix, job_id, seen = run_with_pictures(database, store, settings)
    assert seen == [[5], [5, 10]]
    with database.read() as session:
        job = JobRepository(session).get(job_id)
        assert job is not None
        assert job.status == "succeeded", job.error
        [stage] = [each for each in job.stages if each.name == "render"]
        assert stage.artifact is not None
        names = [entry["name"] for entry in stage.artifact.manifest["files"]]
    assert {"previews/preview-5.jpg", "previews/preview-10.jpg"} <= set(names)
    assert stored(store, prefix) == [], "they are outputs now"


def test_pictures_of_a_failed_training_go_with_its_job(
    database: Database, store: LocalStore, settings: Settings
) -> None:
    broken = NoFace("no face", remedy="film again")
    prefix, job_id, _ = run_with_pictures(database, store, settings, then=broken)
    assert stored(store, prefix) == [5, 10]
    delete_job(database, job_id)
    purge(database, store, settings)
    assert stored(store, prefix) == []
