"""What goes over the wire. Every field of the API is described here and nowhere else."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["queued", "running", "succeeded", "failed", "canceling", "canceled"]
Purpose = Literal["clip", "recording", "consent", "video"]
Scope = Literal["read", "train", "render", "admin"]
Labels = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16, description="Up to 16 key-value pairs of your own"),
]
Identifier = Annotated[str, Field(min_length=1, max_length=64)]


class Strict(BaseModel):
    """A request body: an unknown field is an error, not a silent nothing."""

    model_config = ConfigDict(extra="forbid")


# -- errors --------------------------------------------------------------------------------------------------


class ProblemDetails(BaseModel):
    """An error, after RFC 9457."""

    type: str = Field(description="URI reference of the page that explains this kind of error")
    title: str = Field(description="The kind of error in a few words")
    status: int = Field(description="HTTP status")
    detail: str = Field(description="What is wrong, with the field, file or frames")
    code: str = Field(description="Stable name of the kind of error, for programs")
    remedy: str = Field(description="What to do about it")
    retryable: bool = Field(description="True when the same request may succeed later")
    details: dict[str, Any] = Field(description="Machine-readable facts, such as the field or the frames")
    request_id: str | None = Field(description="Finds the request in the log; also in X-Request-Id")


# -- requests ------------------------------------------------------------------------------------------------


class ConsentIn(Strict):
    attested: bool = Field(description="True: you attest that the person shown agreed to be learned")
    subject_name: str = Field(max_length=200, description="Full name of the person shown")


class UploadIn(Strict):
    """Announce a file that is sent in parts, or name an address to fetch it from."""

    purpose: Purpose
    filename: str = Field(default="", max_length=1000)
    size: int | None = Field(
        default=None, ge=1, le=2**53, description="Bytes; of a file that is sent in parts"
    )
    sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$", description="Of the whole file")
    media_type: str = Field(default="application/octet-stream", max_length=255)
    source_url: str | None = Field(
        default=None, max_length=2048, description="Instead of size: a public http(s) address of the file"
    )


class ConsentRequestIn(Strict):
    subject_name: str = Field(min_length=1, max_length=200, description="Full name of the person shown")
    language: Literal["en", "de"] = Field(default="en", description="Of the statement")
    purposes: list[Literal["train", "dub"]] = Field(default=["train", "dub"], min_length=1, max_length=2)
    attested: bool = Field(
        default=False,
        description="True: you attest that the person agreed, instead of a recording; not every service takes it",
    )


class ReviewIn(Strict):
    words_heard: bool = Field(
        description="Whoever listened heard the words of the statement in the recording"
    )


class RecordingIn(Strict):
    upload_id: Identifier = Field(description="A video of the person reading the statement aloud")


class PersonIn(Strict):
    name: str = Field(min_length=1, max_length=200)
    consent: ConsentIn | None = Field(
        default=None, description="Your word that the person agreed; or name a consent with consent_id"
    )
    consent_id: Identifier | None = Field(default=None, description="A consent that is verified or attested")
    metadata: Labels = Field(default={})


class PersonPatch(Strict):
    """What is not named stays as it is."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    consent_id: Identifier | None = Field(default=None, description="A consent that is verified or attested")
    metadata: Labels | None = None


class TrainingIn(Strict):
    upload_id: str = Field(max_length=64, description="An upload of purpose clip")
    preset: Literal["instant", "preview", "standard", "best"] = Field(
        default="preview",
        description="instant: layers only; preview: minutes on a CPU; standard and best: for a GPU",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    accept: list[Literal["lips_strange"]] = Field(
        default=[],
        max_length=1,
        description="Errors of the inspection that you know better than: lips_strange takes a voice to which the "
        "lips do not seem to move",
    )
    metadata: Labels = Field(default={})


class AudioIn(Strict):
    """One of the two."""

    upload_id: Identifier | None = Field(default=None, description="An upload with the sound to speak")
    url: str | None = Field(
        default=None, max_length=2048, description="A public address that the sound is fetched from"
    )


class OutputIn(Strict):
    picture: Literal["frame", "face", "alpha"] = Field(
        default="frame",
        description="frame: the clip's whole picture; face: a square of it; alpha: what was drawn, on nothing",
    )
    format: Literal["mp4", "webm", "mov"] | None = Field(
        default=None,
        description="mp4: H.264, for everything, without alpha; webm: VP9, for the web; mov: ProRes, for editors, "
        "large. null: mp4, or webm with alpha",
    )
    height: int | None = Field(
        default=None, ge=64, le=2160, description="Lines; the width follows. null: as in the clip"
    )
    fps: float = Field(
        default=25.0, ge=10, le=60, description="Frames a second, each drawn at its own moment"
    )
    crf: int = Field(
        default=18, ge=10, le=35, description="Quality of mp4 and webm: 10 (best) to 35 (smallest)"
    )


class FaceIn(Strict):
    """A place in the first frame that shows a face, in parts of the picture's sides."""

    x: float = Field(ge=0, le=1, description="From the left")
    y: float = Field(ge=0, le=1, description="From the top")


class PoseIn(Strict):
    mode: Literal["learned", "clip", "still", "reference"] = Field(
        default="learned",
        description="learned: predicted from the sound; clip: as in the person's clip; still; "
        "reference: as in video_upload_id",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Another seed moves the head another way")
    video_upload_id: str | None = Field(
        default=None, max_length=64, description="Mode reference: head motion"
    )
    expression_upload_id: str | None = Field(
        default=None, max_length=64, description="Mode reference: expressions"
    )
    length_mismatch: Literal["bounce", "loop", "hold", "cut", "silence"] = Field(
        default="bounce",
        description="When the motion of mode clip or reference and the sound are not equally long. A longer "
        "sound: the motion goes forth and back (bounce), from its beginning again (loop), or stays (hold). cut: the "
        "video ends with the shorter of the two; silence: with the longer",
    )
    face: FaceIn | None = Field(
        default=None, description="Mode reference: whose motion, where the video shows several people"
    )
    head_strength: float = Field(default=1.0, ge=0, le=2, description="1 is the person's own")
    lip_strength: float = Field(default=1.0, ge=0, le=2, description="1 is the person's own")
    smoothing: float = Field(default=0.0, ge=0, le=5, description="Frames over which the mouth is smoothed")


class MotionIn(Strict):
    person_id: Identifier
    audio: AudioIn
    pose: PoseIn = Field(default_factory=PoseIn)
    metadata: Labels = Field(default={})


class VideoIn(Strict):
    person_id: Identifier
    audio: AudioIn
    pose: PoseIn = Field(default_factory=PoseIn)
    output: OutputIn = Field(default_factory=OutputIn)
    preset: Literal["instant"] | None = Field(
        default=None, description="instant: layers only, without the network: faster"
    )
    metadata: Labels = Field(default={})
    dry_run: bool = Field(
        default=False, description="Check everything, queue nothing; answers 200 with an estimate"
    )


class BatchIn(Strict):
    name: str = Field(default="", max_length=200)
    items: list[VideoIn] = Field(min_length=1, max_length=500)
    dry_run: bool = Field(default=False, description="Check every item, queue nothing")


class EstimateIn(Strict):
    kind: Literal["training", "video", "motion"]
    preset: Literal["instant", "preview", "standard", "best"] = "preview"
    seconds: float | None = Field(
        default=None, gt=0, le=86400, description="Of the recording; for a video or a motion"
    )


class VerificationIn(Strict):
    upload_id: Identifier = Field(description="The video that may be ours")


class WebhookIn(Strict):
    url: str = Field(min_length=8, max_length=2048, description="https (or http) address that takes a POST")
    events: list[Annotated[str, Field(max_length=64)]] = Field(
        default=[], max_length=32, description="Such as training.succeeded; empty: all of them"
    )


class WebhookPatch(Strict):
    events: list[Annotated[str, Field(max_length=64)]] | None = Field(default=None, max_length=32)
    enabled: bool | None = None


class ApiKeyIn(Strict):
    name: str = Field(min_length=1, max_length=200)
    scopes: list[Scope] = Field(min_length=1, max_length=4)


class InspectionIn(Strict):
    upload_id: str = Field(max_length=64, description="An upload of purpose clip")


class RetryIn(Strict):
    from_stage: str | None = Field(
        default=None,
        max_length=32,
        description="Do this stage and those after it anew; default: go on where it ended",
    )


# -- answers -------------------------------------------------------------------------------------------------


class UploadOut(BaseModel):
    object: Literal["upload"] = "upload"
    id: str
    purpose: Purpose
    status: Literal["awaiting", "ready"] = Field(description="awaiting: its parts have not all come")
    filename: str
    size: int = Field(description="Bytes")
    sha256: str | None = Field(description="null until it is known")
    source_url: str | None = Field(description="Where it was fetched from")
    part_size: int | None = Field(
        description="Bytes of each part but the last; null when it came in one piece"
    )
    parts: list[PartOut] = Field(description="Of an upload that is awaited: where they go; else empty")
    expires_at: datetime | None = Field(description="When an upload that is not whole is given up")
    created_at: datetime


class PartOut(BaseModel):
    number: int
    size: int = Field(description="Bytes it must have")
    url: str = Field(
        description="PUT it here within the hour, as application/octet-stream; GET the upload for a new one"
    )
    received: bool


class ConsentOut(BaseModel):
    object: Literal["consent"] = "consent"
    id: str
    status: Literal[
        "attested", "awaiting_recording", "verifying", "verified", "rejected", "expired", "revoked"
    ] = Field(description="attested and verified ones can be used")
    subject_name: str
    purposes: list[str]
    language: str | None
    statement: str | None = Field(description="What the person reads aloud; null of an attested one")
    passcode: str | None = Field(description="The random words in the statement")
    recording_upload_id: str | None
    job_id: str | None = Field(description="The check of the recording: GET /v1/jobs/ID")
    report: dict[str, Any] | None = Field(description="What the check found, with remedies")
    expires_at: datetime | None = Field(description="Until when a recording is waited for")
    created_at: datetime
    revoked_at: datetime | None


class VersionOut(BaseModel):
    object: Literal["version"] = "version"
    number: int
    status: Literal["ready", "corrupt"]
    promoted: bool = Field(description="Videos are made with this one")
    training_id: str | None
    sha256: str
    size: int = Field(description="Bytes")
    created_at: datetime


class WeightsOut(BaseModel):
    sha256: str = Field(description="Of the person file that GET …/package returns")
    size: int = Field(description="Bytes")


class PersonOut(BaseModel):
    object: Literal["person"] = "person"
    id: str
    name: str
    status: Literal["untrained", "training", "ready", "failed", "deleting"] = Field(
        description="ready: videos can be made"
    )
    consent: ConsentOut | None
    metadata: dict[str, str]
    training_id: str | None = Field(description="The newest training")
    weights: WeightsOut | None = Field(description="What videos are made with; null until trained")
    created_at: datetime


class Progress(BaseModel):
    percent: float = Field(description="Of the whole job, 0-100, never falling within an attempt")
    done: int = Field(description="Units of the current part done")
    total: int = Field(description="Units of the current part; 0 when unknown")
    eta_seconds: float | None = Field(description="Guess of what is left of the whole job; null when unknown")
    message: str
    metrics: dict[str, float] = Field(description="What the stage measures, such as losses")


class StageOut(BaseModel):
    name: str
    status: Literal["pending", "queued", "running", "succeeded", "failed", "canceled"]
    attempt: int = Field(description="Times it was started")
    reused: bool = Field(description="True when outputs committed earlier were taken instead of running")
    seconds: float | None = Field(description="How long its last run took, or has taken")


class JobOut(BaseModel):
    """What every job has."""

    id: str
    status: Status
    metadata: dict[str, Any]
    stage: str | None = Field(description="The stage it is in, or ended in")
    progress: Progress
    stages: list[StageOut]
    queue_position: int | None = Field(
        description="Stages for the same workers that run or come before it, of the waiting ones at most 1,000; "
        "null when not queued"
    )
    attempt: int = Field(description="1, and one more for each retry")
    error: ProblemDetails | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class TrainingOut(JobOut):
    object: Literal["training"] = "training"
    person_id: str
    upload_id: str | None = Field(description="null when the clip was deleted")
    preset: str
    seed: int
    result: dict[str, Any] | None = Field(description="The person file's manifest, with its metrics")


class VideoOut(JobOut):
    object: Literal["video"] = "video"
    person_id: str
    audio_upload_id: str | None
    pose_mode: str
    seed: int
    output: OutputIn = Field(description="As it was asked for; the format is the file's")
    batch_id: str | None
    download_url: str | None = Field(description="Once it has succeeded")
    sha256: str | None
    size: int | None = Field(description="Bytes")


class PoseOut(PoseIn):
    """As it was asked for. A video that is asked for with it, of the same person and sound, moves the same."""


class MadeFileOut(BaseModel):
    url: str = Field(description="Needs your key; leads to a fresh address each time")
    sha256: str
    size: int = Field(description="Bytes")


class MotionOut(JobOut):
    object: Literal["motion"] = "motion"
    person_id: str
    audio_upload_id: str | None
    pose: PoseOut
    preview: MadeFileOut | None = Field(description="mp4 of the bare head, with the sound")
    curves: MadeFileOut | None = Field(description="png of the head's turns and the jaw over time")
    track: MadeFileOut | None = Field(description="safetensors: the motion as numbers")
    result: dict[str, Any] | None = Field(description="Figures of the motion")


class InspectionOut(JobOut):
    object: Literal["inspection"] = "inspection"
    upload_id: str | None
    report: dict[str, Any] | None = Field(description="Verdict, findings with frames and remedies")


class ConsentCheckOut(JobOut):
    object: Literal["consent_check"] = "consent_check"
    upload_id: str | None
    report: dict[str, Any] | None = Field(description="Whether the recording is accepted, and why not")


class VerificationOut(JobOut):
    object: Literal["verification"] = "verification"
    upload_id: str | None
    ours: bool | None = Field(description="A mark of this service was found; null until it is known")
    video_id: str | None = Field(description="Which video it is, when it is one of yours")
    report: dict[str, Any] | None = Field(
        description="The C2PA manifest and the watermark, each as it was read"
    )


AnyJob = Annotated[
    TrainingOut | VideoOut | MotionOut | InspectionOut | ConsentCheckOut | VerificationOut,
    Field(discriminator="object"),
]


class EventOut(BaseModel):
    object: Literal["event"] = "event"
    id: int = Field(description="Pass the last one as after to go on")
    type: Literal["status", "stage", "progress"]
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, row: Any) -> EventOut:
        """From a row of ``likeness.tables.JobEvent``."""
        return cls(id=row.id, type=row.kind, data=row.data, created_at=row.created_at)


class EventsOut(BaseModel):
    object: Literal["list"] = "list"
    data: list[EventOut] = Field(description="Oldest first")


class FileOut(BaseModel):
    name: str
    url: str = Field(description="Good for an hour")


class FilesOut(BaseModel):
    object: Literal["list"] = "list"
    data: list[FileOut]


class BatchOut(BaseModel):
    object: Literal["batch"] = "batch"
    id: str
    name: str
    status: Literal["running", "done"] = Field(description="done: every video of it has ended")
    total: int
    counts: dict[str, int] = Field(description="How many of its videos have each status")
    created_at: datetime


class DryRunOut(BaseModel):
    object: Literal["dry_run"] = "dry_run"
    items: int = Field(description="How many videos would be made")
    errors: list[dict[str, Any]] = Field(description="What is wrong, by the item's index")


class EstimateOut(BaseModel):
    object: Literal["estimate"] = "estimate"
    compute_seconds: float = Field(description="Time of one worker")
    eta_seconds: float = Field(description="With those who wait before it, if it were asked for now")
    queue_ahead: int
    basis: Literal["history", "default"] = Field(description="history: measured on jobs of this service")


class UsageDay(BaseModel):
    date: str
    kind: str = Field(description="video_seconds, cpu_seconds or gpu_seconds")
    amount: float


class UsageOut(BaseModel):
    object: Literal["usage"] = "usage"
    since: datetime
    until: datetime
    totals: dict[str, float]
    days: list[UsageDay]
    stored_bytes: int
    active_jobs: int
    limits: dict[str, float | None] = Field(description="null: without limit")


class WebhookOut(BaseModel):
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str
    url: str
    events: list[str]
    enabled: bool
    secret: str | None = Field(description="Of the signatures; shown once, when it is made or rotated")
    created_at: datetime


class DeliveryOut(BaseModel):
    object: Literal["webhook_delivery"] = "webhook_delivery"
    id: str
    event_id: str
    event: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    next_at: datetime | None
    last_status: int | None = Field(description="HTTP status of the last answer")
    last_error: str | None
    payload: dict[str, Any]
    created_at: datetime
    delivered_at: datetime | None


class ApiKeyOut(BaseModel):
    object: Literal["api_key"] = "api_key"
    id: str
    name: str
    prefix: str = Field(description="Its first letters")
    scopes: list[str]
    key: str | None = Field(description="The key itself: shown once, when it is made")
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class ApiKeysOut(BaseModel):
    object: Literal["list"] = "list"
    data: list[ApiKeyOut]


class WebhooksOut(BaseModel):
    object: Literal["list"] = "list"
    data: list[WebhookOut]


class VersionsOut(BaseModel):
    object: Literal["list"] = "list"
    data: list[VersionOut] = Field(description="Newest first")


class AuditOut(BaseModel):
    object: Literal["audit_event"] = "audit_event"
    id: str
    actor: str = Field(description="An API key's id, or local")
    action: str
    subject: str
    details: dict[str, Any]
    created_at: datetime


class WorkerOut(BaseModel):
    id: str
    queues: list[str]
    alive: bool
    started_at: datetime
    last_seen: datetime


class SystemOut(BaseModel):
    object: Literal["system"] = "system"
    version: str
    auth: str
    consent: str
    checks: list[CheckOut]
    workers: list[WorkerOut]
    queues: dict[str, dict[str, int]] = Field(description="Stages that wait and run, by queue")


Item = TypeVar("Item")


class ListOut(BaseModel, Generic[Item]):
    """A page of resources, newest first."""

    object: Literal["list"] = "list"
    data: list[Item]
    next_cursor: str | None = Field(description="Pass it as cursor to go on; null at the end")


class DeletionOut(BaseModel):
    object: Literal["deletion"] = "deletion"
    id: str
    subject: str = Field(description="What was deleted")
    status: Literal["done", "pending"] = Field(
        description="pending: a worker is still putting its work down; rows and files go right after"
    )
    waiting: list[str] = Field(description="What has still to go")
    deleted: list[str] = Field(description="What is gone")
    rows: dict[str, int] = Field(description="Rows that went, by table")
    objects: list[str] = Field(description="Objects of the store that went")
    created_at: datetime
    finished_at: datetime | None


class HealthOut(BaseModel):
    status: Literal["ok"] = "ok"
    version: str


class CheckOut(BaseModel):
    name: str
    ok: bool
    detail: str


class ReadyOut(BaseModel):
    status: Literal["ready"] = "ready"
    checks: list[CheckOut]
