"""What the service answers with, as frozen dataclasses. `/openapi.json` says more about each field."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ACTIVE = ("queued", "running", "canceling")
"""States in which a job has not ended."""


@dataclass(frozen=True)
class UploadPart:
    """Where one part of an upload goes."""

    number: int
    size: int
    url: str
    received: bool


@dataclass(frozen=True)
class Upload:
    id: str
    purpose: str
    status: str
    """``awaiting`` its parts, or ``ready``."""
    size: int
    """Bytes."""
    created_at: datetime
    filename: str = ""
    sha256: str | None = None
    source_url: str | None = None
    part_size: int | None = None
    parts: tuple[UploadPart, ...] = ()
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Consent:
    id: str
    status: str
    """``attested`` and ``verified`` can be used; else ``awaiting_recording``, ``verifying``, ``rejected``, ``expired``,
    ``revoked``."""
    subject_name: str
    created_at: datetime
    purposes: tuple[str, ...] = ()
    language: str | None = None
    statement: str | None = None
    """What the person reads aloud."""
    passcode: str | None = None
    recording_upload_id: str | None = None
    job_id: str | None = None
    report: dict[str, Any] | None = None
    checked: tuple[str, ...] = ()
    """What of a recording was checked: ``face and voice match``, ``words heard by WHO at WHEN``."""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Weights:
    sha256: str
    size: int


@dataclass(frozen=True)
class Person:
    id: str
    name: str
    status: str
    """``untrained``, ``training``, ``ready``, ``failed``, ``deleting``."""
    created_at: datetime
    consent: Consent | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    training_id: str | None = None
    weights: Weights | None = None
    portrait: MadeFile | None = None
    """jpg of their face; None until they are learned."""


@dataclass(frozen=True)
class Version:
    number: int
    status: str
    promoted: bool
    sha256: str
    size: int
    created_at: datetime
    training_id: str | None = None
    consent_id: str | None = None
    """On which it was learned; taking that back deletes it."""


@dataclass(frozen=True)
class Progress:
    percent: float
    """Of the whole job, 0..100."""
    done: int = 0
    """Units of the current part done."""
    total: int = 0
    """Units of the current part; 0 when unknown."""
    eta_seconds: float | None = None
    """Of the whole job; None while unknown."""
    message: str = ""
    metrics: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    name: str
    status: str
    attempt: int = 0
    reused: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class JobError:
    """Why a job failed; the fields of an error of the API."""

    code: str
    title: str
    status: int
    detail: str
    remedy: str
    retryable: bool = False
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every job has."""

    id: str
    object: str
    status: str
    """``queued``, ``running``, ``succeeded``, ``failed``, ``canceling``, ``canceled``."""
    progress: Progress
    created_at: datetime
    stage: str | None = None
    stages: tuple[Stage, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    queue_position: int | None = None
    attempt: int = 1
    error: JobError | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.status not in ACTIVE


@dataclass(frozen=True, kw_only=True)
class Training(Job):
    person_id: str
    upload_id: str | None = None
    preset: str = ""
    seed: int = 0
    result: dict[str, Any] | None = None
    consent_id: str | None = None
    """On which the weights were learned."""


@dataclass(frozen=True, kw_only=True)
class Video(Job):
    person_id: str
    title: str = ""
    audio_upload_id: str | None = None
    pose_mode: str = ""
    seed: int = 0
    output: dict[str, Any] | None = None
    batch_id: str | None = None
    download_url: str | None = None
    sha256: str | None = None
    size: int | None = None
    thumbnail: MadeFile | None = None
    """jpg of the frame in the middle; None until it has succeeded."""
    consent_id: str | None = None
    """On which the weights were learned."""


@dataclass(frozen=True)
class Pose:
    """Where the head's motion comes from, as it was asked for; ``dataclasses.asdict`` makes a video's pose of it."""

    mode: str
    seed: int = 0
    video_upload_id: str | None = None
    expression_upload_id: str | None = None
    head_strength: float = 1.0
    lip_strength: float = 1.0
    smoothing: float = 0.0


@dataclass(frozen=True)
class MadeFile:
    """A file that a job made."""

    url: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Motion(Job):
    person_id: str
    pose: Pose
    audio_upload_id: str | None = None
    consent_id: str | None = None
    """On which the weights were learned."""
    preview: MadeFile | None = None
    """mp4 of the bare head, with the sound."""
    curves: MadeFile | None = None
    """png of the head's turns and the jaw over time."""
    track: MadeFile | None = None
    """safetensors: the motion as numbers."""
    result: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection(Job):
    upload_id: str | None = None
    report: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class ConsentCheck(Job):
    upload_id: str | None = None
    report: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Verification(Job):
    upload_id: str | None = None
    ours: bool | None = None
    video_id: str | None = None
    report: dict[str, Any] | None = None


JOBS: dict[str, type[Job]] = {
    "training": Training,
    "video": Video,
    "motion": Motion,
    "inspection": Inspection,
    "consent_check": ConsentCheck,
    "verification": Verification,
}
"""By ``object``; another one is read as a plain :class:`Job`."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job."""

    type: str
    """``status``, ``stage``, ``progress``."""
    data: dict[str, Any]
    id: int | None = None
    """None of the progress that only streams have."""
    created_at: datetime | None = None


@dataclass(frozen=True)
class File:
    name: str
    url: str
    """Good for an hour."""


@dataclass(frozen=True)
class Batch:
    id: str
    name: str
    status: str
    """``running``, ``done``."""
    total: int
    counts: dict[str, int]
    """Videos by status."""
    created_at: datetime


@dataclass(frozen=True)
class DryRun:
    """What would be made, and what is wrong."""

    items: int
    errors: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Estimate:
    compute_seconds: float
    eta_seconds: float
    queue_ahead: int
    basis: str
    """``history``: measured on jobs of this service; ``default``: not yet."""


@dataclass(frozen=True)
class UsageDay:
    date: str
    kind: str
    amount: float


@dataclass(frozen=True)
class Usage:
    since: datetime
    until: datetime
    totals: dict[str, float]
    days: tuple[UsageDay, ...]
    stored_bytes: int
    active_jobs: int
    limits: dict[str, float | None]
    """None: without limit."""


@dataclass(frozen=True)
class WebhookEndpoint:
    id: str
    url: str
    enabled: bool
    created_at: datetime
    events: tuple[str, ...] = ()
    """Empty: all of them."""
    secret: str | None = field(default=None, repr=False)
    """Shown once: when it was made or rotated."""


@dataclass(frozen=True)
class Delivery:
    id: str
    event_id: str
    event: str
    status: str
    """``pending``, ``delivered``, ``failed``."""
    attempts: int
    created_at: datetime
    payload: dict[str, Any] = field(default_factory=dict)
    next_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: datetime | None = None


@dataclass(frozen=True)
class ApiKey:
    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    key: str | None = field(default=None, repr=False)
    """The key itself: shown once, when it was made."""
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class Deletion:
    """A receipt."""

    id: str
    subject: str
    status: str
    """``done``, or ``pending`` while a worker still puts its work down."""
    created_at: datetime
    waiting: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)
    """Rows that went, by table."""
    objects: tuple[str, ...] = ()
    """Objects of the store that went."""
    finished_at: datetime | None = None


@dataclass(frozen=True)
class AuditEvent:
    id: str
    actor: str
    action: str
    subject: str
    created_at: datetime
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Worker:
    id: str
    alive: bool
    started_at: datetime
    last_seen: datetime
    queues: tuple[str, ...] = ()


@dataclass(frozen=True)
class System:
    version: str
    auth: str
    consent: str
    checks: tuple[Check, ...]
    workers: tuple[Worker, ...]
    queues: dict[str, dict[str, int]]
    """Stages that wait and run, by queue."""


@dataclass(frozen=True)
class Health:
    status: str
    version: str
