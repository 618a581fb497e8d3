"""The tables. A row is the truth about its resource; files exist because a row names them.

tenants ◀── everything below: who owns it

uploads ◀── job_inputs ──▶ jobs ──▶ people ──▶ consents ◀──┐
  ▲                          ▲        ▲  └────▶ artifacts   │ (the promoted weights)
take_prints                stages     └── person_versions ──┴▶ artifacts
                             ▲   └──────▶ artifacts
                           outbox     wake-ups to be sent to the broker

                           job_events           what happened to a job, in order
webhook_endpoints ◀── webhook_deliveries      what clients are told
batches, deletions, usage_records             many videos at once; receipts; what was used
idempotency_keys                              answers that are given again
api_keys ◀── sign_ins                         who may do what, and which browsers are signed in
audit_events                                  who did what
workers                                       who is alive, for /readyz
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
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


EMBEDDED = "ten_embedded"
"""The one tenant of a deployment without accounts; the migrations enter it."""


class Tenant(Base):
    """Who owns people, uploads and jobs; nothing crosses from one to another."""

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What it may use at most (``likeness.accounts.Limits``); what is not named is not limited."""
    created_at: Mapped[datetime]


class Upload(Base):
    """A file somebody handed in, or is about to."""

    __tablename__ = "uploads"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "status", "expires_at"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    purpose: Mapped[str] = mapped_column(String(16))
    """clip, recording, consent or video."""
    status: Mapped[str] = mapped_column(String(16), default="ready")
    """awaiting (its parts), or ready."""
    filename: Mapped[str] = mapped_column(String(255))
    """The name the client gave; shown, never used as a path."""
    media_type: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes."""
    sha256: Mapped[str] = mapped_column(String(64))
    object_key: Mapped[str] = mapped_column(String(512))
    part_size: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes of each part but the last; None when it came in one piece."""
    multipart_id: Mapped[str | None] = mapped_column(String(255))
    """The object store's name of the unfinished upload."""
    expires_at: Mapped[datetime | None]
    """When an upload that is not whole is given up."""
    source_url: Mapped[str | None] = mapped_column(String(2048))
    """Where it was fetched from."""
    created_at: Mapped[datetime]
    deleting_at: Mapped[datetime | None]
    """Set when it may not be used any more and its bytes are about to go."""


class TakePrint(Base):
    """What an upload's sound and picture are recognised by when they come again in another file
    (``workers.take_prints``). It goes with the upload."""

    __tablename__ = "take_prints"

    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int]
    """Of how it was made; another one is made anew."""
    data: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]


class Artifact(Base):
    """The committed outputs of one stage key; immutable."""

    __tablename__ = "artifacts"
    __table_args__ = (Index(None, "scope"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    stage_key: Mapped[str] = mapped_column(String(64), unique=True)
    stage_name: Mapped[str] = mapped_column(String(32))
    scope: Mapped[str] = mapped_column(String(128))
    """Whose data this is: ``people/per_…`` or ``uploads/upl_…``; the folder that deletion empties."""
    prefix: Mapped[str] = mapped_column(String(512))
    """Folder of the files in the object store."""
    manifest: Mapped[dict[str, Any]]
    """``{"files": [{"name", "size", "sha256"}], "result": {…}}``."""
    created_at: Mapped[datetime]


class Consent(Base):
    """That somebody agreed to be learned and shown, and in which words."""

    __tablename__ = "consents"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    subject_name: Mapped[str] = mapped_column(String(200))
    """Name of the person who consented."""
    status: Mapped[str] = mapped_column(String(24))
    """attested (the user's word); or awaiting_recording, verifying, then verified or rejected; expired, revoked."""
    statement: Mapped[str] = mapped_column(Text, default="")
    """The words that were agreed to; empty for a bare attestation."""
    language: Mapped[str] = mapped_column(String(16), default="")
    purposes: Mapped[list[str]] = mapped_column(JSON, default=list)
    """What for: train, dub."""
    passcode: Mapped[str] = mapped_column(String(64), default="")
    """Random words in the statement: a recording from before it was made does not have them."""
    expires_at: Mapped[datetime | None]
    """Until when a recording is waited for."""
    recording_upload_id: Mapped[str | None] = mapped_column(String(40))
    job_id: Mapped[str | None] = mapped_column(String(40))
    """Of the check of the recording."""
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What the check found."""
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    @property
    def given(self) -> bool:
        """It may be acted upon."""
        return self.status in ("attested", "verified")

    @property
    def words_heard(self) -> bool:
        """Somebody, or a recogniser, heard the words of the statement in the recording."""
        return bool(((self.report or {}).get("review") or {}).get("words_heard"))

    @property
    def checked(self) -> list[str]:
        """What of a recorded consent was checked, in words; empty of the user's word."""
        report = self.report or {}
        found = ["face and voice match"] if report.get("accepted") else []
        if review := report.get("review"):
            heard = "words heard" if review["words_heard"] else "words not heard"
            found.append(f"{heard} by {review['by']} at {review['at']}")
        return found

    def standing(self, moment: datetime) -> str:
        """The status, with a recording that did not come in time counted as expired."""
        late = self.expires_at is not None and self.expires_at < moment
        return "expired" if late and self.status == "awaiting_recording" else self.status


class Person(Base):
    """Who a clip shows, with the consent to learn them."""

    __tablename__ = "people"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    name: Mapped[str] = mapped_column(String(200))
    consent_id: Mapped[str | None] = mapped_column(ForeignKey("consents.id", ondelete="SET NULL"))
    """Without it nothing is trained."""
    labels: Mapped[dict[str, Any]]
    """The client's own key-value pairs."""
    package_artifact_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id", ondelete="SET NULL"))
    """The promoted weights; None until a training succeeded."""
    created_at: Mapped[datetime]
    deleting_at: Mapped[datetime | None]

    package: Mapped[Artifact | None] = relationship()
    consent: Mapped[Consent | None] = relationship(lazy="joined")


class PersonVersion(Base):
    """Weights that a training of a person ended with. Old ones stay until they are deleted."""

    __tablename__ = "person_versions"
    __table_args__ = (
        UniqueConstraint("person_id", "number"),
        Index(None, "artifact_id"),
        Index(None, "consent_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id", ondelete="CASCADE"))
    number: Mapped[int]
    """1, 2, ... in the order in which they were made."""
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id", ondelete="CASCADE"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    consent_id: Mapped[str | None] = mapped_column(ForeignKey("consents.id"))
    """On which they were learned, whichever consent the person names now. No consent goes before its versions."""
    status: Mapped[str] = mapped_column(String(16))
    """ready, or corrupt: its bytes are not those that were stored, and it is not used."""
    created_at: Mapped[datetime]

    artifact: Mapped[Artifact] = relationship()
    consent: Mapped[Consent | None] = relationship()


class Job(Base):
    """One request for work: a training, a video or an inspection. Its stages do the work in order."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "kind", "status"),
        Index(None, "person_id"),
        Index(None, "tenant_id", "id"),
        Index(None, "batch_id"),
        Index(None, "mark"),
        Index(None, "consent_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    kind: Mapped[str] = mapped_column(String(16))
    """training, video, inspection, consent or verification."""
    person_id: Mapped[str | None] = mapped_column(ForeignKey("people.id"))
    consent_id: Mapped[str | None] = mapped_column(String(40))
    """On which it learns or shows somebody, or whose recording it checks. A plain id: it stays in the row of a video
    that outlives its consent."""
    batch_id: Mapped[str | None] = mapped_column(String(40))
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The client's own key-value pairs."""
    mark: Mapped[str | None] = mapped_column(String(12))
    """What a video's watermark says, in hexadecimal; None of other jobs."""
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
        # A claim looks at the start of one tenant's part of this index: its cost does not grow with the queue.
        Index("ix_stages_claim", "status", "queue", "tenant_id", "priority", "queued_at", "id"),
        # When a tenant was last served.
        Index(None, "tenant_id", "started_at"),
        Index(None, "artifact_id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    queue: Mapped[str] = mapped_column(String(16), default="cpu")
    """cpu or gpu: which workers may take it."""
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
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """``{"prefix", "files": [{"name", "size", "sha256"}]}`` of the last checkpoint in the object store."""
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
    queues: Mapped[str] = mapped_column(String(64), default="cpu,gpu")
    """Names of the queues it takes stages from, with commas."""
    started_at: Mapped[datetime]
    last_seen: Mapped[datetime]
    loops: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """How its endless loops went when it was last seen (``likeness.loops.Board.read``)."""


class Wake(Base):
    """The outbox: a wake-up that the relay has still to hand to the broker (``workers.relay``).

    Written in the transaction that queues the stage, so neither can exist without the other; gone once it was sent,
    or once the stage was claimed without it.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "stage_id"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    stage_id: Mapped[str] = mapped_column(ForeignKey("stages.id", ondelete="CASCADE"))
    queue: Mapped[str] = mapped_column(String(16))
    not_before: Mapped[datetime | None]
    created_at: Mapped[datetime]

    stage: Mapped[Stage] = relationship()


class WebhookEndpoint(Base):
    """Where a tenant wants to be told of the ends of jobs."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index(None, "tenant_id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    url: Mapped[str] = mapped_column(String(2048))
    secret: Mapped[str] = mapped_column(String(128))
    """Of its signatures (Standard Webhooks): ``whsec_`` and base64."""
    events: Mapped[list[str]] = mapped_column(JSON)
    """Names that it wants, such as ``training.succeeded``; empty: all."""
    old_secret: Mapped[str | None] = mapped_column(String(128))
    """The secret before the last rotation, which signs beside the new one until ``old_secret_until``."""
    old_secret_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One event for one endpoint, written in the transaction that made the event; sent until it is taken."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("ix_webhook_deliveries_due", "status", "next_at"), Index(None, "endpoint_id"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    event_id: Mapped[str] = mapped_column(String(40))
    """The same for each try and each endpoint: what a receiver tells duplicates by."""
    event: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16))
    """pending, delivered or failed."""
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    """HTTP status of the last answer."""
    last_error: Mapped[str | None] = mapped_column(String(500))
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]

    endpoint: Mapped[WebhookEndpoint] = relationship()


class ApiKey(Base):
    """A key of a tenant. Only its digest is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (Index(None, "tenant_id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    name: Mapped[str] = mapped_column(String(200))
    prefix: Mapped[str] = mapped_column(String(24))
    """Its first letters, to tell keys apart."""
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """sha256 of the key."""
    scopes: Mapped[list[str]] = mapped_column(JSON)
    """read, train, render, admin."""
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SignIn(Base):
    """A browser that is signed in. Only the digest of what its cookie holds is kept."""

    __tablename__ = "sign_ins"
    __table_args__ = (Index(None, "key_id", "created_at"), Index(None, "expires_at"))

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    """The key it was signed in with."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class AuditEvent(Base):
    """Who did what to which resource; never changed."""

    __tablename__ = "audit_events"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), default=EMBEDDED)
    actor: Mapped[str] = mapped_column(String(128))
    """An API key's id, ``local`` where there are no accounts, ``system``, or ``stranger`` (no key that is known)."""
    action: Mapped[str] = mapped_column(String(64))
    """Such as ``person.created``."""
    subject: Mapped[str] = mapped_column(String(64))
    """Id of the resource."""
    details: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class JobEvent(Base):
    """Something that happened to a job: a change of its status or stage, or how far it was."""

    __tablename__ = "job_events"
    __table_args__ = (Index(None, "job_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    """status, stage or progress."""
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Batch(Base):
    """Videos that were asked for together."""

    __tablename__ = "batches"
    __table_args__ = (Index(None, "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    name: Mapped[str] = mapped_column(String(200))
    total: Mapped[int]
    created_at: Mapped[datetime]


class Deletion(Base):
    """That something was deleted, and what went with it; stays when everything else is gone."""

    __tablename__ = "deletions"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "subject"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    subject: Mapped[str] = mapped_column(String(40))
    """Id of what was deleted: a person, a job or an upload."""
    status: Mapped[str] = mapped_column(String(16))
    """pending or done."""
    receipt: Mapped[dict[str, Any]]
    """``{"rows": {table: count}, "objects": [keys]}``."""
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class UsageRecord(Base):
    """What a finished job used; outlives the job."""

    __tablename__ = "usage_records"
    __table_args__ = (Index(None, "tenant_id", "created_at"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    job_id: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(32))
    """video_seconds (made), cpu_seconds or gpu_seconds (of stages)."""
    amount: Mapped[float] = mapped_column(Double)
    created_at: Mapped[datetime]


class IdempotencyKey(Base):
    """A request that changed something, and its answer: the same request again gets the same answer."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """sha256 of method, path, query and body."""
    status: Mapped[int | None]
    """Of the answer; None while the first request is in progress."""
    headers: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime]
