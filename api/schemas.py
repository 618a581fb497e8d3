"""What goes over the wire. Every field of the API is described here and nowhere else."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["queued", "running", "succeeded", "failed", "canceling", "canceled"]
Purpose = Literal["clip", "recording"]


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


class PersonIn(Strict):
    name: str = Field(min_length=1, max_length=200)
    consent: ConsentIn | None = Field(default=None, description="Required: without consent nobody is learned")
    metadata: dict[str, str] = Field(
        default={}, max_length=16, description="Up to 16 key-value pairs of your own"
    )


class TrainingIn(Strict):
    upload_id: str = Field(max_length=64, description="An upload of purpose clip")
    preset: Literal["instant", "preview", "standard", "best"] = Field(
        default="preview",
        description="instant: layers only; preview: minutes on a CPU; standard and best: for a GPU",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1)


class AudioIn(Strict):
    upload_id: str = Field(max_length=64, description="An upload with the sound to speak")


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


class VideoIn(Strict):
    person_id: str = Field(max_length=64)
    audio: AudioIn
    pose: PoseIn = Field(default_factory=PoseIn)


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
    filename: str
    size: int = Field(description="Bytes")
    sha256: str
    created_at: datetime


class ConsentOut(BaseModel):
    subject_name: str
    attested_at: datetime


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
    download_url: str | None = Field(description="Once it has succeeded")
    sha256: str | None
    size: int | None = Field(description="Bytes")


class InspectionOut(JobOut):
    object: Literal["inspection"] = "inspection"
    upload_id: str | None
    report: dict[str, Any] | None = Field(description="Verdict, findings with frames and remedies")


AnyJob = Annotated[TrainingOut | VideoOut | InspectionOut, Field(discriminator="object")]

Item = TypeVar("Item")


class ListOut(BaseModel, Generic[Item]):
    """A page of resources, newest first."""

    object: Literal["list"] = "list"
    data: list[Item]
    next_cursor: str | None = Field(description="Pass it as cursor to go on; null at the end")


class DeletionOut(BaseModel):
    object: Literal["deletion"] = "deletion"
    id: str = Field(description="What was deleted")
    status: Literal["done", "pending"] = Field(
        description="pending: a worker is still putting its work down; rows and files go right after"
    )


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
