"""Jobs as the API shows them: read as plain rows, since many clients poll and entities cost several times as much.

The statements are made once, here, so that a read neither builds nor hashes them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Row,
    Select,
    and_,
    bindparam,
    func,
    select,
)
from sqlalchemy.orm import Session

from likeness.repositories.pages import Page
from likeness.tables import Artifact, Job, JobInput, Stage, Upload


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One stage, without what only workers need."""

    name: str
    queue: str
    status: str
    attempt: int
    reused: bool
    priority: int
    lease_owner: str | None
    lease_until: datetime | None
    not_before: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class InputRecord:
    """An upload that a job reads; ``upload_id`` and ``filename`` are None when it was deleted."""

    role: str
    upload_id: str | None
    filename: str | None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job with its stages in order and its inputs; the columns of ``likeness.tables.Job``."""

    id: str
    tenant_id: str
    kind: str
    person_id: str | None
    consent_id: str | None
    batch_id: str | None
    labels: dict[str, Any]
    status: str
    stage: str | None
    params: dict[str, Any]
    progress: dict[str, Any]
    error: dict[str, Any] | None
    result: dict[str, Any] | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stages: Sequence[StageRecord]
    inputs: Sequence[InputRecord]
    output: dict[str, Any] | None
    """Manifest of a finished video's, motion's or inspection's artifact, with its ``prefix``; else None."""

    def input_id(self, role: str) -> str | None:
        """The upload that plays a role."""
        return next((item.upload_id for item in self.inputs if item.role == role), None)


_SHOWN = ("video", "motion", "inspection")
"""Kinds whose output files are handed out."""


class JobRecords:
    def __init__(self, session: Session) -> None:
        self.connection = session.connection()

    def get(self, job_id: str, *, kind: str | None = None) -> JobRecord | None:
        """One job, one that is being deleted included."""
        row = self.connection.execute(_ONE, {"ids": job_id}).one_or_none()
        if row is None or (kind is not None and row.kind != kind):
            return None
        return self._of([row])[0]

    def page(
        self,
        *,
        limit: int,
        cursor: str | None,
        kind: str | None = None,
        status: str | None = None,
        person_id: str | None = None,
        batch_id: str | None = None,
        tenant_id: str | None = None,
    ) -> Page[JobRecord]:
        """The newest jobs that are older than ``cursor`` and fit what is given."""
        query = _JOB
        if cursor is not None:
            query = query.where(_jobs.id < cursor)
        for column, wanted in (
            (_jobs.kind, kind),
            (_jobs.status, status),
            (_jobs.person_id, person_id),
            (_jobs.batch_id, batch_id),
            (_jobs.tenant_id, tenant_id),
        ):
            if wanted:
                query = query.where(column == wanted)
        rows = self.connection.execute(query.order_by(_jobs.id.desc()).limit(limit + 1)).all()
        return Page(self._of(rows[:limit]), rows[limit - 1].id if len(rows) > limit else None)

    def of_person(self, person_id: str) -> list[JobRecord]:
        """The jobs of a person, newest first, without those that are being deleted."""
        query = _JOB.where(_jobs.person_id == person_id, _jobs.deleting_at.is_(None))
        return self._of(self.connection.execute(query.order_by(_jobs.id.desc())).all())

    def _of(self, rows: Sequence[Row[Any]]) -> list[JobRecord]:
        if not rows:
            return []
        values = {"ids": rows[0].id if len(rows) == 1 else [row.id for row in rows]}
        of_stages, of_inputs, of_outputs = _PARTS_OF_ONE if len(rows) == 1 else _PARTS
        stages = _grouped(self.connection.execute(of_stages, values), StageRecord)
        inputs = _grouped(self.connection.execute(of_inputs, values), InputRecord)
        outputs = {}
        if any(row.kind in _SHOWN and row.status == "succeeded" for row in rows):
            for job_id, manifest, prefix in self.connection.execute(of_outputs, values):
                outputs[job_id] = {**manifest, "prefix": prefix}
        return [
            JobRecord(
                **row._mapping,
                stages=stages.get(row.id, []),
                inputs=inputs.get(row.id, []),
                output=outputs.get(row.id),
            )
            for row in rows
        ]


def _grouped(rows: Iterable[Row[Any]], record: type) -> dict[str, list[Any]]:
    """Records of rows by the job's id, which is the first column."""
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(row[0], []).append(record(*row[1:]))
    return groups


def _statements(among: Callable[[ColumnElement[str]], ColumnElement[bool]]) -> tuple[Select[Any], ...]:
    """Stages, inputs and outputs of the jobs whose ids fit."""
    last = select(func.max(_stages.ordinal)).where(_stages.job_id == _jobs.id).correlate(_jobs.id.table)
    return (
        select(_stages.job_id, *_columns(_stages, StageRecord))
        .where(among(_stages.job_id))
        .order_by(_stages.job_id, _stages.ordinal),
        select(_inputs.job_id, _inputs.role, _inputs.upload_id, _uploads.filename)
        .select_from(_inputs.job_id.table.outerjoin(_uploads.id.table, _uploads.id == _inputs.upload_id))
        .where(among(_inputs.job_id))
        .order_by(_inputs.job_id, _inputs.role),
        select(_jobs.id, _artifacts.manifest, _artifacts.prefix)
        .join(_stages.id.table, and_(_stages.job_id == _jobs.id, _stages.ordinal == last.scalar_subquery()))
        .join(_artifacts.id.table, _artifacts.id == _stages.artifact_id)
        .where(among(_jobs.id)),
    )


def _columns(table: Any, record: type, *but: str) -> list[Any]:
    names = [field.name for field in fields(record) if field.name not in but]
    return [table[name] for name in names]


# Tables, not entities: a statement that names an attribute of an entity is run through the mapper.
_jobs, _stages, _inputs, _uploads, _artifacts = (
    entity.__table__.c for entity in (Job, Stage, JobInput, Upload, Artifact)
)
_IDS: BindParameter[Sequence[str]] = bindparam("ids", expanding=True)
_JOB = select(*_columns(_jobs, JobRecord, "stages", "inputs", "output"))
_ONE = _JOB.where(_jobs.id == bindparam("ids"))
_PARTS_OF_ONE = _statements(lambda column: column == bindparam("ids"))
_PARTS = _statements(lambda column: column.in_(_IDS))
