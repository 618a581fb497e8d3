"""The tables. A row is the truth about its resource; files exist because a row names them.

uploads ◀── job_inputs ──▶ jobs ──▶ people ──▶ artifacts (the promoted weights)
                             ▲                    ▲
                           stages ────────────────┘
workers    who is alive, for /readyz
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class UtcDateTime(TypeDecorator[datetime]):
    """Timezone-aware UTC on both databases; SQLite itself has no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times must carry a timezone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {datetime: UtcDateTime, dict[str, Any]: JSON}


class Upload(Base):
    """A file somebody handed in."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    """clip or recording."""
    filename: Mapped[str] = mapped_column(String(255))
    """The name the client gave; shown, never used as a path."""
    media_type: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes."""
    sha256: Mapped[str] = mapped_column(String(64))
    object_key: Mapped[str] = mapped_column(String(512))
    created_at: Mapped[datetime]
    deleting_at: Mapped[datetime | None]
    """Set when it may not be used any more and its bytes are about to go."""


class Artifact(Base):
    """The committed outputs of one stage key; immutable."""

    __tablename__ = "artifacts"
    __table_args__ = (Index(None, "scope"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    stage_key: Mapped[str] = mapped_column(String(64), unique=True)
    stage_name: Mapped[str] = mapped_column(String(32))
    scope: Mapped[str] = mapped_column(String(128))
    """Whose data this is: ``people/per_…`` or ``uploads/upl_…``; the folder that deletion empties."""
    prefix: Mapped[str] = mapped_column(String(512))
    """Folder of the files in the object store."""
    manifest: Mapped[dict[str, Any]]
    """``{"files": [{"name", "size", "sha256"}], "result": {…}}``."""
    created_at: Mapped[datetime]


class Person(Base):
    """Who a clip shows, with the consent to learn them."""

    __tablename__ = "people"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    consent_subject: Mapped[str | None] = mapped_column(String(200))
    """Name of the person who consented, as the user attested it."""
    consent_attested_at: Mapped[datetime | None]
    """When the user attested it; without it nothing is trained."""
    labels: Mapped[dict[str, Any]]
    """The client's own key-value pairs."""
    package_artifact_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id", ondelete="SET NULL"))
    """The promoted weights; None until a training succeeded."""
    created_at: Mapped[datetime]
    deleting_at: Mapped[datetime | None]

    package: Mapped[Artifact | None] = relationship()


class Job(Base):
    """One request for work: a training, a video or an inspection. Its stages do the work in order."""

    __tablename__ = "jobs"
    __table_args__ = (Index(None, "kind", "status"), Index(None, "person_id"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    """training, video or inspection."""
    person_id: Mapped[str | None] = mapped_column(ForeignKey("people.id"))
    package_artifact_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id"))
    """The weights a video uses, fixed when it was asked for."""
    scope: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(16))
    """queued, running, succeeded, failed, canceling or canceled."""
    stage: Mapped[str | None] = mapped_column(String(32))
    """Name of the stage it is in, or ended in."""
    params: Mapped[dict[str, Any]]
    progress: Mapped[dict[str, Any]]
    """percent, done, total, eta_seconds, message, metrics."""
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    attempt: Mapped[int] = mapped_column(default=1)
    """1, and one more for each retry that was asked for."""
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    deleting_at: Mapped[datetime | None]

    stages: Mapped[list[Stage]] = relationship(
        order_by="Stage.ordinal", cascade="all, delete-orphan", back_populates="job"
    )
    inputs: Mapped[list[JobInput]] = relationship(order_by="JobInput.role", cascade="all, delete-orphan")
    package: Mapped[Artifact | None] = relationship()


class JobInput(Base):
    """An upload that a job reads, by the role it plays: clip, recording, pose_video, expression_video."""

    __tablename__ = "job_inputs"
    __table_args__ = (Index(None, "upload_id"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(32), primary_key=True)
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id", ondelete="SET NULL"))
    sha256: Mapped[str] = mapped_column(String(64))

    upload: Mapped[Upload | None] = relationship()


class Stage(Base):
    """One resumable step of a job, and the lease of the worker that runs it."""

    __tablename__ = "stages"
    __table_args__ = (
        UniqueConstraint("job_id", "ordinal"),
        # A claim reads this index from its start, so its cost does not grow with the queue.
        Index("ix_stages_claim", "status", "priority", "queued_at", "id"),
        Index(None, "artifact_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    ordinal: Mapped[int]
    name: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16))
    """pending (an earlier stage is not done), queued, running, succeeded, failed or canceled."""
    priority: Mapped[int]
    """Lower runs first."""
    key: Mapped[str | None] = mapped_column(String(64))
    """sha256 of stage name, code version, config and input hashes; known once a worker took it."""
    reused: Mapped[bool] = mapped_column(default=False)
    """True when a committed manifest of the same key was taken instead of running."""
    attempt: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    """Grows with each claim; every write of a worker names the fence it was given."""
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    queued_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    artifact_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id", ondelete="SET NULL"))

    job: Mapped[Job] = relationship(back_populates="stages")
    artifact: Mapped[Artifact | None] = relationship()


class Worker(Base):
    """A worker process that is, or was, alive."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    slot: Mapped[str] = mapped_column(String(96))
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    started_at: Mapped[datetime]
    last_seen: Mapped[datetime]
