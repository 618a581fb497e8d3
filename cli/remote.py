"""The same commands against a service: files go up, the job is followed here, the result comes down.

Ctrl-C stops the watching, not the work: the job goes on at the service, and what to do about it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape

from cli.outputs import Output
from cli.terminal import TerminalProgress, clock, long_command, print_json
from problems import Problem

if TYPE_CHECKING:
    from likeness.client import Client
    from likeness.client.answers import Inspection, Job, Training, Upload, Video
    from likeness.client.job_calls import JobCalls

    AnyJob = TypeVar("AnyJob", bound=Job)

ServerOption = Annotated[
    str | None,
    typer.Option(
        envvar="LIKENESS_SERVER",
        help="Let the service at this address do it; its key is taken from LIKENESS_API_KEY.",
        show_default="this machine does it",
    ),
]
_POLL_S = 0.5


class RemoteProblem(Problem):
    """What a service refused, or the way to it, as this command line shows problems."""

    slug, title, status = "api_problem", "The service refused", 500

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> RemoteProblem:
        """From what ``likeness.client.ApiProblem.as_dict`` tells."""
        problem = cls(facts["message"], remedy=facts["remedy"], details=facts["details"])
        # Facts of the instance, not of a class: the service may know more kinds than this command does.
        problem.slug, problem.title = facts["slug"], facts["title"]  # type: ignore[misc]
        problem.status, problem.retryable = facts["status"], facts["retryable"]  # type: ignore[misc]
        return problem

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteProblem.of, (self.as_dict(),)


class RemoteWork:
    """One command's work at a service; draws what happens there as if it happened here."""

    def __init__(self, client: Client, progress: TerminalProgress) -> None:
        self._client, self._progress = client, progress
        self.job: Job | None = None
        """What goes on at the service now, for whoever stops the command."""
        self._stage: str | None = None
        self._said: tuple[int, int, str] | None = None
        self._before: tuple[int, int, str] | None = None

    def upload(self, path: Path, purpose: str) -> Upload:
        """Send a file, with a bar."""
        _require_file(path)
        return self._client.uploads.create(path, purpose, progress=self._transfer(f"upload {path.name}"))

    def inspect(self, clip: Path, audio_track: int | None = None, rotate: int = 0) -> Inspection:
        """Have a clip inspected."""
        upload = self.upload(clip, "clip")
        return self._follow(
            self._client.inspections,
            self._client.inspections.create(upload.id, audio_track=audio_track, rotate=rotate),
        )

    def personalize(
        self,
        clip: Path,
        out: Path,
        *,
        consent_id: str,
        name: str,
        preset: str,
        seed: int,
        audio_track: int | None = None,
        rotate: int = 0,
        accept: Sequence[str] = (),
    ) -> Training:
        """Have a person learned and save their file."""
        upload = self.upload(clip, "clip")
        person = self._client.persons.create(name, consent_id=consent_id)
        started = self._client.trainings.create(
            person.id,
            upload.id,
            preset=preset,
            seed=seed,
            audio_track=audio_track,
            rotate=rotate,
            accept=accept,
        )
        done = self._follow(self._client.trainings, started)
        self._client.persons.download(person.id, out, progress=self._transfer(f"download {out.name}"))
        return done

    def dub(
        self,
        person_id: str,
        recording: Path,
        out: Path,
        *,
        pose: dict[str, object],
        pose_video: Path | None,
        expression_video: Path | None,
        output: dict[str, object],
        preset: str | None,
        audio_track: int | None = None,
    ) -> Video:
        """Have a person say a recording and save the video."""
        upload = self.upload(recording, "recording")
        if pose_video is not None:
            pose = {**pose, "video_upload_id": self.upload(pose_video, "clip").id}
        if expression_video is not None:
            pose = {**pose, "expression_upload_id": self.upload(expression_video, "clip").id}
        started = self._client.videos.create(
            person_id,
            audio_upload_id=upload.id,
            audio_track=audio_track,
            pose=pose,
            output=output,
            preset=preset,
        )
        done = self._follow(self._client.videos, started)
        self._client.videos.download(done.id, out, progress=self._transfer(f"download {out.name}"))
        return done

    def person_id(self, person: Path) -> str:
        """A person's id as it is; that of a PERSON file is found by its bytes.

        Raises:
            NotFound: nobody at the service has these weights.
        """
        from likeness.client.files import file_sha256
        from problems import NotFound

        if not person.is_file():
            return str(person)
        digest = file_sha256(person)
        for each in self._client.persons.list():
            if each.weights is not None and each.weights.sha256 == digest:
                return each.id
        raise NotFound(
            f"nobody at {self._client.server} has the weights of {person}",
            remedy="learn them there with `likeness personalize --server`, or dub without --server",
            details={"sha256": digest},
        )

    def consent(self, consent_id: str | None, subject: str | None) -> str:
        """The consent to learn on: one that there is, or the user's word for ``subject``."""
        if consent_id is not None:
            return consent_id
        assert subject is not None
        return self._client.consents.create(subject, attested=True).id

    def _follow(self, calls: JobCalls[AnyJob], job: AnyJob) -> AnyJob:
        from likeness.client import succeeded

        self.job, self._stage, self._said, self._before = job, None, None, None
        # The wait itself raises what the job failed of, after its last look was drawn.
        done = succeeded(calls.wait(job.id, poll_s=_POLL_S, progress=self._draw))
        self.job = None
        return done

    def _draw(self, job: Job) -> None:
        """The stage that it is in, with the share and the time left of the whole job behind the bar."""
        from training.progress import Tick

        stage, progress = job.stage or job.object, job.progress
        if job.status == "queued":
            waits = f"waits; {job.queue_position} before it" if job.queue_position else "waits"
            self._progress(Tick(stage, 0, 0, progress.message or waits))
            return
        said = (progress.done, progress.total, progress.message)
        if stage != self._stage:
            if self._stage is not None:
                self._progress(Tick(self._stage, 1, 1))
            self._stage, self._before = stage, self._said
        self._said = said
        left = "" if progress.eta_seconds is None else f", {clock(progress.eta_seconds)} left"
        whole = f"{progress.percent:.0f} % of all{left}"
        if job.status == "succeeded":
            self._progress(Tick(stage, progress.total or 1, progress.total or 1, whole))
        elif said == self._before:
            # Until a stage says something the row has what the one before it said last.
            self._progress(Tick(stage, 0, 0, whole))
        else:
            # Its parts are counted one after another: it is not done because one of them is.
            done = min(progress.done, max(0, progress.total - 1))
            metrics = {name: value for name, value in progress.metrics.items() if value is not None}
            self._progress(
                Tick(stage, done, progress.total, f"{whole}  {progress.message}".rstrip(), metrics)
            )

    def _transfer(self, what: str) -> Callable[[int, int], None]:
        from training.progress import Tick

        def report(done: int, total: int) -> None:
            # In kilobytes: the bars count units, and nobody reads nine digits.
            self._progress(Tick(what, -(-done // 1000), -(-total // 1000), "kB"))

        return report


@contextmanager
def remote_command(
    server: str, *, as_json: bool, inputs: Sequence[Path | None] = (), outputs: Sequence[Output] = ()
) -> Iterator[RemoteWork]:
    """Wrap a command's work at a service, as :func:`cli.terminal.long_command` does work here."""
    from likeness.client import ApiProblem, Client, RetryConfig

    with long_command(as_json=as_json, inputs=inputs, outputs=outputs) as progress:
        client = Client(server)
        work = RemoteWork(client, progress)
        try:
            # Later on a service that is away is waited for; at the start it is rather the address that is wrong.
            Client(server, retry=RetryConfig(tries=1, timeout_s=10)).health()
            yield work
        except ApiProblem as problem:
            raise RemoteProblem.of(problem.as_dict()) from problem
        except KeyboardInterrupt:
            if work.job is None:
                raise
            _say_that_it_goes_on(client.server, work.job, as_json=as_json)
            raise typer.Exit(130) from None


def _say_that_it_goes_on(server: str, job: Job, *, as_json: bool) -> None:
    path = f"{server}/v1/{job.object}s/{job.id}"
    key = ' -H "Authorization: Bearer $LIKENESS_API_KEY"'
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold]You stopped watching;[/] the {job.object} {job.id} goes on at {escape(server)}.")
    console.print(f"[bold]To look at it:[/] curl{escape(key)} {escape(path)}")
    console.print(f"[bold]To stop it:[/] curl -X POST{escape(key)} {escape(path)}/cancel")
    if as_json:
        print_json(
            {
                "error": {
                    "slug": "cancelled",
                    "message": f"watching was stopped; the {job.object} goes on",
                    "remedy": f"look at {path}, or POST to {path}/cancel",
                    "details": {"id": job.id, "url": path},
                }
            }
        )


def _require_file(path: Path) -> None:
    from problems import UnreadableMedia

    if not path.is_file():
        raise UnreadableMedia(f"there is no file {path}", remedy="check the path")
