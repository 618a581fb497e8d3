"""The runner: claims a stage, runs its function under a lease, and commits what it wrote.

    claim ─▶ same key committed? ─▶ take its manifest
                 │ no
                 ▼
      bring inputs and earlier outputs into work/<job>/ ─▶ run the stage ─▶ store files, then manifest, then
      the row

What it survives: SIGKILL anywhere (the lease expires, the next run finds the work folder and the stage's own
checkpoints in it), a worker that slept past its lease (the fence in the row refuses its writes), an API that
went away (there is no channel but the database), a second delivery of the same stage id (the claim finds
nothing).

Run by hand: ``likeness worker``. The embedded service starts it as ``python -m workers.runner``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol

from sqlalchemy.exc import SQLAlchemyError

from likeness import VERSION
from likeness.clock import now
from likeness.database import Database
from likeness.deletion import sweep_work_folders
from likeness.housekeeping import tidy
from likeness.intake import require_free_disk, safe_suffix
from likeness.locks import hold
from likeness.logs import bound, write_logs
from likeness.refusals import ConsentMismatch, ConsentMissing, StoreUnavailable, TookTooLong, WeightsCorrupt
from likeness.repositories.artifacts import ArtifactRepository
from likeness.repositories.leases import QUEUES, Claim, LeaseRepository, Standing
from likeness.repositories.people import PersonRepository
from likeness.repositories.workers import WorkerRepository
from likeness.requests import container_of
from likeness.settings import Settings
from likeness.store import ObjectStore, file_digest
from likeness.stores import store_of
from likeness.tables import Worker
from problems import (
    Cancelled,
    InternalProblem,
    InvalidInput,
    LeaseLost,
    NotFound,
    OutOfDisk,
    OutOfMemory,
    Problem,
)
from training.progress import Progress, Tick
from workers.carry import Carrier, checkpoints_of, fetch_checkpoint
from workers.hooks import sending
from workers.meter import FIT_S, Meter, Seconds, expected, led, render_s
from workers.previews import PreviewShelf, previews_of

log = logging.getLogger("likeness.runner")

EXIT_TAINTED = 75
"""Exit status of a worker that ran out of memory: it asks for a fresh process."""

# -- stages --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StageContext:
    """What a stage gets to work with."""

    work: Path
    """The job's folder: outputs of earlier stages lie in it, this one's go into it."""
    inputs: Mapping[str, Path]
    """Files by role: clip, recording, person, pose_video, expression_video."""
    params: Mapping[str, Any]
    device: str
    progress: Progress
    job_id: str = ""
    settings: Settings | None = None
    """Of the deployment; None outside of one."""


@dataclass(frozen=True)
class StageSpec:
    """How the runner runs a stage."""

    run: Callable[[StageContext], Mapping[str, Any] | None]
    """Runs it; what it returns (JSON types) is the job's result when this is the last stage."""
    version: str
    """Raised whenever the same inputs would give other outputs: old manifests are not reused then."""
    reads: tuple[str, ...] = ()
    """Roles of the input files it wants."""
    params: tuple[str, ...] = ()
    """Parameters its outputs depend on."""
    seconds: Seconds = field(default_factory=dict)
    """How long its parts take, for the job's percentage and ETA."""
    produces: tuple[str, ...] = ()
    """Files that must be in the work folder afterwards."""


def _inspect(context: StageContext) -> Mapping[str, Any]:
    from fitting.inspect.pictures import InspectionPictures
    from workers.inspection import inspect

    pictures = InspectionPictures()
    inspection = inspect(context.inputs["clip"], progress=context.progress, watch=pictures.watch)
    return pictures.write(inspection, context.work)


def _consent(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import consent

    return consent.run(
        context.inputs["consent"],
        passcode=context.params["passcode"],
        language=context.params["language"],
        progress=context.progress,
    )


def _require_same_face(recording: Path, clip: Path) -> None:
    from workers.stages.consent import ConsentLimits, same_face

    distance, most = same_face(recording, clip), ConsentLimits().same_person
    if distance > most:
        raise ConsentMismatch(
            "the clip shows somebody else than the recording of the consent",
            remedy="train with a clip of the person who gave the consent, or record their consent anew",
            details={"distance": round(distance, 3), "at_most": most},
        )


def _verify(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import verify

    return verify.run(context.inputs["video"], progress=context.progress)


def _validate(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import validate

    if "consent" in context.inputs:
        _require_same_face(context.inputs["consent"], context.inputs["clip"])
    return validate.run(
        context.inputs["clip"],
        context.work,
        accept=context.params.get("accept") or (),
        progress=context.progress,
    ).as_dict()


def _fit(context: StageContext) -> None:
    from workers.stages import fit

    fit.run(
        context.work,
        frames=None,
        preset=context.params["preset"],
        seed=context.params["seed"],
        device=context.device,
        progress=context.progress,
    )


def _motion(context: StageContext) -> None:
    from workers.stages import motion

    motion.run(
        context.work,
        preset=context.params["preset"],
        seed=context.params["seed"],
        progress=context.progress,
    )


def _render(context: StageContext) -> None:
    from workers.stages import render

    render.run(
        context.work,
        preset=context.params["preset"],
        seed=context.params["seed"],
        device=context.device,
        progress=context.progress,
    )


def _publish(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import publish

    return publish.run(
        context.work,
        context.work / "person.likeness",
        preset=context.params["preset"],
        seed=context.params["seed"],
        progress=context.progress,
    )


def _speak(context: StageContext) -> Mapping[str, Any]:
    from workers.stages import speak

    return speak.run(
        context.inputs["person"],
        context.inputs["recording"],
        context.work,
        **_driving(context),
        motion_picture=context.work / "motion.png",
        preview=True,
        progress=context.progress,
    )


def _driving(context: StageContext) -> dict[str, Any]:
    """How they are to move, as the stages speak and dub both take it: the one shows what the other will do."""
    from motion.predict import MotionControls

    params = context.params
    face = params.get("face")
    return {
        "pose": params["pose"],
        "pose_video": context.inputs.get("pose_video"),
        "expression_video": context.inputs.get("expression_video"),
        "face": (face["x"], face["y"]) if face else None,
        "length_mismatch": params.get("length_mismatch", "bounce"),
        "seed": params["seed"],
        "controls": MotionControls(
            lip_strength=params.get("lip_strength", 1.0),
            head_strength=params.get("head_strength", 1.0),
            smoothing=params.get("smoothing", 0.0),
        ),
    }


def _dub(context: StageContext) -> Mapping[str, Any]:
    from media.encode import Encoding
    from workers.mark import Mark, credentials_of
    from workers.stages import dub

    params = context.params
    picture = params.get("output", "frame")
    # Rows may be older than the choices: what they do not name has its default.
    asked = {name: params[name] for name in ("height", "fps", "crf") if params.get(name) is not None}
    encoding = Encoding(container_of(picture, params.get("format")), **asked)  # type: ignore[arg-type]
    consent = params.get("consent") or {}
    mark = Mark(
        context.job_id,
        credentials_of(context.settings or Settings()),
        consent_kind=consent.get("kind"),
        consent_id=consent.get("id"),
    )
    frames = dub.run(
        context.inputs["person"],
        context.inputs["recording"],
        context.work / f"video.{encoding.container}",
        **_driving(context),
        preset=params.get("preset"),
        output=picture,
        encoding=encoding,
        device=context.device,
        mark=mark,
        motion_picture=context.work / "motion.png",
        progress=context.progress,
    )
    return {"frames": frames, "video_seconds": frames / encoding.fps}


_LEARNS = ("preset", "seed")
_TURNS = ("pose", "seed", "lip_strength", "head_strength", "smoothing", "length_mismatch", "face")
_SHOWS = ("output", "format", "height", "fps", "crf", "preset", "mark")
_DRIVES = ("person", "recording", "pose_video", "expression_video")

STAGES: Mapping[str, StageSpec] = {
    "consent": StageSpec(_consent, "1", reads=("consent",), params=("passcode", "language")),
    "verify": StageSpec(_verify, "1", reads=("video",)),
    "inspect": StageSpec(_inspect, "3", reads=("clip",)),
    "validate": StageSpec(
        _validate,
        "2",
        reads=("clip", "consent"),
        params=("accept",),
        seconds={"inspect": 5, "validate": 5},
        produces=("clip.mp4",),
    ),
    "fit": StageSpec(
        _fit,
        "2",
        params=_LEARNS,
        seconds=FIT_S,
        produces=("track.safetensors", "texture.safetensors"),
    ),
    "motion": StageSpec(
        _motion,
        "2",
        params=_LEARNS,
        seconds={"motion.features": 5, "motion": 29},
        produces=("motion.safetensors", "motion.json"),
    ),
    "render": StageSpec(
        _render,
        "2",
        params=_LEARNS,
        seconds=render_s,
        produces=("surroundings.safetensors",),
    ),
    "publish": StageSpec(_publish, "3", params=_LEARNS, produces=("person.likeness",)),
    "speak": StageSpec(
        _speak,
        "1",
        reads=_DRIVES,
        params=_TURNS,
        seconds=led({"motion.predict": 1, "motion.preview": 9}),
        produces=("preview.mp4", "motion.png", "track.safetensors"),
    ),
    "dub": StageSpec(_dub, "3", reads=_DRIVES, params=(*_TURNS, *_SHOWS), seconds=led({"dub": 22})),
}
"""Every stage there is, by its name in ``likeness.requests.PLANS``; modules are imported when they run."""

_NOT_OUTPUTS = ("inputs", "checkpoints")
_EVENT_EVERY_S = 5.0
"""Seconds between two readings of progress that stay as events: what loss curves are drawn from."""


def stage_key(spec: StageSpec, claim: Claim) -> str:
    """sha256 of what the stage's outputs depend on: name, code version, config, and the hashes of its inputs.

    The scope is part of it, so nothing of one person is ever handed to another.
    """
    parts = {
        "stage": claim.stage,
        "version": spec.version,
        "scope": claim.scope,
        "params": {name: claim.params.get(name) for name in (*spec.params, "fresh")},
        "inputs": {item.role: item.sha256 for item in claim.inputs if item.role in spec.reads},
        "earlier": [[each.stage, [[f["name"], f["sha256"]] for f in each.files]] for each in claim.earlier],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


# -- keeping a lease -----------------------------------------------------------------------------------------


class Pulse:
    """A thread that extends the lease of one claim while its stage runs, and remembers what it heard."""

    def __init__(self, database: Database, claim: Claim, settings: Settings) -> None:
        self._database, self._claim, self._settings = database, claim, settings
        self._over = threading.Event()
        self._good_until = time.monotonic() + settings.lease_s
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self.standing = Standing.HELD

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def hear(self, standing: Standing) -> None:
        """Take note of what a fenced write found; a lost lease stays lost."""
        if self.standing is not Standing.LOST:
            self.standing = standing

    def _beat(self) -> None:
        while not self._over.wait(self._settings.heartbeat_s):
            try:
                with self._database.write() as session:
                    leases = LeaseRepository(session)
                    started = time.monotonic()
                    self.hear(leases.heartbeat(self._claim, now=now(), lease_s=self._settings.lease_s))
                self._good_until = started + self._settings.lease_s
            except SQLAlchemyError:
                log.warning(
                    "the heartbeat of %s did not reach the database", self._claim.stage_id, exc_info=True
                )
                if time.monotonic() > self._good_until:
                    self.hear(Standing.LOST)
            if self.standing is Standing.LOST:
                return


# -- running -------------------------------------------------------------------------------------------------


class Flag(Protocol):
    """A threading or multiprocessing event."""

    def is_set(self) -> bool: ...

    def set(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Runner:
    """Runs stages, one at a time. Several may share a database; each must have its own ``owner``."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        settings: Settings,
        *,
        registry: Mapping[str, StageSpec] = STAGES,
        owner: str = "",
        queues: Sequence[str] = QUEUES,
        stop: Flag | None = None,
    ) -> None:
        self.database, self.store, self.settings, self.registry = database, store, settings, registry
        self.queues = tuple(queues)
        self.owner = owner or f"{socket.gethostname()}-{os.getpid()}/{secrets.token_hex(4)}"
        self.stop: Flag = stop or threading.Event()
        self.tainted = False
        """True once memory ran out in this process: it should be replaced by a fresh one."""

    def run_once(self, stage_id: str | None = None) -> bool:
        """Claim and run one stage (or that one); False when there was nothing to do."""
        moment = now()
        with self.database.write() as session:
            leases = LeaseRepository(session)
            leases.reap(now=moment, max_attempts=self.settings.max_attempts)
            claim = leases.claim(
                owner=self.owner,
                now=moment,
                lease_s=self.settings.lease_s,
                queues=self.queues,
                stage_id=stage_id,
            )
        if claim is None:
            return False
        with bound(job_id=claim.job_id, stage=claim.stage, tenant_id=claim.tenant_id):
            log.info("job %s stage %s attempt %d starts", claim.job_id, claim.stage, claim.attempt)
            self._run(claim)
        return True

    def run_all(self) -> int:
        """Run stages until none is queued; returns how many."""
        count = 0
        while not self.stop.is_set() and self.run_once():
            count += 1
        return count

    def _run(self, claim: Claim) -> None:
        with Pulse(self.database, claim, self.settings) as pulse:
            try:
                self._execute(claim, pulse)
            except Cancelled as problem:
                self._put_down(claim, pulse, problem)
            except LeaseLost:
                log.warning("job %s stage %s went to another worker", claim.job_id, claim.stage)
            except SQLAlchemyError:
                # Nothing can be written now; the lease will expire and the stage go on from its checkpoint.
                log.exception("job %s stage %s lost the database", claim.job_id, claim.stage)
            except Problem as problem:
                self._end(claim, problem)
            # a stage may raise anything, and its job must still end
            except Exception as error:
                self._end(claim, self._typed(claim, error))

    def _execute(self, claim: Claim, pulse: Pulse) -> None:
        spec = self.registry.get(claim.stage)
        if spec is None:
            raise InternalProblem(
                f"this worker knows no stage {claim.stage!r}", remedy="update the worker to the API's version"
            )
        if not claim.consented:
            raise ConsentMissing(
                "the person's consent is not on record",
                remedy="make the person again with their consent",
                details={"job_id": claim.job_id},
            )
        if gone := [role for role in claim.missing_inputs if role in spec.reads]:
            raise InvalidInput(
                f"the {' and '.join(gone)} of this job was deleted",
                remedy="upload it again and make a new request",
                details={"missing": gone},
            )
        key = stage_key(spec, claim)
        with self.database.write() as session:
            pulse.hear(LeaseRepository(session).set_key(claim, key))
            committed = ArtifactRepository(session).committed(key)
        if committed is not None and self._whole(committed.prefix, committed.manifest):
            self._commit(claim, key=key, prefix="", manifest={}, reuse=committed.id)
            return
        if committed is not None:
            with self.database.write() as session:
                ArtifactRepository(session).delete([committed.id])
        require_free_disk(self.settings)
        work = self._work_folder(claim)
        inputs = self._bring(claim, spec, work)
        progress = self._listener(claim, pulse, work)
        with self._carrying(claim, work, pulse):
            result = spec.run(
                StageContext(
                    work, inputs, claim.params, self.settings.device, progress, claim.job_id, self.settings
                )
            )
        for name in spec.produces:
            if not (work / name).is_file():
                raise InternalProblem(
                    f"the stage {claim.stage} ended without writing {name}",
                    remedy="retry the job; if it happens again, report it with the worker's log",
                )
        prefix = f"{claim.scope}/stages/{key}/{claim.stage_id}-{claim.fence}"
        manifest = self._store_outputs(claim, work, prefix, dict(result or {}))
        self._commit(claim, key=key, prefix=prefix, manifest=manifest)

    def _work_folder(self, claim: Claim) -> Path:
        """The job's folder on this machine, emptied when the job was asked to be done anew since it was last here."""
        work = self.settings.work_dir / claim.job_id
        marker, wanted = work / ".fresh", str(claim.params.get("fresh", ""))
        if work.is_dir() and (marker.read_text() if marker.is_file() else "") != wanted:
            shutil.rmtree(work)
        work.mkdir(parents=True, exist_ok=True)
        marker.write_text(wanted)
        return work

    def _bring(self, claim: Claim, spec: StageSpec, work: Path) -> dict[str, Path]:
        """Inputs and earlier outputs, in place and verified; what a crash left there whole is kept."""
        inputs = {}
        for item in claim.inputs:
            if item.role in spec.reads:
                inputs[item.role] = work / "inputs" / f"{item.role}{safe_suffix(item.filename)}"
                try:
                    self._bring_file(item.object_key, inputs[item.role], item.sha256)
                except (NotFound, InternalProblem) as problem:
                    if item.role != "person" or claim.package_artifact_id is None:
                        raise
                    self._refuse_weights(claim.package_artifact_id, problem)
        for each in claim.earlier:
            for entry in each.files:
                try:
                    self._bring_file(f"{each.prefix}/{entry['name']}", work / entry["name"], entry["sha256"])
                except (NotFound, InternalProblem) as problem:
                    raise InternalProblem(
                        f"{entry['name']}, made by the stage {each.stage}, is missing or damaged",
                        remedy=f"retry the job from the stage {each.stage}",
                        details={"stage": each.stage, "file": entry["name"]},
                    ) from problem
        return inputs

    def _carrying(self, claim: Claim, work: Path, pulse: Pulse) -> AbstractContextManager[object]:
        """Checkpoints come from the object store and go there, where other machines might have to go on."""
        if not self.settings.carries_checkpoints:
            return nullcontext()
        fetch_checkpoint(self.store, claim, work)
        return Carrier(
            self.database,
            self.store,
            claim,
            work,
            every_s=self.settings.checkpoint_every_s,
            hear=pulse.hear,
        )

    def _bring_file(self, key: str, target: Path, sha256: str) -> None:
        if not (target.is_file() and file_digest(target)[1] == sha256):
            self.store.fetch(key, target, sha256=sha256)

    def _refuse_weights(self, artifact_id: str, problem: Problem) -> NoReturn:
        """Mark a version of a person's weights as corrupt, and say so."""
        with self.database.write() as session:
            PersonRepository(session).mark_corrupt(artifact_id)
        raise WeightsCorrupt(
            "the person's weights are missing or damaged in the object store",
            remedy="use an older version of the person, or train again: POST /v1/persons/{id}/trainings",
            details={"artifact_id": artifact_id, "reason": problem.message},
        ) from problem

    def _whole(self, prefix: str, manifest: Mapping[str, Any]) -> bool:
        return all(self.store.exists(f"{prefix}/{entry['name']}") for entry in manifest["files"])

    def _store_outputs(self, claim: Claim, work: Path, prefix: str, result: dict[str, Any]) -> dict[str, Any]:
        """Store every file in the work folder that no earlier stage wrote; the manifest comes last."""
        known = {entry["name"] for each in claim.earlier for entry in each.files}
        files = []
        for path in sorted(work.rglob("*")):
            name = path.relative_to(work).as_posix()
            hidden = any(part.startswith(".") for part in path.relative_to(work).parts)
            if not path.is_file() or hidden or name in known or name.split("/")[0] in _NOT_OUTPUTS:
                continue
            stored = self.store.put_file(f"{prefix}/{name}", path)
            files.append({"name": name, "size": stored.size, "sha256": stored.sha256})
        manifest = {"stage": claim.stage, "product": VERSION, "files": files, "result": result}
        written = work / f".manifest-{claim.fence}.json"
        try:
            written.write_text(json.dumps(manifest, indent=1, sort_keys=True))
            self.store.put_file(f"{prefix}/manifest.json", written)
        finally:
            written.unlink(missing_ok=True)
        return manifest

    def _commit(
        self, claim: Claim, *, key: str, prefix: str, manifest: Mapping[str, Any], reuse: str | None = None
    ) -> None:
        with self.database.write() as session:
            held = LeaseRepository(session).complete(
                claim, key=key, prefix=prefix, manifest=manifest, now=now(), reuse=reuse
            )
            taken = ArtifactRepository(session).committed(key)
        if prefix and (taken is None or taken.prefix != prefix):
            self._drop(prefix)
        if not held:
            raise LeaseLost(
                f"the stage {claim.stage} of {claim.job_id} belongs to another worker now",
                remedy="nothing: the other worker finishes it",
            )
        if claim.checkpoint is not None or self.settings.carries_checkpoints:
            self._drop(checkpoints_of(claim.scope, claim.stage_id))
        log.info("job %s stage %s %s", claim.job_id, claim.stage, "reused" if reuse else "done")
        if claim.stage == claim.stages[-1]:
            shutil.rmtree(self.settings.work_dir / claim.job_id, ignore_errors=True)
            if "render" in claim.stages:  # the last pictures are among that stage's outputs now
                self._drop(previews_of(claim.scope, claim.job_id))

    def _drop(self, prefix: str) -> None:
        """Delete what nothing needs any more. The row is written: a store that is away must not undo that, and
        what stays there goes with its person or upload.
        """
        try:
            self.store.delete_prefix(prefix)
        except StoreUnavailable:
            log.warning("%s stays in the store until its scope is deleted", prefix)

    def _listener(self, claim: Claim, pulse: Pulse, work: Path) -> Progress:
        roles = {item.role for item in claim.inputs}
        specs = (self.registry.get(name) for name in claim.stages)
        plan = [expected(spec.seconds, claim.params, roles) if spec else {} for spec in specs]
        meter = Meter(plan, claim.stages.index(claim.stage))
        last, last_event = -self.settings.progress_every_s, -_EVENT_EVERY_S
        shelf = PreviewShelf(self.store, previews_of(claim.scope, claim.job_id), work)

        def listen(tick: Tick) -> None:
            nonlocal last, last_event
            moment = time.monotonic()
            if moment - last >= self.settings.progress_every_s:
                last = moment
                reading = meter.read(tick)
                event_at = now() if moment - last_event >= _EVENT_EVERY_S else None
                last_event = moment if event_at else last_event
                try:
                    with self.database.write() as session:
                        pulse.hear(LeaseRepository(session).report(claim, reading, event_at=event_at))
                except SQLAlchemyError:
                    log.warning("progress of %s did not reach the database", claim.job_id, exc_info=True)
                shelf.fill()
            if pulse.standing is Standing.LOST:
                raise LeaseLost(
                    f"the stage {claim.stage} of {claim.job_id} belongs to another worker now",
                    remedy="nothing: the other worker finishes it",
                )
            if pulse.standing is Standing.CANCELING or self.stop.is_set():
                raise Cancelled(f"the stage {claim.stage} was asked to stop", remedy="retry the job to go on")

        return listen

    # -- ends ------------------------------------------------------------------------------------------------

    def _put_down(self, claim: Claim, pulse: Pulse, problem: Cancelled) -> None:
        with self.database.write() as session:
            leases = LeaseRepository(session)
            pulse.hear(leases.heartbeat(claim, now=now(), lease_s=self.settings.lease_s))
            if pulse.standing is Standing.CANCELING:
                leases.cancel(claim, now=now())
            elif self.stop.is_set():
                leases.release(claim, now=now())
            else:
                leases.fail(claim, problem, now=now())
        log.info("job %s stage %s was put down", claim.job_id, claim.stage)

    def _end(self, claim: Claim, problem: Problem) -> None:
        again = problem.retryable and claim.attempt < self.settings.max_attempts
        try:
            with self.database.write() as session:
                leases = LeaseRepository(session)
                if again:
                    delay = self.settings.retry_backoff_s * 2 ** (claim.attempt - 1)
                    leases.postpone(claim, problem, now=now(), not_before=now() + timedelta(seconds=delay))
                else:
                    leases.fail(claim, problem, now=now())
        except SQLAlchemyError:
            log.exception("the end of job %s did not reach the database; its lease will expire", claim.job_id)
            return
        log.warning("job %s stage %s: %s: %s", claim.job_id, claim.stage, problem.slug, problem.message)
        if isinstance(
            problem, InvalidInput
        ):  # the same input can't do better: nothing in the folder is worth keeping
            shutil.rmtree(self.settings.work_dir / claim.job_id, ignore_errors=True)

    def _typed(self, claim: Claim, error: Exception) -> Problem:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return OutOfDisk(
                f"the disk filled up during the stage {claim.stage}",
                remedy="free some disk space; the job goes on by itself",
            )
        if type(error).__name__ == "SoftTimeLimitExceeded":  # Celery's
            return TookTooLong(
                f"the stage {claim.stage} ran longer than {self.settings.stage_limit_s:g} s",
                remedy="retry the job, which goes on from its checkpoint, or raise LIKENESS_STAGE_LIMIT_S",
                details={"stage": claim.stage},
            )
        # torch's own class can't be named here without importing torch.
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            self.tainted = True
            return OutOfMemory(
                f"memory ran out during the stage {claim.stage}",
                remedy="close other programs, use a smaller preset, or a machine with more memory",
            )
        log.exception("job %s stage %s failed unexpectedly", claim.job_id, claim.stage, exc_info=error)
        return InternalProblem(
            f"the stage {claim.stage} failed unexpectedly ({type(error).__name__})",
            remedy="retry the job; if it happens again, report it with the worker's log",
            details={"stage": claim.stage, "exception": type(error).__name__},
        )


# -- the process ---------------------------------------------------------------------------------------------


def work_forever(runner: Runner) -> int:
    """Run stages until ``runner.stop`` is set; returns the process's exit status."""
    settings, database = runner.settings, runner.database
    with ExitStack() as parts:
        parts.enter_context(present(database, runner.owner, settings, queues=runner.queues))
        if not settings.broker_url:  # there is no relay
            parts.enter_context(sending(database, settings))
        while not runner.stop.is_set():
            try:
                worked = runner.run_once()
                tidy(database, runner.store, settings)
            except SQLAlchemyError:
                log.exception("the database can't be used; trying again")
                worked = False
            except OSError:
                log.exception("the data folder can't be used; trying again")
                worked = False
            except Problem as problem:  # of the object store: a stage's own problems end with its job
                log.warning("deletions wait: %s", problem.message)
                worked = False
            if runner.tainted:
                return EXIT_TAINTED
            if not worked:
                runner.stop.wait(settings.poll_s)
    return 0


@contextmanager
def present(
    database: Database, owner: str, settings: Settings, *, queues: Sequence[str] = ()
) -> Iterator[None]:
    """Be in the register of workers while the block runs."""
    moment, over = now(), threading.Event()
    with database.write() as session:
        WorkerRepository(session).register(
            Worker(
                id=owner,
                slot=owner.split("/")[0],
                host=socket.gethostname(),
                pid=os.getpid(),
                queues=",".join(queues),
                started_at=moment,
                last_seen=moment,
            )
        )

    def show() -> None:
        while not over.wait(settings.heartbeat_s):
            try:
                with database.write() as session:
                    WorkerRepository(session).seen(owner, now())
            except SQLAlchemyError:
                log.warning("the register of workers can't be reached", exc_info=True)

    thread = threading.Thread(target=show, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        try:
            with database.write() as session:
                WorkerRepository(session).leave(owner)
        except SQLAlchemyError:
            log.warning("the register of workers can't be reached", exc_info=True)


def serve(settings: Settings, *, slot: str | None = None, registry: Mapping[str, StageSpec] = STAGES) -> int:
    """Be a worker process until SIGTERM or SIGINT; returns the exit status.

    With ``slot`` the process holds the slot's kernel lock in the data folder, so at most one worker has it;
    having got the lock, it knows that its predecessor is dead and takes over that one's leases without
    waiting for them.
    """
    write_logs(settings)
    stop = threading.Event()

    def put_down(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, put_down)
    signal.signal(signal.SIGINT, put_down)
    database, store = Database.of(settings), store_of(settings)
    store.prepare()
    if slot is None:
        return work_forever(Runner(database, store, settings, registry=registry, stop=stop))
    lock = settings.locks_dir / f"worker-{slot}.lock"
    with hold(lock, wait_s=settings.lease_s, what=f"a worker of slot {slot}"):
        owner = f"{slot}/{os.getpid()}-{secrets.token_hex(4)}"
        with database.write() as session:
            taken = LeaseRepository(session).reclaim(slot, now=now())
        if taken:
            log.warning("took over %d stage(s) of a worker that died", taken)
        sweep_work_folders(database, settings)
        return work_forever(Runner(database, store, settings, registry=registry, owner=owner, stop=stop))


def die_with_parent() -> None:
    """End this process group as soon as standard input closes: the parent is gone, however it went."""

    def watch() -> None:
        while sys.stdin.buffer.read(1):
            pass
        log.error("the service is gone; so am I")
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> int:
    """The embedded worker: the supervisor names the slot and holds the other end of standard input."""
    die_with_parent()
    return serve(Settings(), slot=os.environ["LIKENESS_WORKER_SLOT"])


if __name__ == "__main__":
    sys.exit(main())
