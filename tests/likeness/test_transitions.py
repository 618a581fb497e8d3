"""Every change of state is written against the state that it may start from, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from likeness.database import Database
from likeness.job_states import ACTIVE, ENDED, JOB_MOVES, STAGE_MOVES
from likeness.repositories.transitions import TransitionRepository
from likeness.settings import Settings
from likeness.store import LocalStore
from likeness.tables import Job, Stage
from problems import Conflict
from tests.likeness.service import training


def test_a_job_moves_as_the_table_says_and_not_otherwise(
    settings: Settings, either_database: Database, store: LocalStore
) -> None:
    _, job_id = training(settings, either_database, store)
    moved = set()
    for old in JOB_MOVES:
        for new in JOB_MOVES:
            with either_database.write() as session:
                session.execute(update(Job).where(Job.id == job_id).values(status=old))
                job = session.get_one(Job, job_id)
                try:
                    TransitionRepository(session).move_job(job, new)
                except Conflict:
                    assert job.status == old
                else:
                    assert job.status == new
                    moved.add((old, new))
    assert moved == {(old, new) for new, olds in JOB_MOVES.items() for old in olds}


def test_a_stage_moves_as_the_table_says_and_not_otherwise(
    settings: Settings, either_database: Database, store: LocalStore
) -> None:
    _, job_id = training(settings, either_database, store)
    moved = set()
    for old in STAGE_MOVES:
        for new in STAGE_MOVES:
            with either_database.write() as session:
                stage = session.get_one(Job, job_id).stages[0]
                session.execute(update(Stage).where(Stage.id == stage.id).values(status=old))
                try:
                    TransitionRepository(session).move_stage(stage, new)
                except Conflict:
                    assert stage.status == old
                else:
                    moved.add((old, new))
    assert moved == {(old, new) for new, olds in STAGE_MOVES.items() for old in olds}


def test_what_somebody_else_decided_meanwhile_stands(
    settings: Settings, either_database: Database, store: LocalStore
) -> None:
    """A writer that believes in an old state writes nothing."""
    _, job_id = training(settings, either_database, store)
    with either_database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(status="running"))
    with either_database.read() as session:
        believed = session.get_one(Job, job_id)
    with either_database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(status="canceling"))
    with either_database.write() as session:
        session.add(believed)
        with pytest.raises(Conflict, match=f"{job_id} is canceling and can't become succeeded"):
            TransitionRepository(session).move_job(believed, "succeeded")
    with either_database.read() as session:
        assert session.get_one(Job, job_id).status == "canceling"


def test_what_is_to_stop_can_only_stop() -> None:
    assert {new for new, olds in JOB_MOVES.items() if "canceling" in olds} == {"canceling", "canceled"}
    assert set(ACTIVE) | set(ENDED) == set(JOB_MOVES)
    assert not set(ACTIVE) & set(ENDED)
