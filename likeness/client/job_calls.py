"""Calls for jobs: what all kinds can do, and how each kind is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from .answers import (
    JOBS,
    Batch,
    Deletion,
    DryRun,
    Event,
    File,
    Inspection,
    Job,
    MadeFile,
    Motion,
    Training,
    Verification,
    Video,
)
from .decoding import decode
from .errors import ApiProblem
from .files import Sent, receive_file
from .following import follow
from .pages import each_of, list_of
from .transport import Transport
from .waiting import FETCH_S, POLL_S, wait_until

AnyJob = TypeVar("AnyJob", bound=Job)
Seen = Callable[[AnyJob], None]
"""A listener of a wait: gets the job each time it is looked at."""


class JobCalls(Generic[AnyJob]):
    """Calls of one kind of job under ``path``."""

    def __init__(self, transport: Transport, path: str, kind: type[AnyJob]) -> None:
        self._transport, self._path, self._kind = transport, path, kind

    def get(self, job_id: str) -> AnyJob:
        """Look at one."""
        return self._read(self._transport.call("GET", self._at(job_id)))

    def list(
        self,
        *,
        status: str | None = None,
        person_id: str | None = None,
        batch_id: str | None = None,
    ) -> Iterator[AnyJob]:
        """All of them, newest first; pages are asked for as they are needed."""
        query = {"status": status, "person_id": person_id, "batch_id": batch_id}
        return each_of(self._transport, self._path, self._read, query)

    def wait(
        self,
        job_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = POLL_S,
        progress: Seen[AnyJob] | None = None,
    ) -> AnyJob:
        """Look again and again until it has succeeded.

        Args:
            timeout_s: how long at most; None is for ever.
            poll_s: between two looks.
            progress: gets the job at each look, the last included.

        Raises:
            ApiProblem: with the job's own error when it failed, ``cancelled`` when it was canceled,
                ``still_running`` when the time is over.
        """
        job = wait_until(
            self._transport,
            lambda: self.get(job_id),
            lambda job: job.ended,
            f"job {job_id}",
            timeout_s=timeout_s,
            poll_s=poll_s,
            progress=progress,
        )
        return succeeded(job)

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """What happens to it, as it happens, until it has ended; goes on by itself after a broken connection."""
        return follow(self._transport, f"{self._at(job_id)}/events", after)

    def past_events(self, job_id: str, *, after: int = 0) -> Sequence[Event]:
        """What happened to it so far, oldest first."""
        return list_of(self._transport, f"{self._at(job_id)}/events", Event, {"after": after})

    def cancel(self, job_id: str) -> AnyJob:
        """Stop it: at once when it waits, soon when it runs (``canceling`` until then)."""
        return self._read(self._transport.call("POST", f"{self._at(job_id)}/cancel"))

    def retry(self, job_id: str, *, from_stage: str | None = None) -> AnyJob:
        """Go on with one that failed or was canceled, from its last checkpoint, or from a stage anew."""
        body = {"from_stage": from_stage} if from_stage is not None else None
        return self._read(self._transport.call("POST", f"{self._at(job_id)}/retry", body))

    def delete(self, job_id: str) -> Deletion:
        """Stop it and delete what it made."""
        return decode(Deletion, self._transport.call("DELETE", self._at(job_id)))

    def _start(
        self,
        path: str,
        body: Mapping[str, Any],
        idempotency_key: str | None,
        timeout_s: float | None = None,
    ) -> AnyJob:
        answer = self._transport.call(
            "POST", path, body, idempotency_key=idempotency_key, timeout_s=timeout_s
        )
        return self._read(answer)

    def _save(self, job: AnyJob, file: MadeFile | None, path: Path | str, progress: Sent | None) -> Path:
        if file is None:
            raise _nothing_yet(job)
        return receive_file(
            self._transport, file.url, Path(path), size=file.size, sha256=file.sha256, progress=progress
        )

    def _read(self, data: Any) -> AnyJob:
        return decode(self._kind, data)

    def _at(self, job_id: str) -> str:
        return f"{self._path}/{quote(job_id, safe='')}"


class Jobs(JobCalls[Job]):
    """All kinds in one list; each is read as what it is."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport, "/v1/jobs", Job)

    def _read(self, data: Any) -> Job:
        return decode(JOBS.get(data.get("object"), Job), data)


class Inspections(JobCalls[Inspection]):
    def __init__(self, transport: Transport) -> None:
        super().__init__(transport, "/v1/inspections", Inspection)

    def create(
        self,
        upload_id: str,
        *,
        audio_track: int | None = None,
        rotate: int = 0,
        idempotency_key: str | None = None,
    ) -> Inspection:
        """Is this clip fit to learn from? Needs no consent. ``audio_track`` and ``rotate`` as for a training."""
        body: dict[str, Any] = {"upload_id": upload_id}
        if audio_track is not None:
            body["audio_track"] = audio_track
        if rotate:
            body["rotate"] = rotate
        return self._start(self._path, body, idempotency_key)

    def pictures(self, job_id: str) -> Sequence[File]:
        """The frames that the findings are about."""
        return list_of(self._transport, f"{self._at(job_id)}/pictures", File)


class Trainings(JobCalls[Training]):
    def __init__(self, transport: Transport) -> None:
        super().__init__(transport, "/v1/trainings", Training)

    def create(
        self,
        person_id: str,
        upload_id: str,
        *,
        preset: str = "preview",
        seed: int = 0,
        audio_track: int | None = None,
        rotate: int = 0,
        accept: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Training:
        """Learn a person from a clip.

        Args:
            audio_track: which of its sound tracks has the voice, from 1; None for the service to find out.
            rotate: degrees clockwise by which its picture is to be turned: 0, 90, 180 or 270.
            accept: errors of the clip's inspection that you know better than.
        """
        body: dict[str, Any] = {
            "upload_id": upload_id,
            "preset": preset,
            "seed": seed,
            "metadata": dict(metadata or {}),
        }
        if audio_track is not None:
            body["audio_track"] = audio_track
        if rotate:
            body["rotate"] = rotate
        if accept:
            body["accept"] = list(accept)
        return self._start(f"/v1/persons/{quote(person_id, safe='')}/trainings", body, idempotency_key)

    def previews(self, job_id: str) -> Sequence[File]:
        """Held-out frames beside what is drawn of them, as the training goes on."""
        return list_of(self._transport, f"{self._at(job_id)}/previews", File)


class Motions(JobCalls[Motion]):
    def __init__(self, transport: Transport) -> None:
        super().__init__(transport, "/v1/motions", Motion)

    def create(
        self,
        person_id: str,
        *,
        audio_upload_id: str | None = None,
        audio_url: str | None = None,
        audio_track: int | None = None,
        pose: Mapping[str, Any] | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Motion:
        """Preview how a person moves while saying a recording; a video with the same pose moves the same.

        Args:
            pose: such as ``{"mode": "learned", "seed": 1}``; docs/api.md has every field.
        """
        body = motion_request(
            person_id,
            audio_upload_id=audio_upload_id,
            audio_url=audio_url,
            audio_track=audio_track,
            pose=pose,
            metadata=metadata,
        )
        return self._start(self._path, body, idempotency_key, FETCH_S if audio_url else None)

    def preview(self, job_id: str, path: Path | str, *, progress: Sent | None = None) -> Path:
        """Save the video of the bare head, an mp4 with the sound.

        Raises:
            ApiProblem: ``conflict`` while there is none; refused, unreachable, or damaged on the way.
        """
        motion = self.get(job_id)
        return self._save(motion, motion.preview, path, progress)

    def curves(self, job_id: str, path: Path | str, *, progress: Sent | None = None) -> Path:
        """Save the picture of the head's turns and the jaw over time, a png; raises as :meth:`preview`."""
        motion = self.get(job_id)
        return self._save(motion, motion.curves, path, progress)

    def track(self, job_id: str, path: Path | str, *, progress: Sent | None = None) -> Path:
        """Save the motion as numbers, in safetensors; raises as :meth:`preview`."""
        motion = self.get(job_id)
        return self._save(motion, motion.track, path, progress)


class Videos(JobCalls[Video]):
    def __init__(self, transport: Transport) -> None:
        super().__init__(transport, "/v1/videos", Video)

    def create(
        self,
        person_id: str,
        *,
        audio_upload_id: str | None = None,
        audio_url: str | None = None,
        audio_track: int | None = None,
        pose: Mapping[str, Any] | None = None,
        output: Mapping[str, Any] | None = None,
        preset: str | None = None,
        title: str = "",
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Video:
        """Make a person say a recording, which is an upload or a public address.

        Args:
            title: a name for people; the recording's by default.
            pose: such as ``{"mode": "clip", "seed": 1}``; docs/api.md has every field.
            output: such as ``{"picture": "face", "format": "webm", "height": 720, "fps": 30}``.
        """
        body = video_request(
            person_id,
            audio_upload_id=audio_upload_id,
            audio_url=audio_url,
            audio_track=audio_track,
            pose=pose,
            output=output,
            preset=preset,
            title=title,
            metadata=metadata,
        )
        return self._start(self._path, body, idempotency_key, FETCH_S if audio_url else None)

    def check(self, request: Mapping[str, Any]) -> DryRun:
        """Check a request (:func:`video_request`) and queue nothing.

        Raises:
            ApiProblem: what is wrong with it.
        """
        return decode(DryRun, self._transport.call("POST", self._path, {**request, "dry_run": True}))

    def download(self, job_id: str, path: Path | str, *, progress: Sent | None = None) -> Path:
        """Save a finished video: whole and verified, or not at all; what a broken line left is continued.

        Raises:
            ApiProblem: ``conflict`` while there is no file of it; refused, unreachable, or damaged on the way.
        """
        video = self.get(job_id)
        if video.download_url is None or video.sha256 is None or video.size is None:
            raise _nothing_yet(video)
        return receive_file(
            self._transport,
            video.download_url,
            Path(path),
            size=video.size,
            sha256=video.sha256,
            progress=progress,
        )

    def thumbnail(self, job_id: str, path: Path | str, *, progress: Sent | None = None) -> Path:
        """Save a small picture of a finished video, a jpg; raises as :meth:`download`."""
        video = self.get(job_id)
        return self._save(video, video.thumbnail, path, progress)


def _nothing_yet(job: Job) -> ApiProblem:
    return ApiProblem(
        f"the {job.object} {job.id} is {job.status}; there is no file of it",
        remedy=f"wait for it first: client.{job.object}s.wait(...)",
        details={"status": job.status},
        code="conflict",
        title="The resource's state does not allow this",
        status=409,
    )


def motion_request(
    person_id: str,
    *,
    audio_upload_id: str | None = None,
    audio_url: str | None = None,
    audio_track: int | None = None,
    pose: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body of ``POST /v1/motions``, and what the one of ``POST /v1/videos`` begins with."""
    audio = {"upload_id": audio_upload_id, "url": audio_url, "track": audio_track}
    return {
        "person_id": person_id,
        "audio": {name: value for name, value in audio.items() if value is not None},
        "pose": dict(pose or {}),
        "metadata": dict(metadata or {}),
    }


def video_request(
    person_id: str,
    *,
    audio_upload_id: str | None = None,
    audio_url: str | None = None,
    audio_track: int | None = None,
    pose: Mapping[str, Any] | None = None,
    output: Mapping[str, Any] | None = None,
    preset: str | None = None,
    title: str = "",
    metadata: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body of ``POST /v1/videos``, and one item of a batch."""
    spoken = motion_request(
        person_id,
        audio_upload_id=audio_upload_id,
        audio_url=audio_url,
        audio_track=audio_track,
        pose=pose,
        metadata=metadata,
    )
    return {
        **spoken,
        "output": dict(output or {}),
        **({"preset": preset} if preset is not None else {}),
        **({"title": title} if title else {}),
    }


class Verifications(JobCalls[Verification]):
    def __init__(self, transport: Transport) -> None:
        super().__init__(transport, "/v1/verifications", Verification)

    def create(self, upload_id: str, *, idempotency_key: str | None = None) -> Verification:
        """Is this video one of the service's? The upload's purpose is ``video``."""
        return self._start(self._path, {"upload_id": upload_id}, idempotency_key)


class Batches:
    """Many videos at once."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, items: Sequence[Mapping[str, Any]], *, name: str = "", idempotency_key: str | None = None
    ) -> Batch:
        """Queue 1 to 500 videos (:func:`video_request`): all of them, or none when one is wrong."""
        body = {"name": name, "items": [dict(item) for item in items]}
        return decode(
            Batch, self._transport.call("POST", "/v1/batches", body, idempotency_key=idempotency_key)
        )

    def check(self, items: Sequence[Mapping[str, Any]]) -> DryRun:
        """Check every item and queue nothing."""
        body = {"items": [dict(item) for item in items], "dry_run": True}
        return decode(DryRun, self._transport.call("POST", "/v1/batches", body))

    def get(self, batch_id: str) -> Batch:
        return decode(Batch, self._transport.call("GET", f"/v1/batches/{quote(batch_id, safe='')}"))

    def list(self) -> Iterator[Batch]:
        """Newest first."""
        return each_of(self._transport, "/v1/batches", lambda data: decode(Batch, data))

    def videos(self, batch_id: str, *, status: str | None = None) -> Iterator[Video]:
        """Its videos, newest first."""
        return Videos(self._transport).list(batch_id=batch_id, status=status)

    def cancel(self, batch_id: str) -> Batch:
        """Stop those of its videos that have not ended."""
        return decode(Batch, self._transport.call("POST", f"/v1/batches/{quote(batch_id, safe='')}/cancel"))

    def wait(
        self,
        batch_id: str,
        *,
        timeout_s: float | None = None,
        poll_s: float = POLL_S,
        progress: Callable[[Batch], None] | None = None,
    ) -> Batch:
        """Until every video of it has ended, well or not: look at ``counts``.

        Raises:
            ApiProblem: ``still_running`` when the time is over.
        """
        return wait_until(
            self._transport,
            lambda: self.get(batch_id),
            lambda batch: batch.status == "done",
            f"batch {batch_id}",
            timeout_s=timeout_s,
            poll_s=poll_s,
            progress=progress,
        )


def succeeded(job: AnyJob) -> AnyJob:
    """A job that has ended, when it ended well.

    Raises:
        ApiProblem: with its error; ``cancelled`` when somebody stopped it.
    """
    if job.status == "succeeded":
        return job
    if job.error is not None:
        raise ApiProblem.from_answer(asdict(job.error))
    raise ApiProblem(
        f"the {job.object} {job.id} was {job.status}",
        remedy="go on with retry, or start it again",
        details={"id": job.id},
        code="cancelled",
        title="The work was stopped",
        status=409,
    )
