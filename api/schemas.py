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


_KIND = "What kind of resource this is"


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

    purpose: Purpose = Field(description="What the file is for")
    filename: str = Field(default="", max_length=1000, description="The file's name, for people")
    size: int | None = Field(
        default=None, ge=1, le=2**53, description="Bytes; of a file that is sent in parts"
    )
    sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$", description="Of the whole file")
    media_type: str = Field(
        default="application/octet-stream", max_length=255, description="The file's media type"
    )
    source_url: str | None = Field(
        default=None, max_length=2048, description="Instead of size: a public http(s) address of the file"
    )


class ConsentRequestIn(Strict):
    subject_name: str = Field(min_length=1, max_length=200, description="Full name of the person shown")
    language: Literal["en", "de"] = Field(default="en", description="Of the statement")
    purposes: list[Literal["train", "dub"]] = Field(
        default=["train", "dub"],
        min_length=1,
        max_length=2,
        description="What the person agrees to: train (being learned), dub (videos made with them)",
    )
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
    name: str = Field(min_length=1, max_length=200, description="A name for the person, 1 to 200 letters")
    consent: ConsentIn | None = Field(
        default=None, description="Your word that the person agreed; or name a consent with consent_id"
    )
    consent_id: Identifier | None = Field(default=None, description="A consent that is verified or attested")
    metadata: Labels = Field(default={})


class PersonPatch(Strict):
    """What is not named stays as it is."""

    name: str | None = Field(default=None, min_length=1, max_length=200, description="The new name")
    consent_id: Identifier | None = Field(default=None, description="A consent that is verified or attested")
    metadata: Labels | None = Field(default=None, description="Takes the place of all pairs there are")


class TrainingIn(Strict):
    upload_id: str = Field(max_length=64, description="An upload of purpose clip")
    preset: Literal["instant", "preview", "standard", "best"] = Field(
        default="preview",
        description="instant: layers only; preview: minutes on a CPU; standard and best: for a GPU",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="The same seed gives the same weights")
    audio_track: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Which of the clip's sound tracks, from 1; null: the one with the voice",
    )
    rotate: Literal[0, 90, 180, 270] = Field(
        default=0, description="Degrees clockwise to turn the picture by, beside what the file says"
    )
    accept: list[Literal["lips_strange"]] = Field(
        default=[],
        max_length=1,
        description="Errors of the inspection that you know better than: lips_strange takes a voice to which the "
        "lips do not seem to move",
    )
    metadata: Labels = Field(default={})


class AudioIn(Strict):
    """An upload or an address."""

    upload_id: Identifier | None = Field(default=None, description="An upload with the sound to speak")
    url: str | None = Field(
        default=None, max_length=2048, description="A public address that the sound is fetched from"
    )
    track: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Which of the file's sound tracks, from 1; null: the one with the voice",
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
    person_id: Identifier = Field(description="Who moves; must have been trained")
    audio: AudioIn = Field(description="The sound that is spoken")
    pose: PoseIn = Field(default_factory=PoseIn, description="How they move")
    metadata: Labels = Field(default={})


class VideoIn(Strict):
    title: str = Field(
        default="", max_length=200, description="A name for the video, for people; empty: its recording's"
    )
    person_id: Identifier = Field(description="Who speaks; must have been trained")
    audio: AudioIn = Field(description="The sound that is spoken")
    pose: PoseIn = Field(default_factory=PoseIn, description="How they move")
    output: OutputIn = Field(default_factory=OutputIn, description="The picture and the file")
    preset: Literal["instant"] | None = Field(
        default=None, description="instant: layers only, without the network: faster"
    )
    metadata: Labels = Field(default={})
    dry_run: bool = Field(
        default=False, description="Check everything, queue nothing; answers 200 with an estimate"
    )


class BatchIn(Strict):
    name: str = Field(default="", max_length=200, description="A name for the batch")
    items: list[VideoIn] = Field(min_length=1, max_length=500, description="1 to 500 videos")
    dry_run: bool = Field(default=False, description="Check every item, queue nothing")


class EstimateIn(Strict):
    kind: Literal["training", "video", "motion"] = Field(description="What would be asked for")
    preset: Literal["instant", "preview", "standard", "best"] = Field(
        default="preview", description="The preset of a training"
    )
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
    url: str | None = Field(
        default=None, min_length=8, max_length=2048, description="Where it is from now on; the secret stays"
    )
    events: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None, max_length=32, description="Takes the place of all events; empty: all of them"
    )
    enabled: bool | None = Field(default=None, description="false: nothing is sent until it is true again")


class ApiKeyIn(Strict):
    name: str = Field(min_length=1, max_length=200, description="Who or what uses the key")
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=4,
        description="What the key may do: read; train (clips, consents, people); render (videos); admin (everything)",
    )


class InspectionIn(Strict):
    upload_id: str = Field(max_length=64, description="An upload of purpose clip")
    audio_track: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Which of the clip's sound tracks, from 1; null: the one with the voice",
    )
    rotate: Literal[0, 90, 180, 270] = Field(
        default=0, description="Degrees clockwise to turn the picture by, beside what the file says"
    )


class RetryIn(Strict):
    from_stage: str | None = Field(
        default=None,
        max_length=32,
        description="Do this stage and those after it anew; default: go on where it ended",
    )


# -- answers -------------------------------------------------------------------------------------------------


class UploadOut(BaseModel):
    object: Literal["upload"] = Field(default="upload", description=_KIND)
    id: str = Field(description="Identifier, such as upl_…")
    purpose: Purpose = Field(description="What the file is for")
    status: Literal["awaiting", "ready"] = Field(description="awaiting: its parts have not all come")
    filename: str = Field(description="The file's name, as it was given")
    size: int = Field(description="Bytes")
    sha256: str | None = Field(description="null until it is known")
    source_url: str | None = Field(description="Where it was fetched from")
    part_size: int | None = Field(
        description="Bytes of each part but the last; null when it came in one piece"
    )
    parts: list[PartOut] = Field(description="Of an upload that is awaited: where they go; else empty")
    expires_at: datetime | None = Field(description="When an upload that is not whole is given up")
    created_at: datetime = Field(description="When it was begun")


class PartOut(BaseModel):
    number: int = Field(description="1 for the first")
    size: int = Field(description="Bytes it must have")
    url: str = Field(
        description="PUT it here within the hour, as application/octet-stream; GET the upload for a new one"
    )
    received: bool = Field(description="Whether it has come")


class ConsentOut(BaseModel):
    object: Literal["consent"] = Field(default="consent", description=_KIND)
    id: str = Field(description="Identifier, such as con_…")
    status: Literal[
        "attested", "awaiting_recording", "verifying", "verified", "rejected", "expired", "revoked"
    ] = Field(description="attested and verified ones can be used")
    subject_name: str = Field(description="Full name of the person who agrees")
    purposes: list[str] = Field(description="What they agree to: train, dub")
    language: str | None = Field(description="Of the statement; null of an attested one")
    statement: str | None = Field(description="What the person reads aloud; null of an attested one")
    passcode: str | None = Field(description="The random words in the statement")
    recording_upload_id: str | None = Field(
        description="The recording of the statement, once it was handed in"
    )
    job_id: str | None = Field(description="The check of the recording: GET /v1/jobs/ID")
    report: dict[str, Any] | None = Field(description="What the check found, with remedies")
    checked: list[str] = Field(
        default=[],
        description="What of a recording was checked: `face and voice match`, `words heard by WHO at WHEN`",
    )
    expires_at: datetime | None = Field(description="Until when a recording is waited for")
    created_at: datetime = Field(description="When it was asked for")
    revoked_at: datetime | None = Field(description="When it was taken back")


class VersionOut(BaseModel):
    object: Literal["version"] = Field(default="version", description=_KIND)
    number: int = Field(description="1 for the first training's")
    status: Literal["ready", "corrupt"] = Field(
        description="corrupt: the stored bytes are not those that were written; it is never used"
    )
    promoted: bool = Field(description="Videos are made with this one")
    training_id: str | None = Field(description="The training that made it; null when that was deleted")
    consent_id: str | None = Field(
        default=None, description="The consent that it was learned on, and goes with when that is taken back"
    )
    sha256: str = Field(description="Of the person file")
    size: int = Field(description="Bytes")
    created_at: datetime = Field(description="When the training ended")


class WeightsOut(BaseModel):
    sha256: str = Field(description="Of the person file that GET …/package returns")
    size: int = Field(description="Bytes")


class PersonOut(BaseModel):
    object: Literal["person"] = Field(default="person", description=_KIND)
    id: str = Field(description="Identifier, such as per_…")
    name: str = Field(description="As it was given")
    status: Literal["untrained", "training", "ready", "failed", "deleting"] = Field(
        description="ready: videos can be made"
    )
    consent: ConsentOut | None = Field(description="The consent that they are learned on")
    metadata: dict[str, str] = Field(description="Key-value pairs of your own")
    training_id: str | None = Field(description="The newest training")
    weights: WeightsOut | None = Field(description="What videos are made with; null until trained")
    portrait: MadeFileOut | None = Field(description="jpg of their face, from the clip; null until trained")
    created_at: datetime = Field(description="When the person was entered")


class Progress(BaseModel):
    percent: float = Field(description="Of the whole job, 0-100, never falling within an attempt")
    done: int = Field(description="Units of the current part done")
    total: int = Field(description="Units of the current part; 0 when unknown")
    eta_seconds: float | None = Field(description="Guess of what is left of the whole job; null when unknown")
    message: str = Field(description="What is being done, in words; empty when there is nothing to say")
    metrics: dict[str, float] = Field(description="What the stage measures, such as losses")


class StageOut(BaseModel):
    name: str = Field(description="Such as validate, fit, motion, render, publish, dub")
    status: Literal["pending", "queued", "running", "succeeded", "failed", "canceled"] = Field(
        description="pending: it waits for the stage before it"
    )
    attempt: int = Field(description="Times it was started")
    reused: bool = Field(description="True when outputs committed earlier were taken instead of running")
    seconds: float | None = Field(description="How long its last run took, or has taken")


class JobOut(BaseModel):
    """What every job has."""

    id: str = Field(description="Identifier, such as job_…")
    status: Status = Field(description="succeeded, failed and canceled are the end")
    metadata: dict[str, Any] = Field(description="Key-value pairs of your own")
    stage: str | None = Field(description="The stage it is in, or ended in")
    progress: Progress = Field(description="How far it is")
    stages: list[StageOut] = Field(description="Its steps, in order")
    queue_position: int | None = Field(
        description="Waiting stages that the same workers take before it, as tenants take turns; 1,000 at most; "
        "null when not queued"
    )
    attempt: int = Field(description="1, and one more for each retry")
    error: ProblemDetails | None = Field(description="Why it failed, with the remedy; null unless it failed")
    created_at: datetime = Field(description="When it was asked for")
    started_at: datetime | None = Field(description="When a worker first took it; null while it waits")
    finished_at: datetime | None = Field(description="When it ended; null until then")


class TrainingOut(JobOut):
    object: Literal["training"] = Field(default="training", description=_KIND)
    person_id: str = Field(description="Who is learned")
    consent_id: str | None = Field(default=None, description="The consent that it learns on")
    upload_id: str | None = Field(description="null when the clip was deleted")
    preset: str = Field(description="As it was asked for")
    seed: int = Field(description="As it was asked for")
    result: dict[str, Any] | None = Field(description="The person file's manifest, with its metrics")


class VideoOut(JobOut):
    object: Literal["video"] = Field(default="video", description=_KIND)
    title: str = Field(description="As it was asked for, or the name of its recording's file")
    person_id: str = Field(description="Who speaks")
    consent_id: str | None = Field(
        default=None, description="The consent that its weights were learned on; its manifest names it, too"
    )
    audio_upload_id: str | None = Field(description="The recording; null when it was deleted")
    pose_mode: str = Field(description="The mode of the pose, as it was asked for")
    seed: int = Field(description="The seed of the pose")
    output: OutputIn = Field(description="As it was asked for; the format is the file's")
    batch_id: str | None = Field(description="The batch that it belongs to; null for a single video")
    download_url: str | None = Field(description="Once it has succeeded")
    sha256: str | None = Field(description="Of the file; null until it has succeeded")
    size: int | None = Field(description="Bytes")
    thumbnail: MadeFileOut | None = Field(
        description="jpg of the frame in the middle; null until it has succeeded"
    )


class PoseOut(PoseIn):
    """As it was asked for. A video that is asked for with it, of the same person and sound, moves the same."""


class MadeFileOut(BaseModel):
    url: str = Field(description="Needs your key; leads to a fresh address each time")
    sha256: str = Field(description="Of the file")
    size: int = Field(description="Bytes")


class MotionOut(JobOut):
    object: Literal["motion"] = Field(default="motion", description=_KIND)
    person_id: str = Field(description="Who moves")
    consent_id: str | None = Field(default=None, description="The consent that its weights were learned on")
    audio_upload_id: str | None = Field(description="The recording; null when it was deleted")
    pose: PoseOut = Field(description="As it was asked for: a video asked for with it moves the same")
    preview: MadeFileOut | None = Field(description="mp4 of the bare head, with the sound")
    curves: MadeFileOut | None = Field(description="png of the head's turns and the jaw over time")
    track: MadeFileOut | None = Field(description="safetensors: the motion as numbers")
    result: dict[str, Any] | None = Field(description="Figures of the motion")


class InspectionOut(JobOut):
    object: Literal["inspection"] = Field(default="inspection", description=_KIND)
    upload_id: str | None = Field(description="The clip; null when it was deleted")
    report: dict[str, Any] | None = Field(description="Verdict, findings with frames and remedies")


class ConsentCheckOut(JobOut):
    object: Literal["consent_check"] = Field(default="consent_check", description=_KIND)
    upload_id: str | None = Field(description="The recording; null when it was deleted")
    report: dict[str, Any] | None = Field(description="Whether the recording is accepted, and why not")


class VerificationOut(JobOut):
    object: Literal["verification"] = Field(default="verification", description=_KIND)
    upload_id: str | None = Field(description="The video; null when it was deleted")
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
    object: Literal["event"] = Field(default="event", description=_KIND)
    id: int = Field(description="Pass the last one as after to go on")
    type: Literal["status", "stage", "progress"] = Field(description="What kind of change")
    data: dict[str, Any] = Field(
        description="status: from, to; stage: its name and state; progress: as in a job"
    )
    created_at: datetime = Field(description="When it happened")

    @classmethod
    def of(cls, row: Any) -> EventOut:
        """From a row of ``likeness.tables.JobEvent``."""
        return cls(id=row.id, type=row.kind, data=row.data, created_at=row.created_at)


class EventsOut(BaseModel):
    object: Literal["list"] = Field(default="list", description=_KIND)
    data: list[EventOut] = Field(description="Oldest first")


class FileOut(BaseModel):
    name: str = Field(description="The file's name")
    url: str = Field(description="Good for an hour")


class FilesOut(BaseModel):
    object: Literal["list"] = Field(default="list", description=_KIND)
    data: list[FileOut] = Field(description="In the order of the findings or of the training")


class BatchOut(BaseModel):
    object: Literal["batch"] = Field(default="batch", description=_KIND)
    id: str = Field(description="Identifier, such as bat_…")
    name: str = Field(description="As it was given")
    status: Literal["running", "done"] = Field(description="done: every video of it has ended")
    total: int = Field(description="How many videos it has")
    counts: dict[str, int] = Field(description="How many of its videos have each status")
    created_at: datetime = Field(description="When it was asked for")


class DryRunOut(BaseModel):
    object: Literal["dry_run"] = Field(default="dry_run", description=_KIND)
    items: int = Field(description="How many videos would be made")
    errors: list[dict[str, Any]] = Field(description="What is wrong, by the item's index")


class EstimateOut(BaseModel):
    object: Literal["estimate"] = Field(default="estimate", description=_KIND)
    compute_seconds: float = Field(description="Time of one worker")
    eta_seconds: float = Field(description="With those who wait before it, if it were asked for now")
    queue_ahead: int = Field(description="Stages for the same workers that wait or run now")
    basis: Literal["history", "default"] = Field(description="history: measured on jobs of this service")


class UsageDay(BaseModel):
    date: str = Field(description="YYYY-MM-DD, UTC")
    kind: str = Field(description="video_seconds, cpu_seconds or gpu_seconds")
    amount: float = Field(description="Seconds")


class UsageOut(BaseModel):
    object: Literal["usage"] = Field(default="usage", description=_KIND)
    since: datetime = Field(description="Beginning of the time asked about")
    until: datetime = Field(description="End of the time asked about")
    totals: dict[str, float] = Field(description="Sum of the days by kind, seconds")
    days: list[UsageDay] = Field(description="By day and kind, oldest first")
    stored_bytes: int = Field(description="Bytes of uploads that are stored now")
    active_jobs: int = Field(description="Jobs that wait or run now")
    limits: dict[str, float | None] = Field(description="null: without limit")


class WebhookOut(BaseModel):
    object: Literal["webhook_endpoint"] = Field(default="webhook_endpoint", description=_KIND)
    id: str = Field(description="Identifier, such as whk_…")
    url: str = Field(description="Where events are sent")
    events: list[str] = Field(description="What is sent; empty: everything")
    enabled: bool = Field(description="Whether anything is sent")
    secret: str | None = Field(description="Of the signatures; shown once, when it is made or rotated")
    created_at: datetime = Field(description="When it was entered")


class DeliveryOut(BaseModel):
    object: Literal["webhook_delivery"] = Field(default="webhook_delivery", description=_KIND)
    id: str = Field(description="Identifier, such as dlv_…")
    event_id: str = Field(description="The webhook-id header: the same at each try, and for each endpoint")
    event: str = Field(description="Such as training.succeeded")
    status: Literal["pending", "delivered", "failed"] = Field(
        description="pending: it will be tried, or tried again, at next_at"
    )
    attempts: int = Field(description="Times it was tried")
    next_at: datetime | None = Field(description="When it is tried next; null once it is over")
    last_status: int | None = Field(description="HTTP status of the last answer")
    last_error: str | None = Field(description="What went wrong at the last try")
    payload: dict[str, Any] = Field(description="The body that is sent")
    created_at: datetime = Field(description="When the event happened")
    delivered_at: datetime | None = Field(description="When it was taken")


class WebhookJobData(BaseModel):
    """A job that ended."""

    id: str = Field(description="Identifier of the job")
    object: Literal["training", "video", "motion", "inspection", "consent_check", "verification"] = Field(
        description=_KIND
    )
    status: Literal["succeeded", "failed", "canceled"] = Field(description="How it ended")
    stage: str | None = Field(description="The stage it ended in")
    person_id: str | None = Field(description="Whose it is; null of jobs without a person")
    error: dict[str, Any] | None = Field(description="Why it failed: code, title, detail, remedy, …")
    result: dict[str, Any] | None = Field(description="What it found or made; as in the job")


class WebhookJobMessage(BaseModel):
    """The body of a webhook that tells of a job."""

    type: str = Field(description="Kind of job and how it ended, such as training.succeeded")
    timestamp: datetime = Field(description="When it happened")
    data: WebhookJobData = Field(description="The job")


class WebhookTestData(BaseModel):
    endpoint_id: str = Field(description="Identifier of the endpoint that is tried")


class WebhookTestMessage(BaseModel):
    """The body of a webhook that only tries an endpoint."""

    type: Literal["webhook.test"] = Field(description="Always webhook.test")
    timestamp: datetime = Field(description="When it was asked for")
    data: WebhookTestData = Field(description="The endpoint")


class ApiKeyOut(BaseModel):
    object: Literal["api_key"] = Field(default="api_key", description=_KIND)
    id: str = Field(description="Identifier, such as key_…")
    name: str = Field(description="Who or what uses it")
    prefix: str = Field(description="Its first letters")
    scopes: list[str] = Field(description="What it may do")
    key: str | None = Field(description="The key itself: shown once, when it is made")
    created_at: datetime = Field(description="When it was made")
    last_used_at: datetime | None = Field(description="When it was last used, to about a minute")
    revoked_at: datetime | None = Field(description="When it was revoked; it opens nothing since")


class ApiKeysOut(BaseModel):
    object: Literal["list"] = Field(default="list", description=_KIND)
    data: list[ApiKeyOut] = Field(description="Newest first")


class WebhooksOut(BaseModel):
    object: Literal["list"] = Field(default="list", description=_KIND)
    data: list[WebhookOut] = Field(description="Newest first")


class VersionsOut(BaseModel):
    object: Literal["list"] = Field(default="list", description=_KIND)
    data: list[VersionOut] = Field(description="Newest first")


class AuditOut(BaseModel):
    object: Literal["audit_event"] = Field(default="audit_event", description=_KIND)
    id: str = Field(description="Identifier of the entry")
    actor: str = Field(description="An API key's id, or local")
    action: str = Field(description="Such as person.created, or the name of the operation")
    subject: str = Field(description="Identifier of what it was done to")
    details: dict[str, Any] = Field(description="Method, path, and what else there is to say")
    created_at: datetime = Field(description="When it was done")


class WorkerOut(BaseModel):
    id: str = Field(description="Host, process and a random part")
    queues: list[str] = Field(description="The queues that it takes: cpu, gpu")
    alive: bool = Field(description="Whether it was heard of lately")
    started_at: datetime = Field(description="When it started")
    last_seen: datetime = Field(description="When it was last heard of")


class SystemOut(BaseModel):
    object: Literal["system"] = Field(default="system", description=_KIND)
    version: str = Field(description="Of the service")
    auth: str = Field(description="local: no accounts; keys: each request names its account")
    consent: str = Field(
        description="attested: a user's word is taken; recorded: the person's own recording is needed"
    )
    checks: list[CheckOut] = Field(description="The parts of the deployment, as in /readyz")
    workers: list[WorkerOut] = Field(description="Every worker heard of lately")
    queues: dict[str, dict[str, int]] = Field(description="Stages that wait and run, by queue")


Item = TypeVar("Item")


class ListOut(BaseModel, Generic[Item]):
    """A page of resources, newest first."""

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """``UploadList`` of ``UploadOut``: the name that a generated client gives the page."""
        # The union of all kinds of jobs has no name of its own.
        name = params[0].__name__ if isinstance(params[0], type) else "JobOut"
        return f"{name.removesuffix('Out')}List"

    object: Literal["list"] = Field(default="list", description=_KIND)
    data: list[Item] = Field(description="The resources of this page")
    next_cursor: str | None = Field(description="Pass it as cursor to go on; null at the end")


class DeletionOut(BaseModel):
    object: Literal["deletion"] = Field(default="deletion", description=_KIND)
    id: str = Field(description="Identifier, such as del_…")
    subject: str = Field(description="What was deleted")
    status: Literal["done", "pending"] = Field(
        description="pending: a worker is still putting its work down; rows and files go right after"
    )
    waiting: list[str] = Field(description="What has still to go")
    deleted: list[str] = Field(description="What is gone")
    rows: dict[str, int] = Field(description="Rows that went, by table")
    objects: list[str] = Field(description="Objects of the store that went")
    created_at: datetime = Field(description="When it was asked for")
    finished_at: datetime | None = Field(description="When the last of it was gone; null until then")


class HealthOut(BaseModel):
    status: Literal["ok"] = Field(default="ok", description="The process answers")
    version: str = Field(description="Of the service")


class CheckOut(BaseModel):
    name: str = Field(description="The part: database, disk, store, worker, …")
    ok: bool = Field(description="Whether it works")
    detail: str = Field(description="What was found")


class ReadyOut(BaseModel):
    status: Literal["ready"] = Field(default="ready", description="All parts work")
    checks: list[CheckOut] = Field(description="Each part of the deployment")
